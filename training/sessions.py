"""The life of a training session: every transition is a compare-and-set on its row.

The holder of a running session is who raised `attempts` last, as long as its heartbeat is younger than the
lease. Nobody else writes to the row, and a holder that fell silent publishes nothing: whoever looks next
(the queue's watchdog, a request, a status call) takes the session back with `recover_sessions`.
Every moment here is the database's (`database_now`): the nodes' own clocks may differ.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import Error, IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django_q.tasks import async_task

from training import nodes, notices, outages
from training.database import database_now
from training.errors import (
    LeaseLostError,
    NotAllowedNowError,
    NothingApprovedError,
    NoWorkerError,
    SessionActiveError,
)
from training.idempotency import RequestKey, begin_once, begun_by, columns_of, is_repeat
from training.ml.failpoints import failpoint
from training.models import Anomaly, Backup, ModelVersion, TrainingSession
from training.models.session import TrainingSessionQuerySet
from training.outages import DatabaseUnavailableError, answering_within
from training.processes import leaving
from training.records import RecordCounts, ScoredReport, store_records
from training.session_log import note_event, note_step

logger = logging.getLogger(__name__)

Status = TrainingSession.Status
Step = TrainingSession.Step
Cause = TrainingSession.Cause

RUN_SESSION = "training.tasks.run_session"
WORKER_COMMAND = "python manage.py qcluster"
POLL_SECONDS = 0.05
LOST_SECONDS = 0.5  # between looks while the database does not answer
LOOK_SECONDS = 5.0  # that it has for an answer


def accept_batch(
    *, reports: Sequence[ScoredReport], user: User | None = None, request: RequestKey | None = None
) -> TrainingSession:
    """Store the records as approved, create the session and ring the queue: all of it or nothing.

    A `request` that came before gets its session of then. Raises SessionActiveError while another session is
    queued or running, KeyReusedError; nothing is stored then.
    """
    return begin_once(
        rows=TrainingSession.objects.all(),
        request=request,
        user=user,
        begin=lambda: _accept(reports, user, request),
    )


def _accept(
    reports: Sequence[ScoredReport], user: User | None, request: RequestKey | None
) -> TrainingSession:
    _refuse_while_active()
    with transaction.atomic():
        session = _create(trigger=TrainingSession.Trigger.API, user=user, request=request)
        # In one order, as in api/v1: two that bring the same new ids wait for each other, no deadlock.
        ordered = sorted(reports, key=lambda report: report.anomaly_id)
        counts = store_records(
            reports=ordered, user=user, source=Anomaly.Source.API, reason=session.change_reason
        )
        failpoint("accept.stored")
        _note_counts(session, counts)
        ring(session.pk)
        failpoint("accept.rung")
    failpoint("accept.committed")
    return session


def start_session(
    *,
    trigger: TrainingSession.Trigger,
    user: User | None = None,
    request: RequestKey | None = None,
    enqueue: bool = True,
) -> TrainingSession:
    """A session on what is approved; without `enqueue` the caller claims it itself.

    A `request` that came before gets its session of then. Raises SessionActiveError, KeyReusedError, or
    NothingApprovedError when there is nothing to train on.
    """
    return begin_once(
        rows=TrainingSession.objects.all(),
        request=request,
        user=user,
        begin=lambda: _start(trigger, user, request, enqueue=enqueue),
    )


def _start(
    trigger: TrainingSession.Trigger, user: User | None, request: RequestKey | None, *, enqueue: bool
) -> TrainingSession:
    _refuse_while_active()
    if not Anomaly.objects.approved().exists():
        raise NothingApprovedError("There is no approved anomaly to train on. Import or approve some first.")
    with transaction.atomic():
        session = _create(trigger=trigger, user=user, request=request)
        if enqueue:
            ring(session.pk)
    return session


def cancel_session(*, session: TrainingSession, user: User | None = None) -> None:
    """A queued session ends at once, a running one within seconds: its supervisor sees the request.

    Raises NotAllowedNowError when it has ended already.
    """
    this = TrainingSession.objects.filter(pk=session.pk)
    reason = f"Cancelled by {user.get_username()}." if user else "Cancelled."
    # The request first: a session that moves between the two states meanwhile takes it along.
    if not this.active().update(cancel_requested=True, reason=reason):
        raise NotAllowedNowError("The training session has already ended.")
    _end(this.filter(status=Status.QUEUED, cancel_requested=True), Status.CANCELLED)
    session.refresh_from_db()


# --- For who waits -----------------------------------------------------------------------------


def wait_for_claim(session: TrainingSession, seconds: float) -> bool | None:
    """Wait until a worker took the session (or it ended); False when nobody did in time.

    None when nobody knows: the database does not answer, or this process is about to end.
    """
    return _wait(session, seconds, lambda: session.status != Status.QUEUED)


def wait_for_end(session: TrainingSession, seconds: float) -> bool:
    """Wait until the session ended; False when it still goes on, or nobody knows. The row is read again."""
    return _wait(session, seconds, lambda: not session.is_active) is True


def expire_unclaimed(session: TrainingSession) -> None:
    """End a session that no worker took. Raises NoWorkerError, unless one took it at the last moment."""
    reason = f"{_nobody_took_it(settings.TRAINING_CLAIM_WAIT)}. The records are kept."
    unclaimed = TrainingSession.objects.filter(pk=session.pk, status=Status.QUEUED)
    expired = _end(unclaimed, Status.FAILED, reason=reason, cause=Cause.NO_WORKER)
    session.refresh_from_db()
    if expired:
        raise NoWorkerError(reason)


def _wait(session: TrainingSession, seconds: float, done: Callable[[], bool]) -> bool | None:
    """Whether it was done in time; None when nobody knows.

    The wait outlasts a database that goes and comes.
    """
    deadline = time.monotonic() + seconds
    while True:
        is_known = _look_again(session)
        if is_known and done():
            return True
        if leaving.is_set():
            return None
        if time.monotonic() >= deadline:
            return False if is_known else None
        time.sleep(POLL_SECONDS if is_known else LOST_SECONDS)


def _look_again(session: TrainingSession) -> bool:
    """Read the row again; False when the database does not answer: the next look connects anew.

    Who waits also looks: a session whose worker died, watchdog and all, keeps no request waiting.
    """
    try:
        with answering_within(LOOK_SECONDS):
            session.refresh_from_db()
            if session.is_active and _recover(session):
                session.refresh_from_db()
    except (Error, DatabaseUnavailableError) as error:
        if outages.report(error) is None:
            raise
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        return False
    return True


# --- For the holder ----------------------------------------------------------------------------


def claim(session_id: int) -> int | None:
    """Take a queued session; the attempt's number, which fences every later write, or None."""
    queued = TrainingSession.objects.filter(
        pk=session_id,
        status=Status.QUEUED,
        cancel_requested=False,
        attempts__lt=settings.TRAINING_MAX_ATTEMPTS,
    )
    attempts = queued.values_list("attempts", flat=True).first()
    if attempts is None or not _begin(queued.filter(attempts=attempts)):
        return None
    failpoint("session.claimed")
    note_step(session_id, attempts + 1, Step.START)
    return attempts + 1


