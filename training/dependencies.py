"""What the product stands on, tried for real and within bounded time: media, storage, database, cache.

Each attempt runs in a thread of its own: a disk or a storage that hangs keeps that thread alone, and whoever
asked learns within PATIENCE that there is no answer. It runs in web processes and in the queue's watch alike.
"""

import errno
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import closing
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.conf import settings
from django.core.files.storage import storages
from django.db import Error, connection
from django.utils import timezone
from django.utils.translation import gettext_noop

from training import nodes, outages
from training.findings import Code, Severity, Trouble
from training.models import Backup, FileImport, ModelVersion
from training.shelves import is_local
from training.shelves.base import TEMPORARY
from training.shelves.copies import COPIES

if TYPE_CHECKING:
    from training.shelves.bucket import Bucket

PATIENCE = 3.0  # seconds that an attempt may take before it counts as unanswered
PIECE = 64 * 1024  # bytes of the probe file: more than what a nearly full disk has left over
LOCKED_AFTER = (
    8.0  # seconds for which nothing could be written: longer than any transaction of ours should take
)
LENGTH = 300  # characters of a reason
# Nothing can be written there, though it is there; every other error counts as out of reach.
READ_ONLY = {
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.ENOTDIR,
}
# PostgreSQL: read-only transaction, no privilege, no resources (a full disk), system error.
UNWRITABLE = ("25006", "42501", "53", "58")
NO_ANSWER = gettext_noop("no answer in time")
IS_STANDBY = gettext_noop("it is a standby")
IS_READ_ONLY = gettext_noop("its transactions are read-only")
# Sorted with little memory, so that the server writes a temporary file of 600 kB to its disk; no row.
SPILL = (
    "SELECT count(*) FROM (SELECT md5(n::text) FROM generate_series(1, 10000) AS n ORDER BY 1 OFFSET 1) AS s"
)


class Attempt:
    """One action, tried by one thread at a time; its last failure is known, and since when it fails."""

    def __init__(self, action: Callable[[], object]) -> None:
        self.since: datetime | None = None
        self._action = action
        self._lock = threading.Lock()
        self._future: Future[object] = Future()
        self._future.set_result(None)
        self._started = self._ended = float("-inf")
        self._began_at = timezone.now()
        self._error: BaseException | None = None

    def error(self, *, max_age: float = 0.0, patience: float | None = None) -> BaseException | None:
        """What it raises when it is tried now, or raised at most `max_age` seconds ago; None when it works.

        NoAnswer while it hangs, unless it was seen to fail before: then that.
        """
        future = self.begin(max_age)
        try:
            wait = self._started + (PATIENCE if patience is None else patience) - time.monotonic()
            return future.exception(timeout=max(0.0, wait))
        except NoAnswer as unanswered:
            self._note(self._error or unanswered)
            return self._error

    def begin(self, max_age: float = 0.0) -> "Future[object]":
        """Start it in its thread, unless it runs or ended at most `max_age` seconds ago; wait for nothing."""
        with self._lock:
            if self._future.done() and time.monotonic() - self._ended > max_age:
                self._future, self._started = Future(), time.monotonic()
                self._began_at = timezone.now()
                threading.Thread(target=self._run, args=(self._future,), daemon=True).start()
            return self._future

    def _run(self, future: "Future[object]") -> None:
        """Note how it ends also when nobody waits for it any more: who asks next learns of it."""
        error: BaseException | None = None
        try:
            self._action()
        except BaseException as raised:  # noqa: BLE001  # handed to whoever asks
            error = raised
        self._note(error)
        self._ended = time.monotonic()
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _note(self, error: BaseException | None) -> None:
        self._error = error
        self.since = (self.since or self._began_at) if error is not None else None


_attempts: dict[tuple[str, ...], Attempt] = {}


def attempt_at(action: Callable[..., object], *where: Any) -> Attempt:
    """The process's only one of that action at that place."""
    key = (getattr(action, "__name__", ""), *map(str, where))
    return _attempts.setdefault(key, Attempt(partial(action, *where)))


