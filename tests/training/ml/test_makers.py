import pytest

from tests.training.ml.frames import frame_of, row
from training.ml.features import ReportFeatures, count_reports
from training.ml.makers import Maker, makers_of

PUMP = {"equipment_id": "eq-1", "equipment_name": "la pompe", "section": "34MC", "system": "air"}
Made = dict[tuple[str, str, str], list[tuple[Maker, ...]]]


@pytest.fixture(scope="module")
def features() -> ReportFeatures:
    """Knows "fuite vapeur" of one pump, and nothing else."""
    rows = [row(anomaly_id=f"A-{n}", description="fuite vapeur", **PUMP) for n in range(12)]
    return ReportFeatures().fit(count_reports(frame_of(*rows)))


def made(features: ReportFeatures, **report: str) -> Made:
    """Who makes each feature of the report, by block, term, and the value that it is crossed with."""
    named = [(block, term, "") for block, terms in features.vocabularies_.items() for term in terms]
    words = list(features.vocabularies_["words"])
    for block, crossing in features.crossings_.items():
        (value,) = features.vocabularies_[block]
        named += [(block, words[pair], value) for pair in crossing.pairs_]
    columns = features.transform(count_reports(frame_of(row(**report)))).indices
    found = makers_of(features, columns, row(**report))
    return {named[column]: found[column] for column in sorted(columns.tolist())}


def word(text: str) -> Maker:
    return Maker("description", text)


def test_every_block(features: ReportFeatures) -> None:
    section, system = Maker("section", "34MC"), Maker("system", "air")
    found = made(features, description="Vapeur !", **PUMP)
    assert {key: times for key, times in found.items() if key[0] != "pieces"} == {
        ("words", "vapeur", ""): [(word("Vapeur"),)],
        ("names", "la", ""): [(Maker("equipment_name", "la"),)],
        ("names", "la pompe", ""): [(Maker("equipment_name", "la"), Maker("equipment_name", "pompe"))],
        ("names", "pompe", ""): [(Maker("equipment_name", "pompe"),)],
        ("equipment", "eq-1", ""): [(Maker("equipment_id", "eq-1"),)],
        ("section", "34MC", ""): [(section,)],
        ("system", "air", ""): [(system,)],
        ("section", "vapeur", "34MC"): [(section, word("Vapeur"))],
        ("system", "vapeur", "air"): [(system, word("Vapeur"))],
    }
    pieces = {key[1]: times for key, times in found.items() if key[0] == "pieces"}
    assert {" v", "vapeu", "peur ", "r "} <= pieces.keys()
    assert {tuple(times) for times in pieces.values()} == {((word("Vapeur"),),)}


def test_the_opening_word_is_the_first_one_s(features: ReportFeatures) -> None:
    assert made(features, description="- FUITE eau")["opening", "fuite", ""] == [(word("FUITE"),)]
    assert ("opening", "fuite", "") not in made(features, description="eau FUITE")


def test_what_stands_several_times_is_made_each_time(features: ReportFeatures) -> None:
    found = made(features, description="fuite-vapeur FUITE vapeur fuitée", **PUMP)
    both, leak, steam = word("fuite-vapeur"), word("FUITE"), word("vapeur")
    section = Maker("section", "34MC")
    assert found["words", "fuite", ""] == [(both,), (leak,)]
    assert found["words", "fuite vapeur", ""] == [(both,), (leak, steam)]
    assert found["section", "fuite vapeur", "34MC"] == [(section, both), (section, leak, steam)]
    assert found["pieces", " fui", ""] == [(both,), (leak,), (word("fuitée"),)]


def test_a_word_that_is_repeated_is_one(features: ReportFeatures) -> None:
    found = made(features, description="(Fuite) fuite, FUITE: vapeur")
    assert found["words", "fuite", ""] == [(word("Fuite"),)] * 3
    assert found["words", "fuite vapeur", ""] == [(word("Fuite"), word("vapeur"))]


@pytest.mark.parametrize("stated", ["", "never seen"])
def test_what_is_usual_says_so(features: ReportFeatures, stated: str) -> None:
    usual = Maker("system", "air", usual=True)
    found = made(features, description="fuite", equipment_id="eq-1", system=stated)
    assert found["system", "air", ""] == [(usual,)]
    assert found["system", "fuite", "air"] == [(usual, word("fuite"))]
    unseen = made(features, description="inconnu", equipment_id="eq-9", equipment_name="", system=stated)
    assert not [key for key in unseen if key[0] in {"system", "section", "equipment"}]


def test_what_was_voted_for_is_usual_too(features: ReportFeatures) -> None:
    voted = made(features, description="fuite", equipment_id="eq-9")
    assert voted["system", "air", ""] == [(Maker("system", "air", usual=True),)]
    assert voted["section", "34MC", ""] == [(Maker("section", "34MC", usual=True),)]


def test_nothing_known_nothing_made(features: ReportFeatures) -> None:
    assert made(features, description="?", equipment_id="eq-9", equipment_name="") == {}