def retry(session_id: int, attempt: int) -> int | None:
    """The holder's next attempt, counted before it begins; None when there is none left."""
    if attempt >= settings.TRAINING_MAX_ATTEMPTS:
        return None
    if not _begin(_held(session_id, attempt).filter(cancel_requested=False)):
        raise _lost(session_id, attempt)
    note_step(session_id, attempt + 1, Step.START)
    return attempt + 1


def beat(session_id: int, attempt: int) -> bool:
    """Renew the lease; True when somebody asked to cancel. Raises LeaseLostError."""
    _write(session_id, attempt, heartbeat_at=database_now())
    return TrainingSession.objects.filter(pk=session_id, cancel_requested=True).exists()


def holds(session_id: int, attempt: int) -> bool:
    """Whether this attempt still holds the session."""
    return _held(session_id, attempt).exists()


def has_ended(session_id: int, attempt: int) -> bool:
    """Whether this attempt, and no later one, brought the session to its end."""
    return TrainingSession.objects.ended().filter(pk=session_id, attempts=attempt).exists()


def keep_backup(session_id: int, attempt: int, backup: Backup) -> None:
    """Say which backup was taken before the session changed anything. Raises LeaseLostError."""
    _write(session_id, attempt, backup=backup)


def advance(session_id: int, attempt: int, step: TrainingSession.Step, progress: int) -> None:
    """Say where the attempt is; `progress` in percent of the whole session. Raises LeaseLostError."""
    _write(session_id, attempt, step=step, progress=progress)
    note_step(session_id, attempt, step)


