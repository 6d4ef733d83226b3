from datetime import UTC, datetime, timedelta

import pytest
from django.core.cache import cache
from django.db.models import Count, Q
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from predictions.dashboard import counting
from predictions.dashboard.counting import (
    between,
    count_between,
    count_up_to,
    month_starts,
    remembered,
    stretch_of,
)
from tests.factories import AnomalyFactory, ApprovedFactory
from training.admin.long_lists import AtLeast
from training.models import Anomaly

DAYS = [datetime(2026, 3, day, tzinfo=UTC) for day in (2, 9, 16)]


@pytest.mark.django_db
def test_many_counts_with_one_query(
    monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr(counting, "MOST", 2)
    for _ in range(3):
        AnomalyFactory.create()
    ApprovedFactory.create()
    with django_assert_num_queries(1):
        found = count_up_to(
            {
                "pending": Anomaly.objects.pending(),
                "approved": Anomaly.objects.approved(),
                "rejected": Anomaly.objects.filter(status="rejected"),
            }
        )
    assert found == {"pending": 2, "approved": 1, "rejected": 0}
    assert [isinstance(count, AtLeast) for count in found.values()] == [True, False, False]


@pytest.mark.django_db
def test_each_stretch_has_its_first_moment_and_not_its_last(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    second = timedelta(seconds=1)
    for moment in (DAYS[0] - second, DAYS[0], DAYS[1] - second, DAYS[1], DAYS[2]):
        AnomalyFactory.create(detected_at=moment)
    ApprovedFactory.create(detected_at=DAYS[1])
    AnomalyFactory.create()
    parts = {"approved": Q(status="approved"), "pending": Q(status="pending")}
    with django_assert_num_queries(1):
        found = count_between(Anomaly.objects.all(), "detected_at", DAYS, parts)
    assert found == {"approved": [0, 1], "pending": [2, 1]}


@pytest.mark.django_db
def test_rows_are_grouped_by_the_stretch_they_lie_in() -> None:
    for moment in (DAYS[0] - timedelta(seconds=1), DAYS[0], DAYS[1], DAYS[1], None):
        AnomalyFactory.create(detected_at=moment)
    grouped = (
        Anomaly.objects.order_by().values_list(stretch_of(Anomaly, "detected_at", DAYS)).annotate(Count("pk"))
    )
    assert dict(grouped) == {-1: 2, 0: 1, 1: 2}


def test_months_begin_in_the_year_before() -> None:
    found = month_starts(datetime(2026, 2, 17, 13, 5, tzinfo=UTC))
    assert len(found) == 13
    assert (found[0], found[1]) == (datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
    assert found[-2:] == [datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)]
    assert month_starts()[-2] <= timezone.now() < month_starts()[-1]


def test_a_list_is_asked_for_the_same_stretch() -> None:
    assert between("queued_at", DAYS[0], DAYS[1]) == {
        "queued_at__gte": "2026-03-02T00:00:00+00:00",
        "queued_at__lt": "2026-03-09T00:00:00+00:00",
    }


def test_what_took_long_to_count_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "LONG", 5)
    cache.delete_many(["few", "many"])
    counts = iter(range(5, 100))

    def count() -> int:
        return next(counts)

    assert [remembered("few", lambda: 5, int), remembered("few", count, int)] == [5, 5]
    assert [remembered("many", count, int), remembered("many", count, int)] == [6, 6]
    cache.delete("many")
    assert remembered("many", count, int) == 7
    cache.delete("many")
