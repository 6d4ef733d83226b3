"""Who works while a request waits for its training."""

import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, repeat
from types import SimpleNamespace

import pytest

from tests.factories import BackupFactory, VersionFactory
from training import sessions
from training.models import TrainingSession

BEGAN = datetime.fromisoformat("2024-12-05T14:29:36.453456+00:00")
ENDED = BEGAN + timedelta(seconds=45.67)
BACKUP = "backup_20241205_142936"

Step = Callable[[], object]
Works = Callable[..., None]


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> Works:
    """`works(claim, finish)`: each pause of whoever waits is one step of the worker; then it only sleeps."""

    def works(*steps: Step) -> None:
        remaining: Iterator[Step] = chain(steps, repeat(partial(time.sleep, 0.01)))
        clock = SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: next(remaining)())
        monkeypatch.setattr(sessions, "time", clock)

    return works


def claim() -> int | None:
    return sessions.claim(TrainingSession.objects.active().get().pk)


def finish() -> None:
    """The guide's own example: 45.67 s, and the backup of its day."""
    session = TrainingSession.objects.active().get()
    sessions.finish(session.pk, session.attempts, version=VersionFactory.create())
    backup = BackupFactory.create(name=BACKUP, created_at=BEGAN)
    TrainingSession.objects.filter(pk=session.pk).update(started_at=BEGAN, finished_at=ENDED, backup=backup)


def fail() -> None:
    session = TrainingSession.objects.active().get()
    sessions.fail(session.pk, session.attempts, reason="The training timed out after 3600 s.")


def cancel() -> None:
    session = TrainingSession.objects.active().get()
    sessions.cancel_session(session=session)
    sessions.confirm_cancel(session.pk, session.attempts)