def finish(session_id: int, attempt: int, *, version: ModelVersion) -> None:
    """running → succeeded. To be called in the transaction that created the version.

    Raises LeaseLostError, which rolls that version back.
    """
    held = _held(session_id, attempt).filter(cancel_requested=False)
    if not _end(held, Status.SUCCEEDED, model_version=version, progress=100, reason=""):
        raise _lost(session_id, attempt)


def fail(
    session_id: int, attempt: int, *, reason: str, cause: TrainingSession.Cause = TrainingSession.Cause.DATA
) -> None:
    """running → failed. Raises LeaseLostError."""
    if not _end(_held(session_id, attempt), Status.FAILED, reason=reason, cause=cause):
        raise _lost(session_id, attempt)


def confirm_cancel(session_id: int, attempt: int) -> None:
    """running → cancelled, once the work has stopped. Raises LeaseLostError."""
    if not _end(_held(session_id, attempt), Status.CANCELLED):
        raise _lost(session_id, attempt)


def hand_back(session_id: int, attempt: int) -> None:
    """The holder is told to stop: the session is queued again for another worker, or has failed."""
    session = TrainingSession.objects.filter(pk=session_id, status=Status.RUNNING, attempts=attempt).first()
    if session is not None:
        _take_back(session, cause="The worker was stopped")


# --- For whoever looks -------------------------------------------------------------------------


def recover_sessions() -> int:
    """Bring a session that nobody works on to where it can go on or end; how many were changed.

    Cheap, and safe to call from everywhere at once: one query when there is nothing to do.
    """
    return sum(_recover(session) for session in TrainingSession.objects.active())


def ring(session_id: int) -> None:
    """Put the session's message in the queue; again, when a killed cluster may have taken the first along.

    The ORM broker writes to the same database: the message commits or vanishes with the row.
    """
    logger.info("Training session %d waits for a worker", session_id)
    async_task(RUN_SESSION, session_id, task_name=f"training session {session_id}")


def _recover(session: TrainingSession) -> bool:
    if session.status == Status.RUNNING:
        return session.lease_expired and _take_back(session, cause="The worker died")
    queued = TrainingSession.objects.filter(
        pk=session.pk, status=Status.QUEUED, attempts=session.attempts, queued_at=session.queued_at
    )
    if session.cancel_requested:
        return _end(queued, Status.CANCELLED)
    limit = timedelta(seconds=settings.TRAINING_QUEUE_LIMIT)
    # The wait for a dead worker's lease counts too, half at most: everything may have been down for a day.
    waited = min(session.queued_at - (session.heartbeat_at or session.queued_at), limit / 2)
    if database_now() - session.queued_at <= limit - waited:
        return False
    seconds = round((limit - waited).total_seconds())
    reason = _nobody_took_it(seconds)
    return _end(queued, Status.FAILED, reason=reason, cause=Cause.NO_WORKER)


def _nobody_took_it(seconds: float) -> str:
    """With why the nodes that live did not."""
    refusals = nodes.queue_refusals()
    why = f" These have other libraries than the active version: {'; '.join(refusals)}." if refusals else ""
    return (
        f"No queue worker took the training session within {seconds} s.{why} Start one with: {WORKER_COMMAND}"
    )


