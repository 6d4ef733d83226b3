from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from predictions.dashboard import figures, trainings
from predictions.dashboard.counting import month_starts
from predictions.dashboard.trainings import Trainings, frequency, records_added, time_taken
from tests.factories import SessionFactory, VersionFactory
from tests.training.admin.people import superuser
from training.models import TrainingSession

pytestmark = pytest.mark.django_db
Status = TrainingSession.Status


def session(
    status: str = Status.SUCCEEDED, *, at: datetime | None = None, seconds: int = 4, rows: int = 1
) -> Any:
    at = at or timezone.now()
    version = VersionFactory.create(dataset_rows=rows) if status == Status.SUCCEEDED else None
    return SessionFactory.create(
        status=status,
        queued_at=at,
        started_at=at,
        finished_at=at + timedelta(seconds=seconds),
        model_version=version,
    )


def test_trainings_by_month_and_end() -> None:
    months = month_starts()
    session()
    session(Status.FAILED)
    session(Status.SKIPPED)
    session(Status.CANCELLED, at=months[0])
    session(at=months[1] - timedelta(seconds=1))
    session(at=months[0] - timedelta(seconds=1))
    chart = frequency(Trainings())
    counts = {str(column.label): (column.values[0], column.values[-1]) for column in chart.columns}
    assert counts == {"succeeded": (1, 1), "failed": (0, 1), "cancelled": (1, 0)}
    assert sum(sum(filter(None, column.values)) for column in chart.columns) == 4
    assert chart.finding == "2 trainings this month, 0.3 a month on average; 1 failed within a year."
    url = chart.columns[0].cells[-1].url
    assert superuser().get(url).context["cl"].result_count == 1


def test_a_year_without_trainings_says_so() -> None:
    session(at=timezone.now() - timedelta(days=400))
    assert frequency(Trainings()).finding == "Nothing was trained within a year."
    assert frequency(Trainings()).rows == ()


def test_how_long_the_newest_took_and_what_they_added() -> None:
    for seconds, rows in ((4, 100), (6, 130), (80, 120)):
        newest = session(seconds=seconds, rows=rows)
    session(Status.FAILED, seconds=1)
    chart = time_taken(Trainings())
    assert list(chart.columns[0].values) == [4.0, 6.0, 80.0]
    assert [cell.text for cell in chart.columns[0].cells] == ["4 s", "6 s", "1 min 20 s"]
    assert chart.finding == "The last one took 1 min 20 s for 120 records; half of them at most 6 s."
    added = records_added(Trainings())
    assert list(added.columns[0].values) == [30, -10]
    assert added.finding == ("The last training had -10 records more than the one before, 10 on average.")
    assert superuser().get(added.rows[-1].url).context["object_id"] == str(newest.pk)


def test_the_oldest_of_many_is_compared_with_the_one_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "SESSIONS", 2)
    for rows in (100, 130, 135):
        session(rows=rows)
    assert Trainings().added == [30, 5]
    assert [each.records for each in Trainings().newest] == [130, 135]


def test_the_first_training_adds_nothing_to_another() -> None:
    assert records_added(Trainings()).finding == "No training has succeeded yet."
    assert time_taken(Trainings()).finding == "No training has succeeded yet."
    session(rows=1500)
    assert records_added(Trainings()).finding == (
        "The first training learned from 1,500 records; what the next ones add is shown here."
    )


def test_the_guides_figures_of_trainings() -> None:
    for seconds, rows in ((4, 100), (6, 130), (80, 150)):
        session(seconds=seconds, rows=rows)
    found = list(figures.of_trainings(Trainings()))
    assert [(figure.title, figure.value) for figure in found] == [
        ("Training frequency", "0.2"),
        ("Records per training", "25"),
        ("Training time", "6 s"),
    ]
    client = superuser()
    assert [client.get(figure.url).context["cl"].result_count for figure in found] == [3, 3, 3]


def test_without_trainings_there_are_dashes() -> None:
    assert [figure.value for figure in figures.of_trainings(Trainings())] == ["0.0", "–", "–"]


def test_sessions_are_read_with_two_queries(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(3):
        session()
    found = Trainings()
    with django_assert_num_queries(2):
        frequency(found)
        time_taken(found)
        records_added(found)
