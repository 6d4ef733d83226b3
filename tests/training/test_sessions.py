"""The life of a session, one compare-and-set at a time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import (
    AnomalyFactory,
    ApprovedFactory,
    SessionFactory,
    UserFactory,
    VersionFactory,
    report,
)
from training import sessions
from training.errors import (
    LeaseLostError,
    NotAllowedNowError,
    NothingApprovedError,
    NoWorkerError,
    SessionActiveError,
)
from training.models import Anomaly, ModelVersion, TrainingSession

pytestmark = pytest.mark.django_db

Status = TrainingSession.Status
Step = TrainingSession.Step
API = TrainingSession.Trigger.API


def ago(seconds: float) -> Any:
    return timezone.now() - timedelta(seconds=seconds)


def running(**fields: Any) -> TrainingSession:
    now = timezone.now()
    session: TrainingSession = SessionFactory.create(
        **{"status": Status.RUNNING, "attempts": 1, "started_at": now, "heartbeat_at": now} | fields
    )
    return session


def messages() -> list[int]:
    """The session each queue message rings for, oldest first."""
    return [message.task["args"][0] for message in OrmQ.objects.order_by("pk")]


class TestAcceptBatch:
    def test_stores_creates_and_rings(self) -> None:
        user = UserFactory.create()
        ApprovedFactory.create(anomaly_id="R-1")
        session = sessions.accept_batch(reports=[report(1), report(2), report(3)], user=user)
        session.refresh_from_db()
        assert (session.status, session.trigger, session.requested_by) == (Status.QUEUED, API, user)
        assert (session.records_received, session.records_created) == (3, 2)
        assert (session.records_updated, session.records_unchanged) == (1, 0)
        assert set(Anomaly.objects.approved().values_list("anomaly_id", "reviewed_by")) == {
            ("R-1", user.pk),
            ("R-2", user.pk),
            ("R-3", user.pk),
        }
        assert messages() == [session.pk]

    def test_message_names_the_task(self) -> None:
        sessions.accept_batch(reports=[report()])
        assert OrmQ.objects.get().task["func"] == "training.tasks.run_session"

    @pytest.mark.parametrize("status", [Status.QUEUED, Status.RUNNING])
    def test_refused_while_active(self, status: Status) -> None:
        running(status=status)
        with pytest.raises(SessionActiveError):
            sessions.accept_batch(reports=[report()])
        assert not Anomaly.objects.exists()
        assert messages() == []

    def test_the_constraint_decides_a_race(self, monkeypatch: pytest.MonkeyPatch) -> None:
        running()
        monkeypatch.setattr(sessions, "_refuse_while_active", lambda: None)
        with pytest.raises(SessionActiveError):
            sessions.accept_batch(reports=[report()])
        assert not Anomaly.objects.exists()
        assert messages() == []

    def test_nothing_remains_when_the_message_cannot_be_written(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_args: object, **_kwargs: object) -> None:
            raise ConnectionError("queue")

        monkeypatch.setattr(sessions, "async_task", refuse)
        with pytest.raises(ConnectionError):
            sessions.accept_batch(reports=[report()])
        assert not Anomaly.objects.exists()
        assert not TrainingSession.objects.exists()

    def test_query_count_does_not_grow(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        with django_assert_num_queries(QUERIES_OF_A_BATCH):
            first = sessions.accept_batch(reports=[report(1)])
        TrainingSession.objects.filter(pk=first.pk).update(status=Status.FAILED)
        with django_assert_num_queries(QUERIES_OF_A_BATCH):
            sessions.accept_batch(reports=[report(n) for n in (2, 3, 4)])


# recover; active?; savepoint, session, [savepoint, known, insert, history, release], counts, message, release
QUERIES_OF_A_BATCH = 12


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("round_", range(3))
def test_of_twenty_concurrent_batches_one_wins(round_: int) -> None:
    barrier = threading.Barrier(20)

    def post(n: int) -> int | None:
        try:
            barrier.wait()
            return sessions.accept_batch(reports=[report(100 * n + m) for m in range(3)]).pk
        except SessionActiveError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(post, range(20)))
    [winner] = [n for n, pk in enumerate(outcomes) if pk is not None]
    assert set(Anomaly.objects.values_list("anomaly_id", flat=True)) == {
        f"R-{100 * winner + m}" for m in range(3)
    }
    assert Anomaly.history.count() == 3
    session = TrainingSession.objects.get()
    assert session.pk == outcomes[winner]
    assert (session.status, session.records_created) == (Status.QUEUED, 3)
    assert messages() == [session.pk]


class TestStartSession:
    def test_starts_with_what_is_approved(self) -> None:
        ApprovedFactory.create()
        session = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)
        assert (session.status, session.records_received) == (Status.QUEUED, 0)
        assert messages() == [session.pk]

    def test_without_a_message(self) -> None:
        ApprovedFactory.create()
        sessions.start_session(trigger=API, enqueue=False)
        assert messages() == []

    def test_needs_something_approved(self) -> None:
        AnomalyFactory.create()
        with pytest.raises(NothingApprovedError):
            sessions.start_session(trigger=API)
        assert not TrainingSession.objects.exists()

    def test_refused_while_active(self) -> None:
        ApprovedFactory.create()
        running()
        with pytest.raises(SessionActiveError):
            sessions.start_session(trigger=API)
        assert TrainingSession.objects.count() == 1

    def test_a_dead_session_does_not_block(self) -> None:
        ApprovedFactory.create()
        dead = running(attempts=2, heartbeat_at=ago(60))
        started = sessions.start_session(trigger=API)
        dead.refresh_from_db()
        assert (dead.status, started.status) == (Status.FAILED, Status.QUEUED)


class TestClaim:
    def test_takes_a_queued_session(self) -> None:
        session = SessionFactory.create()
        assert sessions.claim(session.pk) == 1
        session.refresh_from_db()
        assert (session.status, session.attempts, session.step) == (Status.RUNNING, 1, Step.START)
        assert session.started_at == session.heartbeat_at
        assert session.started_at is not None

    def test_only_once(self) -> None:
        session = SessionFactory.create()
        assert [sessions.claim(session.pk), sessions.claim(session.pk)] == [1, None]

    def test_of_two_the_slower_gets_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = SessionFactory.create()
        begin = sessions._begin

        def slow_begin(found: Any) -> bool:
            TrainingSession.objects.filter(pk=session.pk).update(status=Status.RUNNING, attempts=1)
            return begin(found)

        monkeypatch.setattr(sessions, "_begin", slow_begin)
        assert sessions.claim(session.pk) is None
        session.refresh_from_db()
        assert session.attempts == 1

    def test_second_attempt_keeps_the_first_start(self) -> None:
        start = ago(30)
        session = SessionFactory.create(attempts=1, started_at=start)
        assert sessions.claim(session.pk) == 2
        session.refresh_from_db()
        assert session.started_at == start

    @pytest.mark.parametrize(
        "fields",
        [
            {"attempts": 2},
            {"cancel_requested": True},
            {"status": Status.FAILED},
            {"status": Status.RUNNING},
            {"status": Status.SKIPPED},
        ],
    )
    def test_refuses(self, fields: dict[str, Any]) -> None:
        session = SessionFactory.create(**fields)
        assert sessions.claim(session.pk) is None
        unchanged = TrainingSession.objects.get()
        assert (unchanged.status, unchanged.attempts) == (session.status, session.attempts)

    def test_of_an_unknown_session(self) -> None:
        assert sessions.claim(404) is None


class TestTheHolder:
    def test_beats(self) -> None:
        session = running(heartbeat_at=ago(5))
        assert sessions.beat(session.pk, 1) is False
        session.refresh_from_db()
        assert session.heartbeat_at is not None
        assert session.heartbeat_at > ago(1)

    def test_hears_of_a_cancel_request(self) -> None:
        session = running(cancel_requested=True)
        assert sessions.beat(session.pk, 1) is True

    def test_advances(self) -> None:
        session = running()
        sessions.advance(session.pk, 1, Step.FIT, 60)
        session.refresh_from_db()
        assert (session.step, session.progress) == (Step.FIT, 60)

    def test_finishes(self) -> None:
        session, version = running(), VersionFactory.create()
        sessions.finish(session.pk, 1, version=version)
        session.refresh_from_db()
        assert (session.status, session.model_version, session.progress) == (Status.SUCCEEDED, version, 100)
        assert session.finished_at is not None

    def test_fails(self) -> None:
        session = running()
        sessions.fail(session.pk, 1, reason="No space left.")
        session.refresh_from_db()
        assert (session.status, session.reason) == (Status.FAILED, "No space left.")

    def test_confirms_a_cancel(self) -> None:
        session = running(cancel_requested=True, reason="Cancelled by ana.")
        sessions.confirm_cancel(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, session.reason) == (Status.CANCELLED, "Cancelled by ana.")

    def test_retries_once(self) -> None:
        session = running(step=Step.FIT, progress=60)
        assert sessions.retry(session.pk, 1) == 2
        assert sessions.retry(session.pk, 2) is None
        session.refresh_from_db()
        assert (session.status, session.attempts, session.progress) == (Status.RUNNING, 2, 0)

    def test_does_not_retry_what_is_to_be_cancelled(self) -> None:
        session = running(cancel_requested=True)
        with pytest.raises(LeaseLostError):
            sessions.retry(session.pk, 1)

    def test_hands_back(self) -> None:
        session = running(step=Step.FIT)
        sessions.hand_back(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, session.step) == (Status.QUEUED, Step.WAIT)
        assert messages() == [session.pk]

    def test_hands_back_the_last_attempt_as_failed(self) -> None:
        session = running(attempts=2, step=Step.FIT)
        sessions.hand_back(session.pk, 2)
        session.refresh_from_db()
        assert session.status == Status.FAILED
        assert (
            session.reason
            == "The worker was stopped during attempt 2 of 2, at step fit. The records are kept."
        )

    def test_does_not_hand_back_what_it_does_not_hold(self) -> None:
        session = running(attempts=2)
        sessions.hand_back(session.pk, 1)
        session.refresh_from_db()
        assert session.status == Status.RUNNING


WRITES: list[Callable[[int, int], object]] = [
    sessions.beat,
    lambda pk, attempt: sessions.advance(pk, attempt, Step.FIT, 60),
    lambda pk, attempt: sessions.finish(pk, attempt, version=ModelVersion.objects.get()),
    lambda pk, attempt: sessions.fail(pk, attempt, reason="x"),
    sessions.confirm_cancel,
    sessions.retry,
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize(
    "fields",
    [
        {"attempts": 2},  # somebody else's by now
        {"status": Status.QUEUED},  # given back to the queue
        {"status": Status.CANCELLED},
        {"heartbeat_at": ago(60)},  # a holder that slept past its lease, and nobody noticed yet
    ],
)
def test_who_does_not_hold_the_session_writes_nothing(
    write: Callable[[int, int], object], fields: dict[str, Any]
) -> None:
    VersionFactory.create()
    session = running(**fields)
    before = TrainingSession.objects.values().get()
    assert sessions.holds(session.pk, 1) is False
    with pytest.raises(LeaseLostError):
        write(session.pk, 1)
    assert TrainingSession.objects.values().get() == before


def test_finishing_what_is_to_be_cancelled_publishes_nothing() -> None:
    session, version = running(cancel_requested=True), VersionFactory.create()
    with pytest.raises(LeaseLostError):
        sessions.finish(session.pk, 1, version=version)
    session.refresh_from_db()
    assert session.status == Status.RUNNING


class TestCancel:
    def test_queued_ends_at_once(self) -> None:
        session = SessionFactory.create()
        sessions.cancel_session(session=session, user=UserFactory.create(username="ana"))
        assert (session.status, session.reason) == (Status.CANCELLED, "Cancelled by ana.")
        assert session.finished_at is not None

    def test_running_is_asked(self) -> None:
        session = running()
        sessions.cancel_session(session=session)
        assert (session.status, session.cancel_requested) == (Status.RUNNING, True)
        assert session.reason == "Cancelled."

    @pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.SKIPPED])
    def test_ended_is_refused(self, status: Status) -> None:
        session = SessionFactory.create(status=status, reason="before")
        with pytest.raises(NotAllowedNowError):
            sessions.cancel_session(session=session)
        session.refresh_from_db()
        assert (session.status, session.reason) == (status, "before")


class TestRecover:
    def test_nothing_to_do_is_one_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        running()
        with django_assert_num_queries(1):
            assert sessions.recover_sessions() == 0

    def test_a_dead_worker_s_session_is_queued_again(self) -> None:
        session = running(heartbeat_at=ago(16), step=Step.FIT, progress=60)
        assert sessions.recover_sessions() == 1
        session.refresh_from_db()
        assert (session.status, session.step, session.progress) == (Status.QUEUED, Step.WAIT, 0)
        assert session.attempts == 1
        assert session.queued_at > ago(5)
        assert messages() == [session.pk]
        assert sessions.recover_sessions() == 0

    def test_within_its_lease_it_is_left_alone(self) -> None:
        session = running(heartbeat_at=ago(13))
        assert sessions.recover_sessions() == 0
        session.refresh_from_db()
        assert session.status == Status.RUNNING

    def test_dead_twice_is_failed(self) -> None:
        session = running(heartbeat_at=ago(16), attempts=2, step=Step.WRITE)
        assert sessions.recover_sessions() == 1
        session.refresh_from_db()
        assert session.status == Status.FAILED
        assert session.reason == "The worker died during attempt 2 of 2, at step write. The records are kept."
        assert messages() == []

    def test_dead_and_to_be_cancelled_is_cancelled(self) -> None:
        session = running(heartbeat_at=ago(16), cancel_requested=True, reason="Cancelled by ana.")
        assert sessions.recover_sessions() == 1
        session.refresh_from_db()
        assert (session.status, session.reason) == (Status.CANCELLED, "Cancelled by ana.")

    def test_a_heartbeat_at_the_last_moment_wins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = running(heartbeat_at=ago(16))
        take_back = sessions._take_back

        def beat_first(seen: TrainingSession, *, cause: str) -> bool:
            TrainingSession.objects.filter(pk=session.pk).update(heartbeat_at=timezone.now())
            return take_back(seen, cause=cause)

        monkeypatch.setattr(sessions, "_take_back", beat_first)
        assert sessions.recover_sessions() == 0
        session.refresh_from_db()
        assert session.status == Status.RUNNING
        assert messages() == []

    @pytest.mark.parametrize(("waits", "silent", "seconds"), [(61, None, 60), (46, 61, 45), (31, 86_400, 30)])
    def test_a_minute_after_anybody_worked_on_it_it_is_failed(
        self, waits: int, silent: int | None, seconds: int
    ) -> None:
        session = SessionFactory.create(queued_at=ago(waits), heartbeat_at=silent and ago(silent))
        assert sessions.recover_sessions() == 1
        session.refresh_from_db()
        assert session.status == Status.FAILED
        assert session.reason == (
            f"No queue worker took the training session within {seconds} s. "
            "Start one with: python manage.py qcluster"
        )

    @pytest.mark.parametrize(("waits", "silent"), [(55, None), (55, 55), (29, 86_400)])
    def test_less_than_a_minute_waits_on(self, waits: int, silent: int | None) -> None:
        """After a day of silence too: the machine was down, and its queue needs some seconds to start."""
        SessionFactory.create(queued_at=ago(waits), heartbeat_at=silent and ago(silent))
        assert sessions.recover_sessions() == 0

    def test_who_stops_in_order_leaves_the_whole_minute(self) -> None:
        session = running(heartbeat_at=ago(1))
        sessions.hand_back(session.pk, session.attempts)
        TrainingSession.objects.update(queued_at=ago(50), heartbeat_at=ago(51))
        assert sessions.recover_sessions() == 0

    def test_a_cancel_that_was_cut_short_is_completed(self) -> None:
        session = SessionFactory.create(cancel_requested=True)
        assert sessions.recover_sessions() == 1
        session.refresh_from_db()
        assert session.status == Status.CANCELLED


class TestWaiting:
    def test_nobody_claims(self) -> None:
        session = SessionFactory.create()
        assert sessions.wait_for_claim(session, 0.2) is False

    def test_claimed(self) -> None:
        session = SessionFactory.create()
        sessions.claim(session.pk)
        assert sessions.wait_for_claim(session, 10) is True
        assert (session.status, session.attempts) == (Status.RUNNING, 1)

    def test_still_running(self) -> None:
        session = running()
        assert sessions.wait_for_end(session, 0.2) is False

    def test_ended(self) -> None:
        session = running()
        sessions.fail(session.pk, 1, reason="x")
        assert sessions.wait_for_end(session, 10) is True
        assert (session.status, session.reason) == (Status.FAILED, "x")

    def test_who_waits_for_a_dead_worker_is_told(self) -> None:
        session = running(attempts=2, heartbeat_at=ago(16))
        assert sessions.wait_for_end(session, 10) is True
        assert session.status == Status.FAILED

    def test_one_look_costs_one_query(self, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        session = running()
        with django_assert_num_queries(1):
            assert sessions.wait_for_end(session, 0) is False

    def test_unclaimed_expires(self, settings: Settings) -> None:
        settings.TRAINING_CLAIM_WAIT = 7
        session = SessionFactory.create()
        with pytest.raises(NoWorkerError, match=r"within 7 s\. Start one with: python manage\.py qcluster"):
            sessions.expire_unclaimed(session)
        assert session.status == Status.FAILED
        assert "python manage.py qcluster" in session.reason

    def test_claimed_at_the_last_moment_does_not_expire(self) -> None:
        session = SessionFactory.create()
        sessions.claim(session.pk)
        sessions.expire_unclaimed(session)
        assert session.status == Status.RUNNING


@pytest.mark.django_db(transaction=True)
def test_waiting_sees_what_another_connection_does() -> None:
    session = running()

    def end() -> None:
        sessions.fail(session.pk, 1, reason="elsewhere")
        connection.close()

    timer = threading.Timer(0.4, end)
    timer.start()
    assert sessions.wait_for_end(session, 10) is True
    timer.join()
    assert session.reason == "elsewhere"
