"""Who looks for troubles without being asked: two threads beside the queue's watch.

Each check looks at its own pace for what `troubles` and `dependencies` tell, mends what is safe, and notes
what is new or gone: one row and one line in the log when something turns up, one when it is gone. One node
keeps house for all; clock, disks, storage and cache each node looks at for itself. What reads files has a
thread of its own: a storage that hangs stops nothing else. While the database takes no row, what is found is
logged and remembered, and written down when it does.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import Error, IntegrityError, close_old_connections, connection, transaction
from django.utils import timezone, translation
from django_q.models import Schedule
from django_q.tasks import async_task

from training import artifacts, dependencies, nodes, notices, outages, schedules, sessions, troubles, upkeep
from training.database import database_now
from training.findings import Code, Severity, Trouble, trouble_of
from training.models import Finding
from training.policy import current_policy

logger = logging.getLogger(__name__)

REFUSED = "The database refused"

TICK = 1.0  # seconds between looks at what is due
LEAVE = 2.0  # seconds that it has to end
AWAY = 10.0  # seconds between looks at the rest while the database is away
# Gone when a row can be written.
OF_DATABASE = {Code.DATABASE_SILENT, Code.DATABASE_READ_ONLY, Code.DATABASE_LOCKED}
KEPT = timedelta(days=30)  # findings that are gone


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Where troubles of these codes come from, how often it is looked, and what mends them."""

    codes: frozenset[Finding.Code]
    find: Callable[[], Iterable[Trouble]]
    every: float  # seconds
    mend: Callable[[], object] | None = None
    everywhere: bool = False  # each node for itself; its findings name it
    of_files: bool = False  # asks the storage for as long as that takes

    @property
    def name(self) -> str:
        return ", ".join(sorted(self.codes))


def mend_schedule() -> None:
    """The policy's shadow is put right, what is none of ours is switched off, what is late started once."""
    schedules.disable_invalid_schedules()
    schedules.ensure_schedule()
    late = database_now() - troubles.OVERDUE_AFTER
    overdue = Schedule.objects.filter(func=schedules.TRAIN_ON_SCHEDULE, next_run__lt=late)
    for row in overdue.exclude(repeats=schedules.DISABLED):
        with transaction.atomic():
            # As the scheduler does it: whoever moves the time on sends the message.
            moved = Schedule.objects.filter(pk=row.pk, next_run=row.next_run).update(
                next_run=schedules.next_time(row.cron)
            )
            if moved and current_policy().enabled:
                async_task(schedules.TRAIN_ON_SCHEDULE, task_name=f"{schedules.NAME}, late")


def sweep_own_storage() -> None:
    """Sweep what crashes left, unless `storage_foreign` tells that the storage is not ours."""
    if not artifacts.foreign_storages():
        artifacts.sweep()


def find_foreign_storage() -> Iterable[Trouble]:
    """Mark a storage that an older release left without a mark, and tell one that is not ours."""
    artifacts.mark_known_storages()
    return troubles.storage_foreign()


def find_missing_files() -> Iterable[Trouble]:
    """Have read back what matters and changed in name or size, and yield what is not there at all.

    What does not verify is in its row then: `files_damaged` tells it, and `repairs` mends what serves.
    """
    upkeep.verify_changed()
    return troubles.files_missing()


