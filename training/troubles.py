"""What may be wrong with an installation: small functions, each tells one kind and changes nothing.

Cheap ones: rows are read, directories listed, nothing is hashed or loaded. What the web can see by itself
at any moment, also when no queue's watch lives to write it down, is `live`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_noop
from django_q.models import Schedule

from training import artifacts, dependencies, nodes, schedules, upkeep
from training.findings import Code, Severity, Trouble, trouble_of
from training.models import Backup, Delivery, Finding, ModelVersion, QueueNode, TrainingSession
from training.policy import current_policy

Status = TrainingSession.Status

LIVE = {Code.QUEUE_SILENT, Code.NODE_SILENT, Code.SESSION_UNCLAIMED, Code.LEASE_EXPIRED}
FRESH = 10.0  # seconds for which what was tried is not tried again by `live`
OVERDUE_AFTER = timedelta(minutes=10)
NOTICES_LATE = timedelta(hours=1)
CLOCK_TOLERANCE, CLOCK_LIMIT = 2.0, 5.0  # seconds: a warning, and serious
MIB = 1024 * 1024


def current() -> list[Trouble]:
    """All that is wrong now, the serious first: what the watch found, and what is seen at once.

    What a later release found has no words here: it is left out.
    """
    seen = {trouble.key: trouble for trouble in [*queue_silent(), *session_stuck(), *live()]}
    for row in Finding.objects.current().filter(code__in=set(Code.values) - LIVE):
        found = trouble_of(row)
        here = seen.get(found.key)
        seen[found.key] = replace(here, since=min(here.since, found.since)) if here else found
    return sorted(seen.values(), key=lambda trouble: trouble.severity)


def live() -> list[Trouble]:
    """What this process sees by itself, without a row: storage, media, database and cache, tried for real.

    It asks nothing of the database that the caller's connection would have to wait for, takes
    `dependencies.PATIENCE` for each at most, and mostly nothing: what was tried lately is not tried again.
    """
    looks = (
        dependencies.media_troubles,
        dependencies.storage_troubles,
        dependencies.database_read_only,
        dependencies.cache_unreachable,
    )
    return [trouble for look in looks for trouble in look(max_age=FRESH)]


# --- The queue ---------------------------------------------------------------------------------


def queue_silent() -> Iterator[Trouble]:
    """No node lives; or one of several does not."""
    rows = list(QueueNode.objects.all())
    silent = [row for row in rows if row.seen_at <= timezone.now() - nodes.SILENT_AFTER]
    if len(silent) == len(rows):
        since = max((row.seen_at for row in silent), default=timezone.now())
        yield Trouble(code=Code.QUEUE_SILENT, since=since)
        return
    for row in silent:
        yield Trouble(
            code=Code.NODE_SILENT,
            subject=str(row),
            severity=Severity.WARNING,
            facts={"host": row.host, "seconds": _seconds_since(row.seen_at)},
            since=row.seen_at,
        )


def session_stuck() -> Iterator[Trouble]:
    """A session that nobody takes, or whose worker fell silent."""
    patience = timedelta(seconds=settings.TRAINING_CLAIM_WAIT)
    for session in TrainingSession.objects.active():
        is_queued = session.status == Status.QUEUED
        since = session.queued_at if is_queued else session.heartbeat_at or session.queued_at
        if timezone.now() - since > patience if is_queued else session.lease_expired:
            yield Trouble(
                code=Code.SESSION_UNCLAIMED if is_queued else Code.LEASE_EXPIRED,
                subject=str(session.pk),
                facts={"session": session.pk, "seconds": _seconds_since(since)},
                since=since,
            )


def schedule_troubles() -> Iterator[Trouble]:
    """The queue's schedule against the training policy: something else, too late, or switched off."""
    for row in Schedule.objects.exclude(repeats=schedules.DISABLED):
        if problem := schedules.problem_of(row):
            yield _wrong(str(row.name or row.pk), f"{row.name or row.pk} {problem}")
    ours = Schedule.objects.filter(func=schedules.TRAIN_ON_SCHEDULE).first()
    policy = current_policy()
    if ours is None:
        yield _wrong("", gettext_noop("it is missing"))
    elif policy.enabled != (ours.repeats != schedules.DISABLED):
        is_off = gettext_noop("it is switched off")
        yield _wrong("", is_off if policy.enabled else gettext_noop("it is switched on"))
    elif policy.enabled and ours.next_run < timezone.now() - OVERDUE_AFTER:
        due = f"{ours.next_run:%Y-%m-%d %H:%M} UTC"
        yield Trouble(code=Code.SCHEDULE_OVERDUE, facts={"due": due}, since=ours.next_run)
    if not policy.enabled:
        yield Trouble(code=Code.SCHEDULE_OFF, severity=Severity.WARNING)