def _take_back(session: TrainingSession, *, cause: str) -> bool:
    """running → cancelled, queued again, or failed; False when somebody else was faster."""
    held = TrainingSession.objects.filter(
        pk=session.pk, status=Status.RUNNING, attempts=session.attempts, heartbeat_at=session.heartbeat_at
    )
    if session.cancel_requested:
        return _end(held, Status.CANCELLED)
    if session.attempts >= settings.TRAINING_MAX_ATTEMPTS:
        reason = f"{cause} during attempt {session.attempts} of {settings.TRAINING_MAX_ATTEMPTS}"
        step = Step(session.step)
        reason = f"{reason}, at step {step.value}. The records are kept."
        return _end(held, Status.FAILED, reason=reason, cause=Cause.DIED)
    with transaction.atomic():
        requeued = held.filter(cancel_requested=False).update(
            status=Status.QUEUED, step=Step.WAIT, progress=0, queued_at=database_now()
        )
        if requeued:
            note_event(session.pk, session.attempts, f"{cause}: the session is queued again.")
            ring(session.pk)
    return requeued == 1


# --- The row -----------------------------------------------------------------------------------


def _refuse_while_active() -> None:
    """Spares a batch the work of being stored and rolled back; the constraint is what decides."""
    recover_sessions()
    if TrainingSession.objects.active().exists():
        raise SessionActiveError


def _create(
    *, trigger: TrainingSession.Trigger, user: User | None, request: RequestKey | None
) -> TrainingSession:
    """The one active session. Raises SessionActiveError when there is another, or its request came before.

    To be called first in a transaction: whoever comes at the same moment waits for its end. The constraint
    on keys knows no requests of nobody, so those are asked for here, where no other can begin any more.
    """
    try:
        session = TrainingSession.objects.create(
            trigger=trigger, requested_by=user, queued_at=database_now(), **columns_of(request)
        )
    except IntegrityError as error:
        if "one_active_session" in str(error) or is_repeat(error):
            raise SessionActiveError from error
        raise
    if user is None and begun_by(TrainingSession.objects.exclude(pk=session.pk), request, user):
        raise SessionActiveError
    return session


def _note_counts(session: TrainingSession, counts: RecordCounts) -> None:
    session.records_received = counts.received
    session.records_created = counts.created
    session.records_updated = counts.updated
    session.records_unchanged = counts.unchanged
    session.save(
        update_fields=["records_received", "records_created", "records_updated", "records_unchanged"]
    )


def _begin(found: TrainingSessionQuerySet) -> bool:
    now = database_now()
    return (
        found.update(
            status=Status.RUNNING,
            step=Step.START,
            progress=0,
            attempts=F("attempts") + 1,
            started_at=Coalesce("started_at", now),
            heartbeat_at=now,
        )
        == 1
    )


def _end(found: TrainingSessionQuerySet, status: TrainingSession.Status, **changes: Any) -> bool:
    """Bring it to its end, with the notice of that in the same transaction; False when it is not found."""
    with transaction.atomic():
        session = found.select_for_update().first()
        if session is None or not found.update(status=status, finished_at=database_now(), **changes):
            return False
        session.refresh_from_db()
        notices.session_ended(session=session)
    return True


def _held(session_id: int, attempt: int) -> TrainingSessionQuerySet:
    lease = timedelta(seconds=settings.TRAINING_LEASE)
    return TrainingSession.objects.filter(
        pk=session_id, status=Status.RUNNING, attempts=attempt, heartbeat_at__gt=database_now() - lease
    )


def _write(session_id: int, attempt: int, **changes: Any) -> None:
    if _held(session_id, attempt).update(**changes) != 1:
        raise _lost(session_id, attempt)


def _lost(session_id: int, attempt: int) -> LeaseLostError:
    return LeaseLostError(f"Attempt {attempt} no longer holds training session {session_id}.")
