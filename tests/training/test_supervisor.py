"""One training around a real subprocess, supervised by the test's own process."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import Settings

from tests.factories import ApprovedFactory, SessionFactory
from tests.queue_processes import launchers, running, trainings, wait_until
from training import runner, sessions, supervisor
from training.launcher import Launcher
from training.models import Anomaly, Backup, ModelVersion, TrainingSession
from training.supervisor import Listener

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]

Status = TrainingSession.Status


@pytest.fixture
def session(queue_mark: str) -> TrainingSession:
    ApprovedFactory.create_batch(3)
    session: TrainingSession = SessionFactory.create()
    return session


def supervise(session_id: int, listener: Listener | None = None) -> None:
    with Launcher() as launcher:
        supervisor.supervise(session_id, launcher=launcher, listener=listener)


def meanwhile(act: Callable[[], object]) -> threading.Thread:
    """Do it in a thread, while the test supervises in the main one."""

    def run() -> None:
        try:
            act()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def freeze(mark: str) -> None:
    """Stop the training's process, or the launcher that is about to fork it: it hangs as if in C code."""
    wait_until(lambda: [*trainings(mark), *launchers(mark)])[0].signal(signal.SIGSTOP)


def test_success(session: TrainingSession, queue_mark: str) -> None:
    ticks: list[int] = []
    lines: list[str] = []
    supervise(session.pk, listener=Listener(on_tick=lambda: ticks.append(1), on_line=lines.append))
    session.refresh_from_db()
    assert (session.status, session.attempts, session.progress) == (Status.SUCCEEDED, 1, 100)
    assert session.model_version == ModelVersion.objects.get()
    assert session.backup == Backup.objects.get()
    assert ticks
    mark = f" [session={session.pk} attempt=1]\n"
    assert any(line.endswith(f": backup, 1 %{mark}") for line in lines)
    kept = session.log.filter(kind="line").values_list("text", flat=True)
    assert list(kept) == [line.removesuffix(mark).rstrip() for line in lines if line.strip()]
    steps = session.log.filter(kind="step").values_list("step", flat=True)
    assert list(steps) == ["start", "backup", "load", "evaluate", "fit", "write", "publish"]
    assert running(queue_mark) == []


def test_does_nothing_when_it_cannot_claim(session: TrainingSession, queue_mark: str) -> None:
    assert sessions.claim(session.pk) == 1
    supervise(session.pk)
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.RUNNING, 1)
    assert running(queue_mark) == []


def test_always_dying_is_tried_twice(session: TrainingSession, queue_mark: str) -> None:
    killed: list[int] = []

    def kill_each() -> None:
        while TrainingSession.objects.active().exists():
            for training in trainings(queue_mark):
                with suppress(ProcessLookupError):
                    training.signal(signal.SIGKILL)
                    killed.append(training.pid)
            time.sleep(0.05)

    killer = meanwhile(kill_each)
    supervise(session.pk)
    killer.join()
    session.refresh_from_db()
    assert (session.status, session.attempts, session.cause) == (Status.FAILED, 2, "died")
    assert session.reason.split("\n")[0] == (
        "The training process died in each of 2 attempts, the last one killed by SIGKILL (out of memory?)."
    )
    assert len(set(killed)) == 2
    assert not ModelVersion.objects.exists()
    assert Anomaly.objects.approved().count() == 3

    following = SessionFactory.create()
    supervise(following.pk)
    following.refresh_from_db()
    assert (following.status, following.attempts) == (Status.SUCCEEDED, 1)


def test_an_error_that_would_come_again_is_not_retried(session: TrainingSession) -> None:
    Anomaly.objects.all().delete()
    supervise(session.pk)
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.FAILED, 1)
    assert session.reason == "There is no approved anomaly to learn from."


def test_a_crash_is_reported_with_its_last_words(
    session: TrainingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRAINING_LEASE", "none")
    supervise(session.pk)
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.FAILED, 2)
    first, *_ = session.reason.split("\n")
    assert first == "The training process died in each of 2 attempts, the last one with exit code 2."
    assert "TRAINING_LEASE must be a whole number, got 'none'" in session.reason


def test_timeout_kills_what_hangs(session: TrainingSession, queue_mark: str, settings: Settings) -> None:
    settings.TRAINING_TIMEOUT = 1
    started = time.monotonic()
    frozen = meanwhile(lambda: freeze(queue_mark))
    supervise(session.pk)
    assert 1 <= time.monotonic() - started < 6
    frozen.join()
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.FAILED, 1)
    assert session.reason == "The training timed out after 1 s."
    assert running(queue_mark) == []


