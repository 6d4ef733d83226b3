"""The database that does not answer: which errors say so, whether it is away now, how long to wait for it.

What a request waits for is bounded (`answering_within`): a database that neither answers nor refuses holds no
thread for long. Once it is seen to be away, one thread asks it every second; meanwhile nobody else needs to.
"""

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from typing import Any

from django.db import Error, InterfaceError, OperationalError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from training.errors import TrainingError

logger = logging.getLogger(__name__)

PROBE_EVERY = 1.0  # seconds
PROBE_WITHIN = 2.0  # seconds
LONG = 5.0  # seconds that no statement of a process takes which serves, or watches
RETRY_AFTER = 5  # seconds, for whoever is refused


class Kind(Enum):
    """In what way the database is unavailable."""

    AWAY = "The database does not answer. Please try again in a moment."
    BUSY = "The database is busy. Please try again in a moment."
    READ_ONLY = "The database cannot be written at the moment. Please try again later."
    FULL = "The database has no room left. Please try again later."

    @property
    def beginning(self) -> str:
        """Return the fact alone, for the log."""
        return self.value.partition(".")[0]


class DatabaseUnavailableError(TrainingError):
    """The database does not answer, or cannot be written: nothing is wrong with the request."""

    def __init__(self, kind: Kind = Kind.AWAY) -> None:
        super().__init__(kind.value)
        self.kind = kind


# Primary result codes (sqlite.org/rescode.html). "No such table" and "too many variables" are no such thing.
SQLITE = {
    3: Kind.AWAY,  # no permission
    5: Kind.BUSY,
    6: Kind.BUSY,  # locked
    8: Kind.READ_ONLY,
    10: Kind.AWAY,  # an I/O error
    11: Kind.AWAY,  # corrupt
    13: Kind.FULL,
    14: Kind.AWAY,  # cannot be opened
    15: Kind.BUSY,  # the protocol of its locks
    26: Kind.AWAY,  # not a database
}
# SQLSTATE, or its class of two letters (PostgreSQL, appendix A).
POSTGRESQL = {
    "08": Kind.AWAY,  # connection exceptions
    "25006": Kind.READ_ONLY,
    "28": Kind.AWAY,  # the login is refused
    "3D": Kind.AWAY,  # there is no such database
    "40": Kind.BUSY,  # deadlocks and failed serialisations
    "53": Kind.AWAY,  # too many connections, out of memory
    "53100": Kind.FULL,
    "55000": Kind.AWAY,  # it accepts no connections
    "55P03": Kind.BUSY,  # a lock that was not waited for
    "57": Kind.AWAY,  # shutting down, starting up
    "57014": Kind.BUSY,  # a statement that took too long
    "58": Kind.AWAY,  # I/O errors
}


def kind_of(error: BaseException | None) -> Kind | None:
    """In what way the error says that the database is unavailable; None for any other error."""
    if isinstance(error, DatabaseUnavailableError):
        return error.kind
    if not isinstance(error, Error):
        return None
    cause = error.__cause__ or error
    if isinstance(cause, sqlite3.Error):
        return SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
    if (state := getattr(cause, "sqlstate", None)) is not None:
        return POSTGRESQL.get(state) or POSTGRESQL.get(state[:2])
    # No code: what the driver says itself, of a connection that could not be made or was lost.
    return Kind.AWAY if isinstance(error, OperationalError | InterfaceError) else None


def lacks_tables(error: BaseException) -> bool:
    """Say whether a statement named a table or column that the database does not have: it is not migrated."""
    cause = error.__cause__ if isinstance(error, Error) else None
    if isinstance(cause, sqlite3.OperationalError):
        return str(cause).startswith(("no such table", "no such column"))
    return getattr(cause, "sqlstate", None) in {"42P01", "42703"}  # undefined table, undefined column


# --- How long to wait --------------------------------------------------------------------------

_patience: ContextVar[float | None] = ContextVar("database_patience", default=None)


