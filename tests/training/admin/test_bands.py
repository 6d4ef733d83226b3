import pytest
from pytest_django import Settings

from tests.factories import ApprovedFactory
from training.admin.bands import badge, band_of, in_band
from training.models import Anomaly

SUMS = [3, 6, 6.5, 7, 8, 9, 15]
BANDS = {
    "5_is_most_critical": ["normal", "normal", "normal", "high", "high", "critical", "critical"],
    "1_is_most_critical": ["critical", "critical", "critical", "critical", "critical", "critical", "normal"],
}
directions = pytest.mark.parametrize("direction", BANDS)


@directions
def test_the_band_of_a_sum(settings: Settings, direction: str) -> None:
    settings.SCORE_DIRECTION = direction
    assert [band_of(total) for total in SUMS] == BANDS[direction]


@directions
@pytest.mark.django_db
def test_the_filter_agrees_with_the_badge(settings: Settings, direction: str) -> None:
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
        expected = {
            a.anomaly_id for a in Anomaly.objects.exclude(criticality=None) if band_of(a.criticality) == band
        }
        assert {anomaly.anomaly_id for anomaly in found} == expected


def test_the_badge_has_the_number_and_the_word() -> None:
    assert badge(None) is None
    whole, fraction = badge(9), badge(7.5)
    assert "9 · critical" in str(whole)
    assert "7.5 · high" in str(fraction)