def reason_of(error: BaseException) -> str:
    """What an error says, in a line; no answer in time is said in the product's own words."""
    if isinstance(error, NoAnswer):
        return NO_ANSWER
    told = (getattr(error, "strerror", None) if isinstance(error, OSError) else None) or str(error)
    return " ".join(str(told).split())[:LENGTH] or type(error).__name__


# --- Media and storage -------------------------------------------------------------------------


def media_troubles(*, max_age: float = 0.0) -> Iterator[Trouble]:
    """Yield why this machine's MEDIA_ROOT, or a directory in it, takes no file.

    It is read-only, full, another's, a file, or not there at all. What keeps files out of MEDIA_ROOT is told
    once, not for each directory in it. All are tried at the same time: together they take PATIENCE at most.
    """
    media = attempt_at(write_file, settings.MEDIA_ROOT)
    inner = {directory: attempt_at(write_if_there, directory) for directory in directories()}
    for attempt in (media, *inner.values()):
        attempt.begin(max_age)
    if error := media.error(max_age=max_age):
        yield _trouble(_code_of(error), media, error)
        return
    for directory, attempt in inner.items():
        if error := attempt.error(max_age=max_age):
            part = str(directory.relative_to(settings.MEDIA_ROOT))
            yield _trouble(_code_of(error), attempt, error, part=part, where=directory)


def directories() -> list[Path]:
    """Return the directories of this machine in which files are written, once they are needed."""
    media = Path(settings.MEDIA_ROOT)
    signed = media if is_local() else media / COPIES
    return [signed / ModelVersion.DIRECTORY, signed / Backup.DIRECTORY, media / FileImport.DIRECTORY]


def _code_of(error: BaseException) -> Code:
    is_there = isinstance(error, OSError) and error.errno in READ_ONLY
    return Code.STORAGE_READ_ONLY if is_there else Code.STORAGE_UNREACHABLE


def storage_troubles(*, max_age: float = 0.0) -> Iterator[Trouble]:
    """The object storage of model versions and backups does not answer; nothing where they are on disk."""
    if not is_local():
        attempt = attempt_at(list_bucket, *_bucket())
        if error := attempt.error(max_age=max_age):
            yield _trouble(Code.STORAGE_UNREACHABLE, attempt, error, part="bucket")


def bucket_troubles(*, max_age: float = 0.0) -> Iterator[Trouble]:
    """The object storage answers and takes no object. An object is put and deleted: not for every look."""
    if not is_local() and not list(storage_troubles(max_age=PATIENCE)):
        attempt = attempt_at(write_object, *_bucket())
        if error := attempt.error(max_age=max_age):
            yield _trouble(Code.STORAGE_READ_ONLY, attempt, error, part="bucket")


def storage_problems(*, max_age: float = 0.0) -> Iterator[Trouble]:
    """All that keeps this machine from reading and writing what is stored."""
    yield from media_troubles(max_age=max_age)
    yield from storage_troubles(max_age=max_age)
    yield from bucket_troubles(max_age=max_age)


def write_file(directory: Any) -> None:
    """List the directory; write a file there, make it durable, read it, remove it. Raises OSError."""
    content = os.urandom(PIECE)
    with os.scandir(directory) as entries:
        next(entries, None)
    with tempfile.NamedTemporaryFile(dir=Path(directory), prefix=f"{TEMPORARY}probe-") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        file.seek(0)
        if file.read() != content:
            raise OSError(errno.EIO, "what was written is not what is read")


def write_if_there(directory: Any) -> None:
    """As `write_file`, unless nothing stands there: the directory is made when it is needed."""
    try:
        os.lstat(directory)
    except FileNotFoundError:
        return
    write_file(directory)


def list_bucket(*_where: str) -> None:
    _probes().entries(most=1)


def write_object(*_where: str) -> None:
    _probes().write(nodes.host(), b"probe")
    _probes().delete([nodes.host()])


def _probes() -> "Bucket":
    from training.shelves.bucket import Bucket  # noqa: PLC0415  # boto3 loads for who uses it

    return Bucket(storages["artifacts"], ".probes")


def _bucket() -> tuple[str, str, str]:
    storage: Any = storages["artifacts"]
    return storage.bucket_name, storage.location.strip("/"), str(storage.endpoint_url)


# --- The database ------------------------------------------------------------------------------