# Each so often that what is wrong is told within a minute, the look itself included.
CHECKS = (
    Check(
        codes=frozenset({Code.SESSION_UNCLAIMED, Code.LEASE_EXPIRED}),
        find=troubles.session_stuck,
        every=2,
        mend=sessions.recover_sessions,
    ),
    Check(
        codes=frozenset({Code.SCHEDULE_WRONG, Code.SCHEDULE_OFF, Code.SCHEDULE_OVERDUE}),
        find=troubles.schedule_troubles,
        every=2,
        mend=mend_schedule,
    ),
    Check(
        codes=frozenset({Code.QUEUE_SILENT, Code.NODE_SILENT}),
        find=troubles.queue_silent,
        every=10,
        mend=nodes.forget_silent,
    ),
    Check(codes=frozenset({Code.TRAININGS_FAILING}), find=troubles.trainings_failing, every=10),
    Check(codes=frozenset({Code.NODE_INCOMPATIBLE}), find=troubles.nodes_incompatible, every=10),
    Check(codes=frozenset({Code.VERSION_NOT_COMPARED}), find=troubles.versions_not_compared, every=10),
    Check(codes=frozenset({Code.NO_ACTIVE_VERSION}), find=troubles.no_active_version, every=10),
    Check(codes=frozenset({Code.NOTICES_PILE_UP}), find=troubles.notices_pile_up, every=30),
    Check(codes=frozenset({Code.BACKUP_NEVER}), find=troubles.backup_never, every=30),
    Check(
        codes=frozenset({Code.BACKUP_OLD, Code.BACKUP_UNVERIFIED}),  # `upkeep` mends them
        find=troubles.backup_due,
        every=30,
    ),
    Check(
        codes=frozenset({Code.VERSION_DAMAGED, Code.BACKUP_DAMAGED}), find=troubles.files_damaged, every=10
    ),
    Check(codes=frozenset({Code.FILES_MISSING}), find=find_missing_files, every=45, of_files=True),
    Check(codes=frozenset({Code.STORAGE_FOREIGN}), find=find_foreign_storage, every=45, of_files=True),
    Check(
        codes=frozenset({Code.FILES_ORPHANED, Code.FILES_UNKNOWN, Code.BACKUPS_UNKNOWN}),
        find=troubles.files_orphaned,
        every=45,
        mend=sweep_own_storage,
        of_files=True,
    ),
    Check(
        codes=frozenset({Code.STORAGE_UNREACHABLE, Code.STORAGE_READ_ONLY}),
        find=dependencies.storage_problems,
        every=20,
        everywhere=True,
    ),
    Check(
        codes=frozenset({Code.CACHE_UNREACHABLE}),
        find=dependencies.cache_unreachable,
        every=10,
        everywhere=True,
    ),
    Check(
        codes=frozenset({Code.DATABASE_READ_ONLY, Code.DATABASE_LOCKED}),
        find=dependencies.database_read_only,
        every=10,
    ),
    Check(codes=frozenset({Code.DISK_LOW}), find=troubles.disk_low, every=30, everywhere=True),
    Check(codes=frozenset({Code.CLOCK_OFF}), find=troubles.clock_off, every=20, everywhere=True),
)
EVERYWHERE = {code for check in CHECKS if check.everywhere for code in check.codes} | {Code.CHECK_FAILING}
OF_ROWS = tuple(check for check in CHECKS if not check.of_files)
OF_FILES = tuple(check for check in CHECKS if check.of_files)
WITHOUT_ROWS = (*dependencies.SEEN_WITHOUT_ROWS, troubles.disk_low)  # what is seen without the database


class Watchdog:
    """Its threads, started again should they ever die."""

    def __init__(self) -> None:
        self._threads: dict[tuple[Check, ...], threading.Thread] = {}
        self._stop = threading.Event()

    def keep(self) -> None:
        """See to it that they work."""
        for checks in (OF_ROWS, OF_FILES):
            thread = self._threads.get(checks)
            if thread is None or not thread.is_alive():
                thread = threading.Thread(target=watch_until, args=(self._stop, checks), daemon=True)
                self._threads[checks] = thread
                thread.start()

    def stop(self) -> None:
        self._stop.set()
        until = time.monotonic() + LEAVE
        for thread in self._threads.values():
            thread.join(max(0.0, until - time.monotonic()))


def watch_until(stop: threading.Event, checks: Sequence[Check]) -> None:
    """Look until asked to stop; outlives a database or a disk that does not answer."""
    due: Due = {}
    notebook = Notebook()
    while not stop.wait(TICK):
        try:
            close_old_connections()
            look(due, checks)
            notebook.write()
        except Error as error:
            outages.note(error)
            connection.close()
            if checks == OF_ROWS:
                notebook.note(error)
    connection.close()


