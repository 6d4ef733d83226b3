from itertools import product

import pytest
from pytest_django import Settings

from predictions.risk import assess


@pytest.fixture
def one_is_worst(settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"


BANDS = [
    ((1, 1, 1), 3, "normal", "LOW"),
    ((3, 1, 2), 6, "normal", "LOW"),
    ((3, 2, 2), 7, "high", "HIGH"),
    ((1, 2, 5), 8, "high", "HIGH"),
    ((3, 3, 3), 9, "critical", "CRITICAL"),
    ((5, 5, 5), 15, "critical", "CRITICAL"),
]


@pytest.mark.parametrize(("scores", "criticality", "band", "level"), BANDS)
def test_bands_when_5_is_the_most_critical(
    scores: tuple[int, int, int], criticality: int, band: str, level: str
) -> None:
    assessment = assess(*scores)
    assert assessment.total_sum == criticality
    assert assessment.risk["criticality"] == criticality
    assert assessment.risk["band"] == band
    assert assessment.risk["overall_risk_level"] == level


@pytest.mark.usefixtures("one_is_worst")
@pytest.mark.parametrize(("scores", "criticality", "band", "level"), BANDS)
def test_bands_apply_to_the_mirrored_sum_when_1_is_the_most_critical(
    scores: tuple[int, int, int], criticality: int, band: str, level: str
) -> None:
    a, f, s = (6 - score for score in scores)
    assessment = assess(a, f, s)
    assert assessment.total_sum == 18 - criticality
    assert assessment.risk["criticality"] == criticality
    assert assessment.risk["band"] == band
    assert assessment.risk["overall_risk_level"] == level


def test_the_bands_are_one_configurable_table(settings: Settings) -> None:
    assert assess(3, 3, 3).risk["band"] == "critical"
    settings.RISK_BANDS = {"normal": 3, "high": 9, "critical": 12}
    assert assess(3, 3, 3).risk["band"] == "high"


def test_an_assessment_in_full() -> None:
    assessment = assess(3, 1, 5)
    assert assessment.overall_score == 3.0
    assert assessment.total_sum == 9
    assert assessment.descriptions == (
        "Noticeable effect on availability: reduced performance or redundancy",
        "No effect on the reliability and integrity of the equipment",
        "Critical effect on process safety: people, environment or plant are in danger",
    )
    assert assessment.risk == {
        "overall_risk_level": "CRITICAL",
        "recommended_action": "Immediate: assess on site now and repair first",
        "critical_factors": ["process_safety"],
        "weakest_aspect": "process_safety",
        "criticality": 9,
        "band": "critical",
    }
    assert assessment.recommendations == (
        "Have the anomaly assessed on site now, before the equipment stays in or returns to service.",
        "Check the safety barriers concerned and secure the area until the repair is done.",
        "Watch the performance of the equipment: its availability may decline.",
    )


@pytest.mark.usefixtures("one_is_worst")
def test_the_same_assessment_mirrored() -> None:
    mirrored = assess(3, 5, 1)
    assert mirrored.risk["critical_factors"] == ["process_safety"]
    assert mirrored.risk["weakest_aspect"] == "process_safety"
    assert mirrored.descriptions[2] == (
        "Critical effect on process safety: people, environment or plant are in danger"
    )
    assert mirrored.recommendations[0].startswith("Have the anomaly assessed on site now")


def test_the_overall_score_is_the_rounded_mean() -> None:
    assert assess(1, 2, 2).overall_score == 1.67


def test_critical_factors_are_those_from_4() -> None:
    assert assess(4, 3, 5).risk["critical_factors"] == ["availability", "process_safety"]
    assert assess(3, 4, 3).risk["critical_factors"] == ["reliability"]
    assert assess(3, 3, 3).risk["critical_factors"] == []


@pytest.mark.parametrize(
    ("scores", "weakest"),
    [
        ((2, 1, 1), "availability"),
        ((1, 2, 1), "reliability"),
        ((2, 2, 2), "process_safety"),
        ((2, 2, 1), "availability"),
    ],
)
def test_of_equal_aspects_safety_is_the_weakest(scores: tuple[int, int, int], weakest: str) -> None:
    assert assess(*scores).risk["weakest_aspect"] == weakest


def test_every_triple_has_a_band_and_a_recommendation() -> None:
    bands = [assess(*scores).risk["band"] for scores in product(range(1, 6), repeat=3)]
    # 20 triples sum to 6 or less, 33 to 7 or 8: counted with the generating function (x + … + x⁵)³.
    assert [bands.count(name) for name in ("normal", "high", "critical")] == [20, 33, 72]
    assert all(assess(*scores).recommendations for scores in product(range(1, 6), repeat=3))
