"""The real queue on the real database: what is killed, and what must be true afterwards."""

import signal
import sys

import pytest
from django_q.models import OrmQ, Schedule

from tests.factories import ApprovedFactory, report
from tests.queue_processes import Queue, Running, running, wait_until
from training import sessions
from training.models import Anomaly, Backup, ModelVersion, TrainingSession

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc; orphans are killed by the kernel"),
]

Status = TrainingSession.Status
Trigger = TrainingSession.Trigger


@pytest.fixture(autouse=True)
def approved(queue_mark: str) -> None:
    """Enough of them that a training takes about a second."""
    Anomaly.objects.bulk_create(ApprovedFactory.build_batch(600))


def records() -> list[object]:
    return list(Anomaly.objects.order_by("pk").values())


def start() -> TrainingSession:
    return sessions.start_session(trigger=Trigger.API)


def status_of(session: TrainingSession) -> str:
    session.refresh_from_db()
    return session.status


def hold_training(queue: Queue, session: TrainingSession) -> Running:
    """Wait until the training works, and freeze it there."""
    at_work = TrainingSession.objects.filter(pk=session.pk).exclude(step__in=["wait", "start"])
    wait_until(at_work.exists)
    (training,) = queue.trainings()
    training.signal(signal.SIGSTOP)
    assert status_of(session) == Status.RUNNING
    return training


def is_alive(queue: Queue, process: Running) -> bool:
    return process in running(queue.mark)


def kill(queue: Queue, process: Running | None) -> None:
    assert process is not None
    process.signal(signal.SIGKILL)
    wait_for_death(queue, process)


def wait_for_death(queue: Queue, process: Running) -> None:
    wait_until(lambda: not is_alive(queue, process), 5)


def test_trains_and_survives_the_death_of_an_idle_worker(queue: Queue) -> None:
    Schedule.objects.create(name="planted", func="os.system", args="'true'", schedule_type=Schedule.MINUTES)
    queue.start()
    session = sessions.accept_batch(reports=[report(1), report(2)])
    assert sessions.wait_for_end(session, 60)
    assert (session.status, session.attempts, session.reason) == (Status.SUCCEEDED, 1, "")
    assert session.model_version is not None
    assert session.model_version.dataset_rows == 602
    # The watchdog looks after two seconds, the scheduler after thirty; the training may be over before both.
    mended = {"os.system": 0, "training.tasks.train_on_schedule": -1}
    wait_until(lambda: dict(Schedule.objects.values_list("func", "repeats")) == mended)
    wait_until(lambda: not OrmQ.objects.exists())

    kill(queue, queue.parts()[0])  # it takes the lock of the task queue along
    session = start()
    assert sessions.wait_for_claim(session, 60)
    assert session.attempts == 1
    assert "does not take it" not in queue.log.read_text()  # its death was seen, not its silence

    queue.stop()
    assert running(queue.mark) == []


def test_killed_in_the_middle_of_a_training(queue: Queue) -> None:
    before = records()
    queue.start()
    for find in (queue.worker, queue.sentinel):
        session = start()
        training = hold_training(queue, session)
        kill(queue, find())
        wait_for_death(queue, training)
        assert sessions.wait_for_end(session, 60)
        assert (session.status, session.attempts) == (Status.SUCCEEDED, 2)
        assert session.backup is not None
        assert ModelVersion.objects.latest("pk").session == session
    assert [ModelVersion.objects.count(), Backup.objects.count()] == [2, 2]
    assert records() == before

    session = start()
    hold_training(queue, session)
    assert queue.process is not None
    queue.process.kill()
    queue.process.wait()
    wait_until(lambda: running(queue.mark) == [], 5)
    # Nobody watches any more: whoever looks next takes the session back.
    wait_until(sessions.recover_sessions, 10)
    assert status_of(session) == Status.QUEUED
    assert records() == before


def test_stopped_in_the_middle_of_a_training(queue: Queue) -> None:
    queue.start(grace=0.5)
    session = start()
    hold_training(queue, session)
    queue.stop()
    assert running(queue.mark) == []
    assert status_of(session) == Status.QUEUED
    assert not ModelVersion.objects.exists()

    queue.start()
    assert sessions.wait_for_end(session, 60)
    assert (session.status, session.attempts) == (Status.SUCCEEDED, 2)


def test_a_deaf_queue_is_started_afresh(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that hangs without dying: its pusher is stopped, so that no message gets through."""
    monkeypatch.setenv("TRAINING_CLAIM_WAIT", "6")
    queue.start()
    pusher = queue.parts()[2]
    pusher.signal(signal.SIGSTOP)
    session = start()
    assert sessions.wait_for_claim(session, 60)
    assert not is_alive(queue, pusher)

    sessions.cancel_session(session=session)
    assert sessions.wait_for_end(session, 5)
    assert session.status == Status.CANCELLED
    wait_until(lambda: queue.trainings() == [], 1)
