"""How long a training still takes."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import SessionFactory, VersionFactory
from training.estimates import seconds_left, usual_seconds
from training.models import SessionLogEntry, TrainingSession

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
STEPS = ("start", "backup", "load", "evaluate", "fit", "write", "publish")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def logged(session: TrainingSession, *lengths: float, attempt: int = 1) -> None:
    """The begin of a step after each length, from noon on."""
    at = 0.0
    for step, length in zip(STEPS, (*lengths, 0.0), strict=False):
        entry = SessionLogEntry.objects.create(session=session, attempt=attempt, kind="step", step=step)
        SessionLogEntry.objects.filter(pk=entry.pk).update(at=after(at))
        at += length


def succeeded(*lengths: float) -> TrainingSession:
    session: TrainingSession = SessionFactory.create(
        status="succeeded",
        model_version=VersionFactory.create(),
        attempts=1,
        started_at=NOON,
        finished_at=after(sum(lengths)),
    )
    logged(session, *lengths[:-1])
    return session


def running(step: str, progress: int) -> TrainingSession:
    session: TrainingSession = SessionFactory.create(
        status="running", attempts=1, started_at=NOON, heartbeat_at=NOON, step=step, progress=progress
    )
    return session


def test_the_usual_length_is_the_median_of_what_succeeded() -> None:
    succeeded(1, 2, 1, 10, 6, 2, 1)
    succeeded(1, 4, 1, 30, 6, 2, 1)
    succeeded(1, 3, 1, 11, 7, 2, 1)
    SessionFactory.create(status="failed", attempts=1, finished_at=after(9))
    assert usual_seconds() == dict(zip(STEPS, (1.0, 3.0, 1.0, 11.0, 6.0, 2.0, 1.0), strict=True))


def test_an_earlier_attempt_does_not_count() -> None:
    session = succeeded(1, 2, 1, 10, 6, 2, 1)
    session.log.update(attempt=2)
    logged(session, 100, 100)
    TrainingSession.objects.filter(pk=session.pk).update(attempts=2)
    assert usual_seconds()["backup"] == 2


def test_what_is_left_of_this_step_and_the_steps_to_come() -> None:
    succeeded(1, 2, 1, 10, 6, 2, 1)
    session = running("evaluate", 30)
    logged(session, 1, 2, 1)
    assert seconds_left(session, after(7)) == (10 - 3) + 6 + 2 + 1


def test_more_records_take_longer_at_every_step() -> None:
    succeeded(1, 2, 1, 10, 6, 2, 1)
    session = running("evaluate", 30)
    logged(session, 2, 4, 2)
    assert seconds_left(session, after(10)) == 2 * (10 - 1 + 6 + 2 + 1)


def test_a_step_that_takes_far_longer_than_usual_tells_by_the_share_that_is_done() -> None:
    succeeded(1, 2, 1, 10, 6, 2, 1)
    session = running("evaluate", 25)
    logged(session, 1, 2, 1)
    assert seconds_left(session, after(30)) == 90


def test_without_earlier_sessions_the_share_that_is_done_tells() -> None:
    session = running("fit", 60)
    assert seconds_left(session, after(30)) == 20


def test_the_share_counts_from_the_begin_of_this_attempt() -> None:
    session = running("fit", 50)
    TrainingSession.objects.filter(pk=session.pk).update(started_at=after(-600))
    session.refresh_from_db()
    logged(session, 1)
    assert seconds_left(session, after(30)) == 30


def test_nothing_is_made_up() -> None:
    assert seconds_left(running("backup", 1), after(5)) is None
    TrainingSession.objects.all().delete()
    assert seconds_left(SessionFactory.create()) is None
