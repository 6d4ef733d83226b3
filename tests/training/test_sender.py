"""The thread that sends, and the queue it belongs to."""

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest
from django.db import OperationalError

from tests.factories import ApprovedFactory, WebhookFactory
from tests.queue_processes import Queue, wait_until
from tests.receivers import receiver
from training import deliveries, sender, sessions
from training.models import Anomaly, Delivery, TrainingSession
from training.sender import Sender, send_until


class Stop(threading.Event):
    """Lets the sender look so many times."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def wait(self, timeout: float | None = None) -> bool:
        self.looks -= 1
        return self.looks < 0


def counted(monkeypatch: pytest.MonkeyPatch, name: str, answer: Callable[[int], int]) -> list[int]:
    calls: list[int] = []

    def stand_in() -> int:
        calls.append(len(calls))
        return answer(len(calls))

    monkeypatch.setattr(deliveries, name, stand_in)
    return calls


@pytest.fixture(autouse=True)
def _connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread closes its own connection; here it would be the test's."""
    monkeypatch.setattr(sender, "close_old_connections", lambda: None)
    monkeypatch.setattr("training.sender.connection.close", lambda: None)


def test_it_sends_until_nothing_is_due_and_tidies_once_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = counted(monkeypatch, "send_due", lambda call: int(call in {1, 2}))
    tidied = counted(monkeypatch, "prune_deliveries", lambda _call: 0)
    send_until(Stop(2))
    assert (len(sent), len(tidied)) == (4, 1)


def test_it_outlives_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_first(call: int) -> int:
        if call == 1:
            raise OperationalError("gone")
        return 0

    sent = counted(monkeypatch, "send_due", fail_first)
    counted(monkeypatch, "prune_deliveries", lambda _call: 0)
    send_until(Stop(2))
    assert len(sent) == 2


def test_it_is_started_again_when_it_died(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Event] = []
    monkeypatch.setattr(sender, "send_until", started.append)  # ends at once
    ours = Sender()
    ours.keep()
    assert ours._thread is not None
    ours._thread.join()
    ours.keep()
    assert len(started) == 2
    ours.stop()
    assert started[0].is_set()


def test_it_is_started_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[threading.Event] = []

    def wait(stop: threading.Event) -> None:
        started.append(stop)
        stop.wait(30)

    monkeypatch.setattr(sender, "send_until", wait)
    ours = Sender()
    ours.keep()
    ours.keep()
    ours.stop()
    assert len(started) == 1
    assert ours._thread is not None
    assert not ours._thread.is_alive()


@pytest.mark.queue
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_receiver_keeps_a_training_waiting(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_ALLOWED_NETWORKS", "127.0.0.0/8")
    monkeypatch.setenv("NOTICE_TIMEOUT", "600")
    Anomaly.objects.bulk_create(ApprovedFactory.build_batch(60))
    with receiver() as listening:

        def hang(_handler: BaseHTTPRequestHandler) -> None:
            listening.released.wait(60)

        # Of a machine so slow that a session waits for its worker there would be a health alert to tell, too.
        WebhookFactory.create(url=listening.url(), events=["session.succeeded"])
        first = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)
        queue.start()
        assert sessions.wait_for_end(first, 60)
        wait_until(lambda: listening.received)
        assert json.loads(listening.received[0].body)["data"]["session"] == first.pk
        wait_until(Delivery.objects.filter(status="delivered").exists)

        listening.answer = hang
        second = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)
        assert sessions.wait_for_end(second, 60)
        wait_until(lambda: len(listening.received) == 2)
        third = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)
        assert sessions.wait_for_end(third, 60)
        assert third.status == TrainingSession.Status.SUCCEEDED
        queue.stop()
    told = Delivery.objects.order_by("pk").values_list("status", "attempts")
    assert list(told) == [("delivered", 1), ("pending", 1), ("pending", 0)]