def test_cancel(session: TrainingSession, queue_mark: str) -> None:
    asked: list[float] = []

    def cancel() -> None:
        freeze(queue_mark)
        sessions.cancel_session(session=session)
        asked.append(time.monotonic())

    meanwhile(cancel)
    supervise(session.pk)
    assert time.monotonic() - asked[0] < 5
    session.refresh_from_db()
    assert (session.status, session.reason) == (Status.CANCELLED, "Cancelled.")
    assert running(queue_mark) == []


def test_stopped_it_gives_the_session_back(session: TrainingSession, queue_mark: str) -> None:
    def stop() -> None:
        freeze(queue_mark)
        os.kill(os.getpid(), signal.SIGTERM)

    meanwhile(stop)
    with pytest.raises(SystemExit) as exit_:
        supervise(session.pk)
    assert exit_.value.code == 143
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.QUEUED, 1)
    assert OrmQ.objects.count() == 1
    assert running(queue_mark) == []
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_the_lease_lost_ends_the_subprocess(session: TrainingSession, queue_mark: str) -> None:
    """Another worker has taken the session: this one publishes nothing and changes nothing."""

    def take_over() -> None:
        freeze(queue_mark)
        TrainingSession.objects.filter(pk=session.pk).update(attempts=2)

    meanwhile(take_over)
    supervise(session.pk)
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.RUNNING, 2)
    assert running(queue_mark) == []
    assert not ModelVersion.objects.exists()


def test_a_subprocess_without_its_supervisor_s_heartbeat_leaves(
    session: TrainingSession, queue_mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The supervisor is paused past its lease; the subprocess is in the middle of something long."""
    monkeypatch.setenv("FAILPOINTS", "training.started=pause:120")
    assert sessions.claim(session.pk) == 1
    TrainingSession.objects.update(heartbeat_at=timezone.now() - timedelta(seconds=10))
    with Launcher() as launcher, launcher.launch(session.pk, 1, on_line=print) as child:
        assert child.wait(60) == runner.LOST
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.RUNNING, 1)
    assert not ModelVersion.objects.exists()


def test_a_session_that_ends_during_a_heartbeat_leaves_the_launcher_to_the_next(
    session: TrainingSession, queue_mark: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TRAINING_LEASE = 60
    monkeypatch.setenv("TRAINING_LEASE", "60")
    beat = sessions.beat

    def late(session_id: int, attempt: int) -> bool:
        wait_until(lambda: sessions.has_ended(session_id, attempt), 50)
        return beat(session_id, attempt)

    monkeypatch.setattr(sessions, "beat", late)
    with Launcher() as launcher:
        launcher.warm()
        (serving,) = wait_until(lambda: launchers(queue_mark))
        supervisor.supervise(session.pk, launcher=launcher)
        assert launchers(queue_mark) == [serving]
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.SUCCEEDED, 1)


class TestHeartbeat:
    """A database that does not answer."""

    @pytest.fixture
    def refuse(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """The first so many heartbeats fail."""
        failures = [3]
        beat = sessions.beat

        def unreliable(session_id: int, attempt: int) -> bool:
            if failures[0] > 0:
                failures[0] -= 1
                raise OperationalError("database is locked")
            return beat(session_id, attempt)

        monkeypatch.setattr(supervisor, "BEAT", 0.1)
        monkeypatch.setattr(sessions, "beat", unreliable)
        return failures

    def test_for_a_moment(self, session: TrainingSession, refuse: list[int]) -> None:
        supervise(session.pk)
        session.refresh_from_db()
        assert (session.status, session.attempts) == (Status.SUCCEEDED, 1)
        assert refuse == [0]

    def test_for_longer_than_the_lease(
        self, session: TrainingSession, queue_mark: str, refuse: list[int]
    ) -> None:
        refuse[0] = 1_000
        meanwhile(lambda: freeze(queue_mark))
        started = time.monotonic()
        supervise(session.pk)
        assert 3 <= time.monotonic() - started < 6
        assert running(queue_mark) == []
        session.refresh_from_db()
        assert (session.status, session.attempts) == (Status.RUNNING, 1)
        assert sessions.recover_sessions() == 1