@contextmanager
def answering_within(seconds: float | None) -> Iterator[None]:
    """Let each statement in the block wait that long for PostgreSQL; None: as long as it takes.

    Then it raises DatabaseUnavailableError, and the connection is closed.
    """
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def bound_waits(*, connection: BaseDatabaseWrapper, **_: object) -> None:
    """Make a new connection to PostgreSQL obey `answering_within`: receiver of `connection_created`.

    An answer that was LONG in coming tells as well that the database was away: no error said so.
    """
    if connection.vendor != "postgresql":
        return
    driver, unbounded = connection.connection, connection.connection.wait

    def wait(*arguments: Any, **options: Any) -> Any:
        import psycopg  # noqa: PLC0415  # there, since a connection is

        patience, asked = _patience.get(), time.monotonic()
        bound = {} if patience is None else {"timeout": patience}
        try:
            return unbounded(*arguments, **options | bound)
        except psycopg.errors._WaitTimeout as error:  # noqa: SLF001  # pinned; it has no other name
            driver.pgconn.finish()  # what the server may still send belongs to no later statement
            connection.errors_occurred = True
            suspect()
            # No error of the driver's: Django would take it for a lost connection, and wait for another one.
            raise DatabaseUnavailableError from error
        finally:
            if time.monotonic() - asked > LONG:
                note_unavailable()

    driver.wait = wait


# --- Whether it is away ------------------------------------------------------------------------


class _Outage:
    """What this process knows: since when the database is away, and whether a thread asks it."""

    since: float | None = None  # on the monotonic clock
    seen_at = -math.inf  # when it was last seen to be away, or to take nothing
    reason = ""
    is_probed = False
    lock = threading.Lock()


def is_away() -> bool:
    """Whether the database did not answer a moment ago: it need not be asked again."""
    return _Outage.since is not None


def was_unavailable_within(seconds: float) -> bool:
    """Return whether this process saw the database away, or taking nothing, so lately.

    What others write regularly may be late then.
    """
    return time.monotonic() - _Outage.seen_at < seconds


def note(error: BaseException) -> None:
    """Remember that the database was unavailable this moment, if the error says so; asks nothing."""
    if kind_of(error) is not None:
        note_unavailable()


def note_unavailable() -> None:
    """Remember that the database was unavailable this moment: away, or it took nothing."""
    _Outage.seen_at = time.monotonic()


def require_database() -> None:
    """For whoever can do without: raises DatabaseUnavailableError while the database is away, or may be."""
    if is_away() or _Outage.is_probed:
        raise DatabaseUnavailableError


def report(error: BaseException) -> Kind | None:
    """Say what the error means, as `kind_of`, and find out whether the database is away when it seems so."""
    kind = kind_of(error)
    if kind in {Kind.AWAY, Kind.BUSY} and isinstance(error, Error):
        suspect()
    return kind


class FailureLog:
    """Log what is tried again and again: that it fails is one line, and that it does no longer another.

    A database that is unavailable is one line for the whole process, whatever asks it: `report` tells that it
    is away, and the first that meets another kind tells that.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def failed(self, what: str, error: BaseException | str) -> None:
        """Log it, unless that is known. `what` is a sentence, and the same each time."""
        kind = report(error) if isinstance(error, BaseException) else None
        is_known = kind is Kind.AWAY or what in _failing or (kind is not None and kind in _failing.values())
        fact = kind.beginning if kind else what
        self._logger.log(
            logging.DEBUG if is_known else logging.WARNING, "%s: %s", fact, " ".join(str(error).split())
        )
        if kind is not Kind.AWAY:
            _failing[what] = kind

    def succeeded(self, what: str) -> None:
        """Log that it no longer fails, if that was logged, and nothing else fails in the same way."""
        if what not in _failing:
            return
        kind = _failing.pop(what)
        if kind is None or kind not in _failing.values():
            self._logger.info("No longer: %s", kind.beginning if kind else what)


_failing: dict[str, Kind | None] = {}  # what failed when it was tried last, in this process


def suspect() -> None:
    """Ask the database in a thread, unless one does, until it answers."""
    with _Outage.lock:
        if _Outage.is_probed:
            return
        _Outage.is_probed = True
    threading.Thread(target=_probe_until_it_answers, name="database probe", daemon=True).start()


def _probe_until_it_answers() -> None:
    try:
        while (reason := probe()) is not None:
            if _Outage.since is None:
                logger.warning("The database does not answer: %s", reason)
                _Outage.since = time.monotonic()
            _Outage.reason, _Outage.seen_at = reason, time.monotonic()
            time.sleep(PROBE_EVERY)
    finally:
        since, _Outage.since = _Outage.since, None
        _Outage.is_probed = False
    if since is not None:
        logger.info("The database answers again, after %.0f s", time.monotonic() - since)


def probe() -> str | None:
    """Ask the database with a connection of its own; None when it answers, else why it does not."""
    try:
        with answering_within(PROBE_WITHIN), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM django_migrations")
    except (Error, DatabaseUnavailableError) as error:
        return " ".join(str(error).split()) if kind_of(error) else None
    finally:
        connection.close()
    return None
