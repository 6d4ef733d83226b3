from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from predictions.dashboard import anomalies, counting
from predictions.dashboard.charts import Chart
from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory, VersionFactory
from tests.predictions.test_admin import suggest
from tests.training.admin.people import superuser
from training.models import Anomaly, ModelVersion, Review

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_model")]
MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
CRITICAL = {"availability_score": 5, "process_safety_score": 5}


@pytest.fixture
def version() -> ModelVersion:
    version: ModelVersion = VersionFactory.create(is_active=True)
    return version


@pytest.fixture
def remembers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """One row is many."""
    monkeypatch.setattr(counting, "LONG", 0)
    cache.clear()
    yield
    cache.clear()


def numbers() -> dict[str, list[str]]:
    return {status: [cell.text for cell in cells] for status, cells in anomalies.totals().rows}


def listed(url: str) -> int:
    found: int = superuser().get(url).context["cl"].result_count
    return found


def cells(chart: Chart) -> dict[str, list[Any]]:
    return {str(column.label): list(column.values) for column in chart.columns}


def test_anomalies_by_status_and_band(version: ModelVersion) -> None:
    suggest(AnomalyFactory.create(), version, 5, 1, 5)
    suggest(AnomalyFactory.create(), version, 3, 2, 2)
    AnomalyFactory.create()
    AnomalyFactory.create(**CRITICAL, fiability_score=1)
    ApprovedFactory.create()
    ApprovedFactory.create(**CRITICAL)
    suggest(AnomalyFactory.create(status=Anomaly.Status.REJECTED), version, 1, 1, 1)
    assert anomalies.totals().head == ["Status", "Critical", "High", "Normal", "All"]
    assert numbers() == {
        "Pending": ["2", "1", "0", "4"],
        "Approved": ["1", "0", "1", "2"],
        "Rejected": ["0", "0", "1", "1"],
    }


def test_every_number_is_that_of_the_list_behind_it(version: ModelVersion) -> None:
    suggest(AnomalyFactory.create(), version, 5, 1, 5)
    ApprovedFactory.create(**CRITICAL)
    suggest(AnomalyFactory.create(status=Anomaly.Status.REJECTED), version, 1, 1, 1)
    client = superuser()
    for _status, row in anomalies.totals().rows:
        for cell in row:
            assert client.get(cell.url).context["cl"].result_count == int(cell.text)


def test_what_was_not_counted_to_its_end_has_a_plus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST", 2)
    for _ in range(3):
        ApprovedFactory.create()
    assert numbers()["Approved"] == ["0", "0", "2+", "2+"]
    assert "was not counted to its end" in anomalies.totals().covers


def test_an_approval_shows_at_once() -> None:
    ApprovedFactory.create()
    assert numbers()["Approved"][-1] == "1"
    ApprovedFactory.create()
    assert numbers()["Approved"][-1] == "2"
    assert "last minute" not in anomalies.totals().covers


@pytest.mark.usefixtures("remembers")
def test_many_are_counted_once_a_minute_but_what_waits_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "LONG", 0)
    ApprovedFactory.create()
    AnomalyFactory.create()
    assert (numbers()["Approved"][-1], numbers()["Pending"][-1]) == ("1", "1")
    ApprovedFactory.create()
    AnomalyFactory.create()
    assert (numbers()["Approved"][-1], numbers()["Pending"][-1]) == ("1", "2")
    assert "counted within the last minute" in anomalies.totals().covers


def test_the_first_line_names_what_is_disputed() -> None:
    anomaly = AnomalyFactory.create()
    scores = {"availability_score": 1, "fiability_score": 1, "process_safety_score": 1}
    for score in (2, 5):
        Review.objects.create(
            anomaly=anomaly, reviewer=UserFactory.create(), **(scores | {"availability_score": score})
        )
    html = superuser().get(reverse("admin:index")).content.decode()
    assert f'<a class="tp-badge tp-watch" href="{reverse("admin:adjudication")}">1 disputed</a>' in html
    assert f'href="{reverse("admin:review")}"' in html


def test_who_may_not_review_is_led_to_the_list() -> None:
    waiting = anomalies.waiting(anomalies.totals().counts, may=lambda _permission: False)
    assert waiting["review_url"] == anomalies.list_of(Anomaly.Status.PENDING)
    assert waiting["disputed"] == 0


def test_a_quarter_up_to_the_newest_report() -> None:
    ApprovedFactory.create(detected_at=MONDAY + timedelta(days=6, hours=23))
    ApprovedFactory.create(detected_at=MONDAY, **CRITICAL)
    AnomalyFactory.create(detected_at=MONDAY)
    ApprovedFactory.create(detected_at=MONDAY - timedelta(seconds=1))
    AnomalyFactory.create(status=Anomaly.Status.REJECTED, detected_at=MONDAY - timedelta(weeks=12))
    ApprovedFactory.create(detected_at=MONDAY - timedelta(weeks=13))
    AnomalyFactory.create(detected_at=timezone.now() + timedelta(days=30))
    chart = anomalies.weeks()
    found = cells(chart)
    assert (len(chart.rows), chart.rows[-1].text) == (13, "2 Mar 26")
    assert {name: (values[0], *values[-2:]) for name, values in found.items()} == {
        "critical": (0, 0, 1),
        "high": (0, 0, 0),
        "normal": (0, 1, 1),
        "to review": (0, 0, 1),
        "rejected": (1, 0, 0),
    }
    assert chart.finding == (
        "Newest week, from March 2, 2026: 3 anomalies, 1 of them approved as critical, 1 to review; "
        "0.4 a week on average."
    )


def test_where_one_is_the_worst_the_weeks_follow(settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"
    scores = {"availability_score": 1, "fiability_score": 1}
    ApprovedFactory.create(detected_at=MONDAY, **scores, process_safety_score=1)
    ApprovedFactory.create(detected_at=MONDAY, **(scores | {"fiability_score": 4}), process_safety_score=5)
    ApprovedFactory.create(detected_at=MONDAY, **dict.fromkeys(scores, 5), process_safety_score=5)
    found = cells(anomalies.weeks())
    assert [found[band][-1] for band in ("critical", "high", "normal")] == [1, 1, 1]


def test_each_week_leads_to_its_list() -> None:
    ApprovedFactory.create(detected_at=MONDAY, **CRITICAL)
    ApprovedFactory.create(detected_at=MONDAY)
    ApprovedFactory.create(detected_at=MONDAY + timedelta(days=7), **CRITICAL)
    critical = anomalies.weeks().columns[0]
    assert [cell.text for cell in critical.cells[-2:]] == ["1", "1"]
    assert listed(critical.cells[-2].url) == 1
    assert critical.cells[0].url == ""


def test_without_dates_there_are_no_weeks() -> None:
    AnomalyFactory.create()
    assert (anomalies.weeks().finding, anomalies.weeks().rows) == (
        "No anomaly says when it was detected.",
        (),
    )


def test_all_weeks_are_counted_with_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    ApprovedFactory.create(detected_at=MONDAY)
    with django_assert_num_queries(2):
        anomalies.weeks()