def _wrong(name: str, reason: str) -> Trouble:
    return Trouble(
        code=Code.SCHEDULE_WRONG, subject=name[:200], severity=Severity.WARNING, facts={"reason": reason}
    )


# --- The files ---------------------------------------------------------------------------------


def files_orphaned() -> Iterator[Trouble]:
    """What crashes left, an hour ago or longer; and whole backups that no row knows."""
    found = [(Code.FILES_ORPHANED, kind, artifacts.orphans(kind)) for kind in (ModelVersion, Backup)]
    for code, kind, names in [*found, (Code.BACKUPS_UNKNOWN, Backup, artifacts.unknown_backups())]:
        if names:
            yield Trouble(
                code=code,
                subject=kind.DIRECTORY,
                severity=Severity.WARNING,
                facts={"where": kind.DIRECTORY, "count": len(names), "example": names[0]},
            )


def files_missing() -> Iterator[Trouble]:
    """Rows that claim files which are not there."""
    for model_class in (ModelVersion, Backup):
        for row in model_class.objects.filter(pruned_at=None):
            if not artifacts.is_there(row):
                yield Trouble(
                    code=Code.FILES_MISSING,
                    subject=row.path,
                    severity=_severity_of(row),
                    facts={"name": row.path},
                )


def files_damaged() -> Iterator[Trouble]:
    """What did not verify when it was last read."""
    for model_class, code in ((ModelVersion, Code.VERSION_DAMAGED), (Backup, Code.BACKUP_DAMAGED)):
        for row in model_class.objects.filter(pruned_at=None).exclude(verification_error=""):
            yield Trouble(
                code=code,
                subject=row.name,
                severity=_severity_of(row),
                facts={"name": row.name, "reason": row.verification_error},
            )


def backup_due() -> Iterator[Trouble]:
    """No backup for a day longer than the queue waits to make one, or to read the newest one back."""
    late = timezone.now() - timedelta(days=1)
    due, newest = upkeep.backup_due_since(), upkeep.newest_backup()
    if due is not None and due < late:
        facts = {"days": (timezone.now() - due).days + settings.BACKUP_EVERY_DAYS}
        yield Trouble(code=Code.BACKUP_OLD, facts=facts, since=due)
    unread = upkeep.verification_due_since(newest) if newest else None
    if newest is not None and unread is not None and unread < late:
        told = {"name": newest.name, "days": (timezone.now() - unread).days}
        yield Trouble(
            code=Code.BACKUP_UNVERIFIED,
            subject=newest.name,
            severity=Severity.WARNING,
            facts=told,
            since=unread,
        )


def disk_low() -> Iterator[Trouble]:
    """Less room than the next version and its backups may need."""
    free = shutil.disk_usage(Path(settings.MEDIA_ROOT)).free // MIB
    if free < settings.DISK_FREE_MIB:
        yield Trouble(
            code=Code.DISK_LOW,
            subject=nodes.host(),
            severity=Severity.SERIOUS if free * 4 < settings.DISK_FREE_MIB else Severity.WARNING,
            facts={"host": nodes.host(), "free": free, "needed": settings.DISK_FREE_MIB},
        )


def _severity_of(row: artifacts.Stored) -> Finding.Severity:
    """Serious for what serves, and for the newest backup: the others have successors."""
    matters = row.is_active if isinstance(row, ModelVersion) else row == Backup.objects.available().first()
    return Severity.SERIOUS if matters else Severity.WARNING


# --- Around it ---------------------------------------------------------------------------------


def notices_pile_up() -> Iterator[Trouble]:
    late = Delivery.objects.pending().filter(created_at__lt=timezone.now() - NOTICES_LATE)
    if oldest := late.order_by("created_at").first():
        facts = {"count": late.count()}
        yield Trouble(
            code=Code.NOTICES_PILE_UP, severity=Severity.WARNING, facts=facts, since=oldest.created_at
        )


def clock_off() -> Iterator[Trouble]:
    """This machine's clock against the database's."""
    difference = abs(clock_difference())
    if difference > CLOCK_TOLERANCE:
        yield Trouble(
            code=Code.CLOCK_OFF,
            subject=nodes.host(),
            severity=Severity.SERIOUS if difference > CLOCK_LIMIT else Severity.WARNING,
            facts={"host": nodes.host(), "seconds": round(difference, 1)},
        )


def clock_difference() -> float:
    """Seconds by which the database's clock is ahead of this process's; SQLite's is the same one."""
    if connection.vendor != "postgresql":
        return 0.0
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (theirs,) = cursor.fetchone()
    after = timezone.now()
    return float((theirs - before - (after - before) / 2).total_seconds())


def _seconds_since(moment: datetime) -> int:
    return int((timezone.now() - moment).total_seconds())
