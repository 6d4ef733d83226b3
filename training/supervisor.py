"""Around one training: a fresh subprocess works, its supervisor answers for it.

The supervisor holds the lease. Its heartbeat, the timeout, a request to cancel and the second attempt do not
depend on the subprocess, which may hang in C code, be killed for its memory, or never come up.
"""

import logging
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection

from anomalyproject.logs import logged_with, pass_on
from training import artifacts, backups, file_imports, sessions, versions
from training.errors import LeaseLostError, StorageError, TrainingError
from training.launcher import Child, Launcher
from training.ml.failpoints import failpoint
from training.models import TrainingSession
from training.outages import FailureLog
from training.processes import STOPPED_BY_SIGNAL, StopRequest, stop_requests
from training.session_log import Lines, prune_lines

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

TICK = 0.2  # seconds between looks at the subprocess
BEAT = 2.0  # seconds between heartbeats: how long a request to cancel may go unheard
HEARTBEAT = "A heartbeat of the training session failed"
LEAVE = 5.0  # seconds that the subprocess has to end after its session


class End(Enum):
    """Why an attempt is over: the subprocess ended, or it has to."""

    ENDED = "ended"
    STOPPED = "stopped"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """Whom to tell: `on_tick` a few times a second, `on_line` each line that the subprocess logs.

    `on_beat`, every few seconds, may write to the database.
    """

    on_tick: Callable[[], object] = lambda: None
    on_beat: Callable[[], object] = lambda: None
    on_line: Callable[[str], object] = pass_on


def supervise(session_id: int, *, launcher: Launcher, listener: Listener | None = None) -> None:
    """Claim the session and see it to its end; nothing happens when it cannot be claimed.

    Stopped by SIGTERM, it gives the session back to the queue and exits. Main thread only.
    """
    with logged_with(session=session_id):
        attempt = sessions.claim(session_id)
        if attempt is None:
            logger.info("Training session %d does not wait for a worker", session_id)
            return
        with stop_requests(signal.SIGTERM) as stop:
            while attempt is not None:
                with logged_with(attempt=attempt):
                    attempt = _attempt(launcher, session_id, attempt, stop, listener or Listener())
        failpoint("session.over")
        _tidy()


def _attempt(
    launcher: Launcher, session_id: int, attempt: int, stop: StopRequest, listener: Listener
) -> int | None:
    """See one attempt to its end: the number of the next one, or None when the session has ended."""
    lines = Lines(session_id, attempt, listener.on_line)
    try:
        with _kept(lines), launcher.launch(session_id, attempt, on_line=lines.hear) as child:
            failpoint("session.launched")
            listening = Listener(on_tick=listener.on_tick, on_beat=lines.flush)
            end = _watch(child, session_id, attempt, stop, listening)
        failpoint("session.settling")
        return _settle(end, child, session_id, attempt)
    except LeaseLostError as error:
        if not sessions.has_ended(session_id, attempt):  # it may have closed the session this moment
            logger.warning("%s", error)
        return None


@contextmanager
def _kept(lines: Lines) -> Iterator[None]:
    """What the subprocess said is in the session's log, however the attempt ends."""
    try:
        yield
    finally:
        try:
            lines.flush(is_last=True)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("What the training said could not be kept: %s", error)


def _settle(end: End, child: Child, session_id: int, attempt: int) -> int | None:
    """The subprocess is dead: write to the session's row what that means. Raises LeaseLostError."""
    match end:
        case End.STOPPED:
            sessions.hand_back(session_id, attempt)
            sys.exit(STOPPED_BY_SIGNAL)
        case End.TIMED_OUT:
            reason = f"The training timed out after {settings.TRAINING_TIMEOUT} s."
            sessions.fail(session_id, attempt, reason=reason, cause=TrainingSession.Cause.TIMEOUT)
        case End.CANCELLED:
            sessions.confirm_cancel(session_id, attempt)
        case End.ENDED if not sessions.has_ended(session_id, attempt):
            return _next_attempt(session_id, attempt, child)
    return None


def _watch(child: Child, session_id: int, attempt: int, stop: StopRequest, listener: Listener) -> End:
    """Renew the lease while the subprocess works. Raises LeaseLostError."""
    started = renewed = time.monotonic()
    due = started
    while child.exit_code is None:
        now = time.monotonic()
        if stop.is_set():
            return End.STOPPED
        if now - started > settings.TRAINING_TIMEOUT:
            return End.TIMED_OUT
        if now - renewed > settings.TRAINING_LEASE:
            raise LeaseLostError(f"No heartbeat of training session {session_id} got through in time.")
        if now >= due:
            due = now + min(BEAT, settings.TRAINING_LEASE / 4)
            try:
                if end := _beat(child, session_id, attempt):
                    return end
                renewed = now
                failures.succeeded(HEARTBEAT)
                listener.on_beat()
            except (OperationalError, InterfaceError) as error:
                failures.failed(HEARTBEAT, error)
                connection.close()
        listener.on_tick()
        stop.wait(TICK)
    return End.ENDED


def _beat(child: Child, session_id: int, attempt: int) -> End | None:
    """Renew the lease; why the attempt is over, if it is. Raises LeaseLostError.

    The subprocess may close the session this very moment: then it has time to leave, and the launcher stays.
    """
    try:
        return End.CANCELLED if sessions.beat(session_id, attempt) else None
    except LeaseLostError:
        if not sessions.has_ended(session_id, attempt):
            raise
        child.wait(LEAVE)
        return End.ENDED


def _next_attempt(session_id: int, attempt: int, child: Child) -> int | None:
    """The subprocess died without closing the session: once more, or that was it."""
    if sessions.beat(session_id, attempt):
        sessions.confirm_cancel(session_id, attempt)
        return None
    logger.error("Attempt %d of training session %d died: %s", attempt, session_id, child.last_words)
    following = sessions.retry(session_id, attempt)
    if following is None:
        reason = f"The training process died in each of {attempt} attempts, the last one {child.last_words}"
        sessions.fail(session_id, attempt, reason=reason, cause=TrainingSession.Cause.DIED)
    return following


def _tidy() -> None:
    """Retention, after the session has ended: what fails here is no failure of the training."""
    try:
        removed = [*versions.prune_versions(), *backups.prune_backups(), *artifacts.sweep()]
        file_imports.sweep_imports()
        prune_lines()
    except StorageError as error:  # out of reach, or another installation's: the sentence says it
        logger.warning("Old versions and backups are not removed: %s", error)
    except (OSError, TrainingError, DatabaseError):
        logger.exception("Old versions and backups could not be removed")
    else:
        logger.info("Removed %d old versions and backups", len(removed))
