import pytest
from pytest_django import Settings

from tests.factories import ApprovedFactory
from training.criticality import band_of, criticality_of, in_band, severity_of
from training.models import Anomaly


@pytest.fixture
def one_is_worst(settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"


def test_a_severity_has_5_as_the_most_serious() -> None:
    assert [severity_of(score) for score in (1, 2.5, 5)] == [1, 2.5, 5]


@pytest.mark.usefixtures("one_is_worst")
def test_a_mirrored_severity() -> None:
    assert [severity_of(score) for score in (1, 2.5, 5)] == [5, 3.5, 1]


@pytest.mark.parametrize(
    ("total", "band"),
    [
        (3, "normal"),
        (6, "normal"),
        (6.5, "normal"),
        (7, "high"),
        (8, "high"),
        (8.9, "high"),
        (9, "critical"),
        (15, "critical"),
    ],
)
def test_a_fractional_sum_belongs_to_the_band_it_has_reached(total: float, band: str) -> None:
    assert band_of(criticality_of(total)) == band


@pytest.mark.usefixtures("one_is_worst")
@pytest.mark.parametrize(
    ("total", "band"),
    [
        (3, "critical"),
        (6, "critical"),
        (9, "critical"),
        (9.5, "high"),
        (10, "high"),
        (11, "high"),
        (12, "normal"),
        (15, "normal"),
    ],
)
def test_a_mirrored_sum(total: float, band: str) -> None:
    assert band_of(criticality_of(total)) == band


@pytest.mark.parametrize("direction", ["5_is_most_critical", "1_is_most_critical"])
@pytest.mark.django_db
def test_the_condition_agrees_with_the_band(settings: Settings, direction: str) -> None:
    settings.SCORE_DIRECTION = direction
    for total in [3, 4.5, 6, 7, 8, 8.5, 9, 10, 11, 11.5, 12, 15]:
        ApprovedFactory.create(
            anomaly_id=str(total),
            availability_score=total / 3,
            fiability_score=total / 3,
            process_safety_score=total / 3,
        )
    ApprovedFactory.create(status="pending", fiability_score=None)
    for band in settings.RISK_BANDS:
        found = Anomaly.objects.filter(in_band(band))
        scored = Anomaly.objects.exclude(criticality=None)
        expected = {a.anomaly_id for a in scored if band_of(criticality_of(a.criticality)) == band}
        assert {anomaly.anomaly_id for anomaly in found} == expected
