import numpy as np
import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, reports, row
from training.ml.features import count_reports
from training.ml.findings import Found
from training.ml.implausible import (
    expected_by_chance,
    find_implausible,
    folds_of,
    margin_of,
    out_of_fold,
    probability_of,
)
from training.ml.progress import Steps
from training.ml.records import TARGETS, text_groups
from training.ml.scorer import AnomalyScorer, Suggestion


def found_in(frame: pd.DataFrame, limit: int = 100) -> Found:
    counts, steps = count_reports(frame), Steps(99, None)
    return find_implausible(frame, counts, folds=folds_of(frame), limit=limit, steps=steps)


def spoiled() -> pd.DataFrame:
    """Two scores that nothing in the other reports explains: a steam leak and some lagging."""
    frame = reports()
    frame.loc[62, "process_safety_score"] = 1
    frame.loc[77, "availability_score"] = 5
    return frame


def test_scores_that_nothing_explains_come_first() -> None:
    found = found_in(spoiled())
    first = {(finding.row, finding.target) for finding in found.findings[:2]}
    assert first == {(62, "process_safety"), (77, "availability")}
    assert found_in(reports()).count == found.count - 2


def test_evidence_is_what_a_model_without_the_text_says() -> None:
    frame = spoiled()
    finding = next(finding for finding in found_in(frame).findings if finding.row == 62)
    unseen = out_of_fold(frame, count_reports(frame), folds=5, steps=Steps(99, None))["process_safety"]
    distribution = unseen.distribution[62]
    assert (finding.other, finding.target) == (None, "process_safety")
    assert finding.suspicion == pytest.approx((1 + distribution[4] - distribution[0]) / 2)
    assert finding.evidence == {
        "reviewed": 1.0,
        "suggested": 5,
        "expected": round(float(unseen.expected[62]), 2),
        "probability": round(float(distribution[0]), 4),
        "distribution": distribution.round(4).tolist(),
    }


def test_no_model_has_seen_the_text_that_it_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = reports()
    again = frame.assign(description=frame["description"].str.upper() + " !", equipment_id="elsewhere")
    both = pd.concat([frame, again, again], ignore_index=True)
    learned: list[pd.DataFrame] = []
    fit_counts = AnomalyScorer.fit_counts

    def spy(self: AnomalyScorer, counts: object, train: pd.DataFrame, **options: object) -> AnomalyScorer:
        learned.append(train)
        return fit_counts(self, counts, train, **options)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(AnomalyScorer, "fit_counts", spy)
    out_of_fold(both, count_reports(both), folds=5, steps=Steps(99, None))
    held_out = [both.index.difference(train.index) for train in learned]
    assert sorted(np.concatenate(held_out)) == list(range(450))
    for train, rows in zip(learned, held_out, strict=True):
        assert not set(text_groups(train)) & set(text_groups(both.loc[rows]))


def test_the_limit_keeps_the_most_suspicious_and_counts_all() -> None:
    every, some = found_in(spoiled()), found_in(spoiled(), limit=1)
    assert some.count == every.count >= 2
    assert some.findings == every.findings[:1]
    suspicions = [finding.suspicion for finding in every.findings]
    assert suspicions == sorted(suspicions, reverse=True)


def test_facts_add_up() -> None:
    found = found_in(spoiled())
    assert list(found.facts) == ["folds", *TARGETS]
    assert found.facts["folds"] == 5
    assert sum(found.facts[target]["found"] for target in TARGETS) == found.count


def test_expected_by_chance_sums_what_is_unlikely() -> None:
    suggestion = Suggestion.of(np.array([[0.9, 0.04, 0.03, 0.02, 0.01], [0.5, 0.2, 0.1, 0.1, 0.1]] * 10))
    assert expected_by_chance(suggestion) == 1.0


@pytest.mark.parametrize(
    ("score", "probability", "margin"),
    [(1, 0.1, 0.3), (2, 0.4, -0.1), (5, 0.1, 0.3), (2.5, 0.35, -0.25), (1.25, 0.175, 0.125)],
)
def test_a_fractional_score_lies_between_its_neighbours(
    score: float, probability: float, margin: float
) -> None:
    distribution = np.array([[0.1, 0.4, 0.3, 0.1, 0.1]])
    assert probability_of(distribution, np.array([score])) == pytest.approx([probability])
    assert margin_of(distribution, np.array([score])) == pytest.approx([margin])


@pytest.mark.parametrize("frame", [frame_of(), frame_of(row()), frame_of(*[row()] * 60), reports()[:49]])
def test_few_reports_or_one_text_judge_nothing(frame: pd.DataFrame) -> None:
    assert found_in(frame) == Found(count=0, findings=[], facts={"folds": 0})


def test_two_texts_judge_each_other() -> None:
    found = found_in(frame_of(*[row(), row(description="bruit")] * 25))
    assert (found.count, found.facts["folds"]) == (0, 2)
