from collections import Counter, defaultdict
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import expit

from tests.training.ml.frames import FAULTS, frame_of, reports, row
from training.ml.explain import Explanation, explain
from training.ml.features import count_reports, split_pieces
from training.ml.records import TARGETS
from training.ml.scorer import AnomalyScorer
from training.sample import sample_frame, unscored_sample_frame

Values = dict[tuple[str, str], float]


@cache
def scorer() -> AnomalyScorer:
    """Learned from reports whose section is sometimes, and whose system is always known."""
    frame = reports()
    frame["section"] = [["34MC", "34EL", ""][n % 3] for n in range(len(frame))]
    frame["system"] = frame["equipment_id"].str[:4]
    return AnomalyScorer().fit(frame)


def adds_up(fitted: AnomalyScorer, frame: pd.DataFrame) -> bool:
    suggestions = fitted.predict(frame)
    return all(
        np.isclose(explained[target].expected, suggestions[target].expected[n], rtol=0, atol=1e-9)
        and np.isclose(total(explained[target]), explained[target].expected, rtol=0, atol=1e-9)
        for n, explained in enumerate(explain(fitted, frame))
        for target in TARGETS
    )


def total(explanation: Explanation) -> float:
    return explanation.base + sum(found.value for found in explanation.contributions)


def one(fitted: AnomalyScorer, target: str = "availability", **changes: object) -> Explanation:
    (explained,) = explain(fitted, frame_of(row(**changes)))
    return explained[target]


def kinds(explanation: Explanation) -> set[tuple[str, str, bool]]:
    return {(found.kind, found.text, found.usual) for found in explanation.contributions}


# --- It adds up ---------------------------------------------------------------------------------


def test_adds_up_for_every_report_of_the_sample() -> None:
    learned, asked = sample_frame(), unscored_sample_frame()
    fitted = AnomalyScorer().fit(learned)
    assert adds_up(fitted, learned)
    assert adds_up(fitted, asked)
    assert adds_up(fitted, asked.assign(section="", system="", equipment_name=""))
    assert adds_up(fitted, asked.assign(section="unseen", system="unseen", equipment_id="unseen"))


def test_adds_up_with_fractional_scores_and_one_class() -> None:
    frame = reports().assign(fiability_score=1.0)
    frame["availability_score"] = np.linspace(1, 5, len(frame)).round(1)
    fitted = AnomalyScorer().fit(frame)
    assert adds_up(fitted, frame)
    found = one(fitted, "fiability")
    assert (found.contributions, found.expected) == ([], found.base)


def test_adds_up_after_one_record_without_a_word() -> None:
    fitted = AnomalyScorer().fit(frame_of(row(description="?", equipment_name="", availability_score=4)))
    assert adds_up(fitted, frame_of(row(description="?"), row(description="…", equipment_id="unseen")))


