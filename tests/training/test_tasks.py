"""What the queue calls."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from tests.factories import ApprovedFactory, QueueNodeFactory, SessionFactory, VersionFactory
from training import schedules, tasks
from training.launcher import Launcher
from training.ml import libraries
from training.models import TrainingSession

pytestmark = pytest.mark.django_db


OWN = libraries.installed()
OTHER = OWN | {"scikit-learn": "1.0.0"}


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


class TestOtherLibraries:
    """This node's are not the active version's, and another node has those."""

    @pytest.fixture(autouse=True)
    def _differs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        VersionFactory.create(is_active=True, libraries=OTHER)
        QueueNodeFactory.create(libraries=OTHER)
        monkeypatch.setattr(tasks, "OTHERS_TURN", 0)

    def test_the_session_goes_back_to_the_queue(self, supervised: list[int]) -> None:
        session = SessionFactory.create()
        tasks.run_session(session.pk)
        assert supervised == []
        (message,) = OrmQ.objects.all()
        assert (message.func(), message.args()) == ("training.tasks.run_session", (session.pk,))
        session.refresh_from_db()
        assert (session.status, session.attempts) == (TrainingSession.Status.QUEUED, 0)

    def test_one_that_has_ended_does_not(self, supervised: list[int]) -> None:
        session = SessionFactory.create(status=TrainingSession.Status.CANCELLED)
        tasks.run_session(session.pk)
        assert not OrmQ.objects.exists()

    def test_the_scheduled_training_too(self, supervised: list[int]) -> None:
        ApprovedFactory.create()
        tasks.train_on_schedule()
        assert (supervised, TrainingSession.objects.count()) == ([], 0)
        assert [message.func() for message in OrmQ.objects.all()] == [schedules.TRAIN_ON_SCHEDULE]

    def test_once_nobody_else_has_them_it_trains(self, supervised: list[int]) -> None:
        QueueNodeFactory._meta.model.objects.update(libraries=OWN)
        session = SessionFactory.create()
        tasks.run_session(session.pk)
        assert supervised == [session.pk]