def look(due: "Due", checks: Sequence[Check] = CHECKS) -> None:
    """Run the checks whose time has come; `due` says when, on the monotonic clock, and is moved on."""
    keeps_house = nodes.keeps_house()
    for check in checks:
        if (keeps_house or check.everywhere) and _is_due(due, check, check.every):
            try:
                run(check)
            except Error:
                raise
            except Exception as error:  # noqa: BLE001  # told, whatever it is: nobody else would learn of it
                _fails(check, error)
                due.pop(WORKS + check.name, None)
            else:
                _works(due, check)
    if keeps_house and _is_due(due, "left behind", 60):
        close_left_behind()


Due: TypeAlias = dict[Check | str, float]
WORKS = "works: "


def _is_due(due: Due, what: Check | str, every: float) -> bool:
    now = time.monotonic()
    if now < due.get(what, 0):
        return False
    due[what] = now + every
    return True


def _fails(check: Check, error: Exception) -> None:
    """The check itself is a finding; one whose storage is known to be out of reach adds nothing to that."""
    if check.of_files and list(dependencies.storage_problems(max_age=60)):
        return
    facts = {"host": nodes.host(), "codes": check.name, "reason": dependencies.reason_of(error)}
    subject = f"{nodes.host()} {check.name}"[:200]
    known = Finding.objects.current().filter(code=Code.CHECK_FAILING, subject=subject)
    row = known.filter(node=_looker()).first()
    trouble = Trouble(code=Code.CHECK_FAILING, subject=subject, severity=Severity.WARNING, facts=facts)
    if row:
        _refresh(row, trouble)
    else:
        logger.error("%s cannot be looked for", check.name, exc_info=error)
        _open(trouble)


def _works(due: Due, check: Check) -> None:
    """Once after each failure, and after a start: the row of before may stand."""
    if WORKS + check.name not in due:
        due[WORKS + check.name] = 0
        subject = f"{nodes.host()} {check.name}"[:200]
        known = Finding.objects.current().filter(code=Code.CHECK_FAILING, subject=subject)
        for row in known.filter(node=_looker()):
            _close(row, mended=False)


def close_left_behind() -> None:
    """What a node said of itself ends with the node: nobody is left to look whether it is gone."""
    living = [str(identity) for identity in nodes.alive().values_list("identity", flat=True)]
    codes = [code.value for code in EVERYWHERE]
    for row in Finding.objects.current().filter(code__in=codes).exclude(node__in=living):
        _close(row, mended=False)


