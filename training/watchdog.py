"""Who looks for troubles without being asked: a thread beside the queue's watch.

Each check looks at its own pace for what `troubles` tells, mends what is safe, and notes what is new or
gone: one row and one line in the log when something turns up, one when it is gone. One node keeps house
for all; the clock and the disk each node looks at for itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import timedelta

from django.db import Error, IntegrityError, close_old_connections, connection, transaction
from django.utils import translation
from django_q.models import Schedule
from django_q.tasks import async_task

from training import artifacts, nodes, notices, schedules, sessions, troubles
from training.database import database_now
from training.findings import Code, Trouble, trouble_of
from training.models import Finding
from training.policy import current_policy

logger = logging.getLogger(__name__)

TICK = 1.0  # seconds between looks at what is due
LEAVE = 2.0  # seconds that it has to end
KEPT = timedelta(days=30)  # findings that are gone


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """Where troubles of these codes come from, how often it is looked, and what mends them."""

    codes: frozenset[Finding.Code]
    find: Callable[[], Iterable[Trouble]]
    every: float  # seconds
    mend: Callable[[], object] | None = None
    everywhere: bool = False  # each node for itself; its findings' subjects begin with the machine


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
    Check(codes=frozenset({Code.NOTICES_PILE_UP}), find=troubles.notices_pile_up, every=60),
    Check(
        codes=frozenset({Code.BACKUP_OLD, Code.BACKUP_UNVERIFIED}),  # `upkeep` mends them
        find=troubles.backup_due,
        every=60,
    ),
    Check(
        codes=frozenset({Code.VERSION_DAMAGED, Code.BACKUP_DAMAGED}), find=troubles.files_damaged, every=10
    ),
    Check(codes=frozenset({Code.FILES_MISSING}), find=troubles.files_missing, every=60),
    Check(codes=frozenset({Code.STORAGE_FOREIGN}), find=find_foreign_storage, every=60),
    Check(
        codes=frozenset({Code.FILES_ORPHANED, Code.FILES_UNKNOWN, Code.BACKUPS_UNKNOWN}),
        find=troubles.files_orphaned,
        every=300,
        mend=sweep_own_storage,
    ),
    Check(codes=frozenset({Code.DISK_LOW}), find=troubles.disk_low, every=60, everywhere=True),
    Check(codes=frozenset({Code.CLOCK_OFF}), find=troubles.clock_off, every=60, everywhere=True),
)


class Watchdog:
    """The thread, started again should it ever die."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def keep(self) -> None:
        """See to it that it works."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=watch_until, args=(self._stop,), daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(LEAVE)


def watch_until(stop: threading.Event) -> None:
    """Look until asked to stop; outlives a database or a disk that does not answer."""
    due: dict[Check, float] = {}
    while not stop.wait(TICK):
        try:
            close_old_connections()
            look(due)
        except Error as error:
            logger.warning("The database does not answer: %s", error)
            connection.close()
    connection.close()


def look(due: dict[Check, float]) -> None:
    """Run the checks whose time has come; `due` says when, on the monotonic clock, and is moved on."""
    keeps_house = nodes.keeps_house()
    for check in CHECKS:
        now = time.monotonic()
        if now < due.get(check, 0) or not (keeps_house or check.everywhere):
            continue
        due[check] = now + check.every
        try:
            run(check)
        except OSError as error:
            logger.warning("%s cannot be looked for: %s", ", ".join(sorted(check.codes)), error)


def run(check: Check) -> None:
    """Look; mend what can be mended, and look again."""
    found = list(check.find())
    note(check, found)
    if found and check.mend is not None:
        check.mend()
        note(check, list(check.find()), mended=True)


def note(check: Check, found: Collection[Trouble], *, mended: bool = False) -> None:
    """Make the rows say what was found: what is new is told, what is gone is closed."""
    known = {(row.code, row.subject): row for row in _rows_of(check)}
    wanted = {trouble.key: trouble for trouble in found}
    for key, row in known.items():
        if key not in wanted:
            _close(row, mended=mended)
    for key, trouble in wanted.items():
        if key in known:
            _refresh(known[key], trouble)
        else:
            _open(trouble)


def _rows_of(check: Check) -> list[Finding]:
    rows = Finding.objects.current().filter(code__in=[code.value for code in check.codes])
    return list(rows.filter(subject=nodes.host()) if check.everywhere else rows)


def _open(trouble: Trouble) -> None:
    try:
        with transaction.atomic():
            row = Finding.objects.create(
                code=trouble.code,
                subject=trouble.subject,
                severity=trouble.severity,
                facts=dict(trouble.facts),
                since=trouble.since,
            )
            if trouble.is_serious:
                notices.health_alert(finding=row)
    except IntegrityError:  # another node was faster
        return
    with translation.override("en"):
        level = logging.ERROR if trouble.is_serious else logging.WARNING
        logger.log(level, "Found: %s %s", trouble.sentence, trouble.action)


def _close(row: Finding, *, mended: bool) -> None:
    open_row = Finding.objects.filter(pk=row.pk, ended_at=None)
    if open_row.update(ended_at=database_now(), is_mended=mended):
        with translation.override("en"):
            logger.warning("%s: %s", "Mended" if mended else "Gone", trouble_of(row).sentence)
        Finding.objects.filter(ended_at__lt=database_now() - KEPT).delete()


def _refresh(row: Finding, trouble: Trouble) -> None:
    """Its severity and reason may change; what counts on by itself is no change."""
    if row.severity != trouble.severity or row.facts.get("reason") != trouble.facts.get("reason"):
        Finding.objects.filter(pk=row.pk, ended_at=None).update(
            severity=trouble.severity, facts=dict(trouble.facts)
        )