@given(
    st.text(max_size=60)
    | st.lists(st.sampled_from([*FAULTS, "Fuite", ":", "d'air", "É", " "])).map(" ".join),
    st.sampled_from(["", "La Pompe Alimentaire", "pompe, POMPE"]),
    st.sampled_from(["eq-00", "eq-44", "unseen", ""]),
    st.sampled_from(["", "34MC", "unseen"]),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_adds_up_whatever_is_said(description: str, name: str, equipment: str, section: str) -> None:
    report = row(description=description, equipment_name=name, equipment_id=equipment, section=section)
    assert adds_up(scorer(), frame_of(report))


def test_nothing_to_explain() -> None:
    assert explain(scorer(), frame_of()) == []


# --- It is right --------------------------------------------------------------------------------


def integrated_gradients(fitted: AnomalyScorer, frame: pd.DataFrame, target: str) -> np.ndarray:
    """Of each feature: the gradient of the expected score, integrated from 0 to x (Gauss-Legendre)."""
    x = fitted.features_.transform(count_reports(frame)).toarray()[0]
    weights, intercept = fitted.classifiers_[target].coef_, fitted.classifiers_[target].intercept_
    nodes, shares = np.polynomial.legendre.leggauss(40)
    integral = np.zeros(len(x))
    for node, share in zip((nodes + 1) / 2, shares / 2, strict=True):
        above = expit(intercept + weights @ (node * x))
        integral += share * (above * (1 - above)) @ weights
    return np.asarray(integral * x)


def named_features(fitted: AnomalyScorer) -> list[tuple[str, str, str]]:
    """Of each feature: its block, its term, and the value that it is crossed with."""
    features = fitted.features_
    named = [(block, term, "") for block, terms in features.vocabularies_.items() for term in terms]
    words = list(features.vocabularies_["words"])
    for block, crossing in features.crossings_.items():
        values = list(features.vocabularies_[block])
        named += [(block, words[pair % len(words)], values[pair // len(words)]) for pair in crossing.pairs_]
    return named


def by_hand(fitted: AnomalyScorer, frame: pd.DataFrame, target: str) -> Values:
    """Each feature's integrated gradient, given to the plain lower-case words that it comes from."""
    report, values = frame.iloc[0], defaultdict[tuple[str, str], float](float)
    words = {name: report[name].split() for name in ("description", "equipment_name")}
    named = named_features(fitted)
    integral = integrated_gradients(fitted, frame, target)
    for (block, term, crossed), value in zip(named, integral, strict=True):
        if not value:
            continue
        if block == "equipment":
            values["equipment_id", term] += value
        elif block in {"section", "system"} and not crossed:
            values[block, term] += value
        elif block == "opening":
            values["description", term] += value
        elif block == "pieces":
            having = Counter(
                {
                    word: words["description"].count(word) * split_pieces(word).count(term)
                    for word in words["description"]
                }
            )
            for word, times in having.items():
                values["description", word] += value * times / having.total()
        else:
            kind = "equipment_name" if block == "names" else "description"
            shared = [(kind, word) for word in term.split()] + ([(block, crossed)] if crossed else [])
            for owner in shared:
                values[owner] += value / len(shared)
    return {owner: value for owner, value in values.items() if value}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "changes",
    [
        {"description": "fuite vapeur importante la pompe alimentaire", "section": "34MC", "system": "eq-0"},
        {"description": "vibration palier fuite pompe fuite vibration bruit", "equipment_name": "la pompe"},
        {"description": "bruit anormal au broyeur", "equipment_id": "eq-13", "system": "unseen"},
    ],
)
def test_is_the_numeric_integral_shared_by_hand(target: str, changes: dict[str, str]) -> None:
    frame = frame_of(row(**({"equipment_name": "", "equipment_id": "eq-21"} | changes)))
    expected = by_hand(scorer(), frame, target)
    (explained,) = explain(scorer(), frame)
    found = {(found.kind, found.text): found.value for found in explained[target].contributions}
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-9)
    assert len(found) > 4


def test_where_hardly_anything_moves_the_slope_is_its_limit() -> None:
    fitted = AnomalyScorer().fit(reports())
    for classifier in fitted.classifiers_.values():
        classifier.coef_ *= 1e-9
    assert adds_up(fitted, reports()[:5])
    found = one(fitted, description="fissure", equipment_id="eq-unseen", equipment_name="")
    (word,) = found.contributions
    assert word.text == "fissure"
    assert word.value == pytest.approx(found.expected - found.base, abs=1e-15)
    assert word.value != 0


# --- It can be read -----------------------------------------------------------------------------


def test_what_moved_a_score_most_comes_first() -> None:
    found = one(scorer(), description="FISSURE au niveau de la pompe", equipment_id="eq-00")
    sizes = [abs(contribution.value) for contribution in found.contributions]
    assert sizes == sorted(sizes, reverse=True)
    (fissure,) = [item for item in found.contributions if item.text == "FISSURE"]
    assert fissure.value > 0
    noise = one(scorer(), description="calorifuge à reprendre", equipment_id="eq-00")
    assert {item.text: item.value < 0 for item in noise.contributions}["calorifuge"]


def test_words_are_shown_as_they_were_written() -> None:
    found = one(
        scorer(), description="SAFETY : «Fuite» d'Huile, fuite… LÉGÈRE sur !", equipment_name="la POMPE"
    )
    described = {text for kind, text, _ in kinds(found) if kind == "description"}
    assert described == {"Fuite", "d'Huile", "LÉGÈRE", "sur", "SAFETY"}
    assert {text for kind, text, _ in kinds(found) if kind == "equipment_name"} == {"la", "POMPE"}


def test_a_word_that_the_model_does_not_know_moves_nothing() -> None:
    assert not {text for _, text, _ in kinds(one(scorer(), description="fuite xyzw"))} & {"xyzw"}


def test_signs_belong_to_the_word_before_them() -> None:
    """The model may have learned from " : "; a person reads words."""
    rows = [
        row(anomaly_id=f"A-{n}", description=f"{': ' * (n % 2)}fuite :", availability_score=1 + n % 2)
        for n in range(8)
    ]
    fitted = AnomalyScorer().fit(frame_of(*rows))
    assert kinds(one(fitted, description=": fuite : ", equipment_id="", equipment_name="")) == {
        ("description", "fuite", False)
    }
    assert kinds(one(fitted, description=" : ", equipment_id="", equipment_name="")) == {
        ("description", ":", False)
    }


def test_what_is_stated_and_what_is_usual() -> None:
    stated = kinds(one(scorer(), equipment_id="eq-21", section="34EL", system="eq-2"))
    assert {("section", "34EL", False), ("system", "eq-2", False)} <= stated
    left_out = kinds(one(scorer(), equipment_id="eq-21", section="", system=""))
    assert {kind: (text, usual) for kind, text, usual in left_out if kind == "system"} == {
        "system": ("eq-2", True)
    }
    unknown = kinds(one(scorer(), equipment_id="eq-21", system="never seen"))
    assert ("system", "eq-2", True) in unknown
    voted = kinds(one(scorer(), equipment_id="unseen", section="", system=""))
    assert {(kind, usual) for kind, _, usual in voted} == {
        ("description", False),
        ("equipment_name", False),
        ("section", True),
        ("system", True),
    }