class Notebook:
    """What was found while the database took no row: each logged once, and written down later."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], Trouble] = {}
        self._gone: list[tuple[Trouble, datetime]] = []
        self._due = 0.0
        self._failures = outages.FailureLog(logger)

    def note(self, error: Error) -> None:
        """The database refused a moment ago: is it there at all, and what else is wrong?"""
        silent = None if database_answers() else _silent(error)
        if not (silent or self._found or list(dependencies.database_read_only())):
            self._failures.failed(REFUSED, error)  # busy, for example
            return
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + AWAY
            seen = [trouble for find in WITHOUT_ROWS for trouble in _found_by(find)]
        else:
            seen = [each for each in self._found.values() if each.code != Code.DATABASE_SILENT]
        self._compare({each.key: each for each in ([silent, *seen] if silent else seen)})

    def write(self) -> None:
        """The database takes rows again: what is still so is open, the rest tells from when until when."""
        self._failures.succeeded(REFUSED)
        if not (self._found or self._gone) or list(dependencies.database_read_only()):
            return
        if self._found:
            still = {key: each for key, each in self._found.items() if each.code not in OF_DATABASE}
            self._compare(still)
            for trouble in still.values():
                _open(trouble, is_logged=True)
            self._found.clear()
        while self._gone:
            trouble, ended_at = self._gone[0]
            _row_of(trouble, ended_at=ended_at)
            self._gone.pop(0)

    def _compare(self, seen: dict[tuple[str, str], Trouble]) -> None:
        for key, trouble in seen.items():
            if key not in self._found:
                _log_found(trouble)
        for key, trouble in self._found.items():
            if key not in seen:
                _log_gone("Gone", trouble)
                self._gone.append((trouble, timezone.now()))
        self._found = {key: self._found.get(key, trouble) for key, trouble in seen.items()}


def database_answers() -> bool:
    try:
        connection.ensure_connection()
    except Error:
        return False
    return True


def _silent(error: Error) -> Trouble:
    logger.debug("The database does not answer", exc_info=error)
    return Trouble(code=Code.DATABASE_SILENT, subject=nodes.host())


def _found_by(find: Callable[[], Iterable[Trouble]]) -> list[Trouble]:
    try:
        return list(find())
    except (Error, OSError) as error:
        logger.debug("Not looked for without the database", exc_info=error)
        return []


def run(check: Check) -> None:
    """Look; mend what can be mended, and look again. What is found before a look fails is noted, too."""
    found: list[Trouble] = []
    try:
        for trouble in check.find():
            found.append(trouble)  # noqa: PERF402  # what came before an error stays
    except OSError:
        note(check, found, is_whole=False)
        raise
    note(check, found)
    if found and check.mend is not None:
        check.mend()
        note(check, list(check.find()), mended=True)


def note(check: Check, found: Collection[Trouble], *, mended: bool = False, is_whole: bool = True) -> None:
    """Make the rows say what was found: what is new is told; after a whole look, what is gone is closed."""
    known = {(row.code, row.subject): row for row in _rows_of(check)}
    wanted = {trouble.key: trouble for trouble in found}
    for key, row in known.items():
        if is_whole and key not in wanted:
            _close(row, mended=mended)
    for key, trouble in wanted.items():
        if key in known:
            _refresh(known[key], trouble)
        else:
            _open(trouble)


def _rows_of(check: Check) -> list[Finding]:
    rows = Finding.objects.current().filter(code__in=[code.value for code in check.codes])
    return list(rows.filter(node=_looker()) if check.everywhere else rows)


def _looker(code: Finding.Code | None = None) -> str:
    """Which node a finding of that code names: two on one machine may see different disks."""
    return str(nodes.identity()) if code is None or code in EVERYWHERE else ""


def _open(trouble: Trouble, *, is_logged: bool = False) -> None:
    try:
        with transaction.atomic():
            row = _row_of(trouble)
            if trouble.is_serious:
                notices.health_alert(finding=row)
    except IntegrityError:  # another node was faster
        return
    if not is_logged:
        _log_found(trouble)


def _row_of(trouble: Trouble, *, ended_at: datetime | None = None) -> Finding:
    return Finding.objects.create(
        code=trouble.code,
        subject=trouble.subject,
        severity=trouble.severity,
        facts=dict(trouble.facts),
        since=trouble.since,
        ended_at=ended_at,
        node=_looker(trouble.code),
    )


def _close(row: Finding, *, mended: bool) -> None:
    open_row = Finding.objects.filter(pk=row.pk, ended_at=None)
    if open_row.update(ended_at=database_now(), is_mended=mended):
        _log_gone("Mended" if mended else "Gone", trouble_of(row))
        Finding.objects.filter(ended_at__lt=database_now() - KEPT).delete()


def _log_found(trouble: Trouble) -> None:
    with translation.override("en"):
        level = logging.ERROR if trouble.is_serious else logging.WARNING
        logger.log(level, "Found: %s %s", trouble.sentence, trouble.action)


def _log_gone(how: str, trouble: Trouble) -> None:
    with translation.override("en"):
        logger.warning("%s: %s", how, trouble.sentence)


def _refresh(row: Finding, trouble: Trouble) -> None:
    """The present figures; one that only jitters, or counts on by itself, is written now and then."""
    if row.severity != trouble.severity or _rounded(row.facts) != _rounded(trouble.facts):
        Finding.objects.filter(pk=row.pk, ended_at=None).update(
            severity=trouble.severity, facts=dict(trouble.facts)
        )


MEASURES = frozenset({"seconds", "free"})


def _rounded(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Measures with two significant digits; ids and counts as they are: version 940 is not 939."""
    return {name: f"{value:.2g}" if name in MEASURES else value for name, value in facts.items()}