def database_read_only(*, max_age: float = 0.0, patience: float | None = None) -> Iterator[Trouble]:
    """Yield why the database answers and takes nothing: read-only, a standby, its disk full, or locked.

    One that does not answer is none of this: whoever asks it notices by itself. A lock of SQLite's counts
    after LOCKED_AFTER: who asks for the first time learns of it once the attempt has ended.
    """
    if holds_lock():
        return
    attempt = _writing()
    error = attempt.error(max_age=max_age, patience=patience)
    if error is None or isinstance(error, NoAnswer):
        return
    outages.note_unavailable()
    since = attempt.since or timezone.now()
    if _is_locked(error):
        seconds = (timezone.now() - since).total_seconds()
        yield Trouble(code=Code.DATABASE_LOCKED, facts={"seconds": round(seconds)}, since=since)
    else:
        yield Trouble(code=Code.DATABASE_READ_ONLY, facts={"reason": reason_of(error)}, since=since)


def is_writable(*, max_age: float = 0.0) -> bool:
    """Return whether something could be written now; False also when nobody knows."""
    return holds_lock() or _writing().error(max_age=max_age) is None


def _writing() -> Attempt:
    where = (connection.settings_dict[key] for key in ("ENGINE", "NAME", "HOST"))
    return attempt_at(try_to_write, *where)


def holds_lock() -> bool:
    """Return whether this thread is in a transaction of SQLite's: trying, it would wait for itself."""
    return connection.vendor == "sqlite" and connection.in_atomic_block


def try_to_write(engine: str, name: str, _host: str) -> None:
    """Raises what keeps the database from being written."""
    if engine.endswith("sqlite3"):
        _write_to_sqlite(str(name))
    elif engine.endswith("postgresql"):
        _write_to_postgresql()


def _write_to_sqlite(name: str) -> None:
    """Write a number of the file's header again: it belongs to the application, and none is kept in it."""
    if not Path(name).is_file():
        return
    address = f"file:{quote(name)}?mode=rw"
    with closing(sqlite3.connect(address, uri=True, timeout=LOCKED_AFTER)) as database:
        (number,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {int(number)}")


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    }


def _write_to_postgresql() -> None:
    """On a connection of the thread's own."""
    try:
        connection.ensure_connection()
    except Error:
        return
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'")
            is_standby, is_read_only = cursor.fetchone()
            if is_standby or is_read_only:
                raise OSError(errno.EROFS, IS_STANDBY if is_standby else IS_READ_ONLY)
            cursor.execute("SET work_mem = '64kB'")
            cursor.execute(SPILL)
    except Error as error:
        if str(getattr(error.__cause__, "sqlstate", None)).startswith(UNWRITABLE):
            raise
    finally:
        connection.close()


# --- The cache ---------------------------------------------------------------------------------


def cache_unreachable(*, max_age: float = 0.0) -> Iterator[Trouble]:
    """Redis is configured, and keeps nothing."""
    cache = settings.CACHES["default"]
    if cache["BACKEND"].endswith("SharedCache"):
        attempt = attempt_at(write_to_redis, cache["LOCATION"], cache.get("KEY_PREFIX", ""))
        if error := attempt.error(max_age=max_age):
            yield _trouble(Code.CACHE_UNREACHABLE, attempt, error, is_serious=False)


def write_to_redis(address: str, prefix: str) -> None:
    import redis  # noqa: PLC0415  # loads for who uses it

    with closing(redis.Redis.from_url(address, socket_connect_timeout=1, socket_timeout=1)) as client:
        client.set(f"{prefix}:probe", 1, ex=60)


def _trouble(
    code: Code,
    attempt: Attempt,
    error: BaseException,
    *,
    part: str = "",
    where: Path | None = None,
    is_serious: bool = True,
) -> Trouble:
    reason = reason_of(error)
    return Trouble(
        code=code,
        subject=f"{nodes.host()} {part}".strip(),
        severity=Severity.SERIOUS if is_serious else Severity.WARNING,
        facts={"host": nodes.host(), "reason": f"{where}: {reason}" if where else reason},
        since=attempt.since or timezone.now(),
    )


SEEN_WITHOUT_ROWS = (storage_problems, cache_unreachable, database_read_only)
