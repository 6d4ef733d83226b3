"""What the queue calls."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import SessionFactory
from training import tasks
from training.launcher import Launcher
from training.models import TrainingSession

pytestmark = pytest.mark.django_db


@pytest.fixture
def supervised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    seen: list[int] = []

    def supervise(session_id: int, *, launcher: Launcher) -> None:
        assert launcher is tasks.launcher
        seen.append(session_id)

    monkeypatch.setattr(tasks, "supervise", supervise)
    return seen


def test_supervises_the_session(supervised: list[int]) -> None:
    session = SessionFactory.create()
    tasks.run_session(session.pk)
    assert supervised == [session.pk]


def test_recovers_first(supervised: list[int]) -> None:
    """The message of a session whose worker died, come again after the retry clock ran out."""
    session = SessionFactory.create(
        status=TrainingSession.Status.RUNNING,
        attempts=1,
        heartbeat_at=timezone.now() - timedelta(minutes=1),
    )
    tasks.run_session(session.pk)
    session.refresh_from_db()
    assert session.status == TrainingSession.Status.QUEUED
    assert supervised == [session.pk]
