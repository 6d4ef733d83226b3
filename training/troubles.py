"""What may be wrong with an installation: small functions, each tells one kind and changes nothing.

Cheap ones: rows are read, directories listed, nothing is hashed or loaded. What the web can see by itself
at any moment, also when no queue's watch lives to write it down, is `live`.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from itertools import takewhile
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_noop
from django_q.models import Schedule

from training import artifacts, dependencies, gate, nodes, outages, schedules, upkeep
from training.database import database_now
from training.findings import Code, Severity, Trouble, trouble_of
from training.models import (
    Activation,
    Anomaly,
    Backup,
    Delivery,
    Finding,
    ModelVersion,
    QueueNode,
    TrainingSession,
    WebNode,
)
from training.policy import current_policy

Status = TrainingSession.Status

LIVE = {Code.QUEUE_SILENT, Code.NODE_SILENT, Code.SESSION_UNCLAIMED, Code.LEASE_EXPIRED}
FRESH = 10.0  # seconds for which what was tried is not tried again by `live`
OVERDUE_AFTER = timedelta(minutes=10)
ACTIVATED_AFTER = timedelta(minutes=10)  # from the first training to its activation
NOTICES_LATE = timedelta(hours=1)
CLOCK_TOLERANCE, CLOCK_LIMIT = 2.0, 5.0  # seconds: a warning, and serious
# Seconds within which whoever lives has said so, once the database is back. A web node sees every ten seconds
# that it cannot be written; a queue node speaks within four.
HEARD_AGAIN = 15.0
CAUGHT_UP = 60.0  # seconds within which what waited for the database is done
WRITTEN_LATELY = 2.0  # seconds for which a database that was written counts as one that can be
FAILURES = 3  # trainings in a row that are no accident
FAILURES_LOOKED_AT = 20
DATABASE, TEMPORARY = "database", "temporary"  # disks beside that of MEDIA_ROOT, in subjects
MIB = 1024 * 1024


def current() -> list[Trouble]:
    """All that is wrong now, the serious first: what the watch found, and what is seen at once.

    Of what several nodes found, the worst. What a later release found has no words here: it is left out.
    """
    seen = {trouble.key: trouble for trouble in [*queue_silent(), *session_stuck(), *live()]}
    for found in written_down():
        here = seen.get(found.key)
        seen[found.key] = replace(here, since=min(here.since, found.since)) if here else found
    return sorted(seen.values(), key=lambda trouble: trouble.severity)


def written_down() -> Iterator[Trouble]:
    """Yield what the watch found and is not gone, but for what whoever asks sees by himself."""
    for row in Finding.objects.current().filter(code__in=set(Code.values) - LIVE):
        yield trouble_of(row)


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
    """No node lives; or one of several does not. One that ended in order has as long to be started again."""
    asked = database_now()  # not after an answer that was long in coming
    rows = list(QueueNode.objects.all())
    silent = [row for row in rows if row.seen_at <= asked - nodes.SILENT_AFTER]
    if _is_too_early() or (silent and not silence_counts()):
        return
    if len(silent) == len(rows):
        since = max((row.seen_at for row in silent), default=asked)
        yield Trouble(code=Code.QUEUE_SILENT, since=since)
        return
    for row in silent:
        if row.pid != nodes.LEFT:
            yield Trouble(
                code=Code.NODE_SILENT,
                subject=str(row),
                severity=Severity.WARNING,
                facts={"host": row.host, "seconds": _seconds_since(row.seen_at)},
                since=row.seen_at,
            )


def session_stuck() -> Iterator[Trouble]:
    """A session that nobody takes, or whose worker fell silent."""
    claim, lease = (timedelta(seconds=s) for s in (settings.TRAINING_CLAIM_WAIT, settings.TRAINING_LEASE))
    asked = database_now()
    active = list(TrainingSession.objects.active())
    if _is_too_early():
        return
    for session in active:
        is_queued = session.status == Status.QUEUED
        since = session.queued_at if is_queued else session.heard_at
        if asked - since > (claim if is_queued else lease) and silence_counts():
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
    elif policy.enabled and _is_late(ours.next_run, OVERDUE_AFTER):
        due = f"{ours.next_run:%Y-%m-%d %H:%M} UTC"
        yield Trouble(code=Code.SCHEDULE_OVERDUE, facts={"due": due}, since=ours.next_run)
    if not policy.enabled:
        yield Trouble(code=Code.SCHEDULE_OFF, severity=Severity.WARNING)


def trainings_failing() -> Iterator[Trouble]:
    """The newest sessions failed one after the other; the first success ends it."""
    counted = TrainingSession.objects.filter(status__in=[Status.SUCCEEDED, Status.FAILED]).order_by("-pk")
    failed = list(takewhile(lambda each: each.status == Status.FAILED, counted[:FAILURES_LOOKED_AT]))
    if len(failed) >= FAILURES:
        yield Trouble(
            code=Code.TRAININGS_FAILING,
            facts={"count": len(failed), "reason": failed[0].reason.partition("\n")[0][:300]},
            since=failed[-1].finished_at or failed[-1].queued_at,
        )


def _wrong(name: str, reason: str) -> Trouble:
    return Trouble(
        code=Code.SCHEDULE_WRONG, subject=name[:200], severity=Severity.WARNING, facts={"reason": reason}
    )


# --- Libraries and the gate --------------------------------------------------------------------


def nodes_incompatible() -> Iterator[Trouble]:
    """Nodes that live and have other libraries than the active version: a web node cannot answer with it."""
    for node, reason in nodes.unable():
        yield Trouble(
            code=Code.NODE_INCOMPATIBLE,
            subject=str(node),
            severity=Severity.SERIOUS if isinstance(node, WebNode) else Severity.WARNING,
            facts={"node": str(node), "reason": reason},
        )


def versions_not_compared() -> Iterator[Trouble]:
    """Versions that were not activated by themselves since something was not known, until somebody looked.

    Whoever activates a version, this or another one, or keeps the champion, has looked; when a later one was
    compared and serves, there is nothing to look at any more.
    """
    waiting = ModelVersion.objects.filter(
        pruned_at=None, is_active=False, declined_at=None, comparison__has_key=gate.WAITS
    ).select_related("session")
    for version in waiting:
        if Activation.objects.filter(activated_at__gt=version.created_at).exists():
            continue
        if ModelVersion.objects.filter(declined_at__gt=version.created_at).exists():
            continue
        session = getattr(version, "session", None)
        is_scheduled = session is not None and session.trigger == TrainingSession.Trigger.SCHEDULE
        why = version.comparison[gate.WAITS]
        yield Trouble(
            code=Code.VERSION_NOT_COMPARED,
            subject=str(version.pk),
            severity=Severity.SERIOUS if is_scheduled else Severity.WARNING,
            facts={"version": version.pk, "why": why, "reason": gate.describe_in_english(why)},
            since=version.created_at,
        )


def no_active_version() -> Iterator[Trouble]:
    """Yield that none of the versions is active, although one could be, or one was.

    Not while a training is under way; nor in the minutes after the first one, which is activated by whoever
    asked for it.
    """
    if ModelVersion.objects.active() or TrainingSession.objects.active().exists():
        return
    newest = ModelVersion.objects.usable().first()
    was_active = Activation.objects.exclude(version=None).exists()
    if was_active or (newest is not None and _is_late(newest.created_at, ACTIVATED_AFTER)):
        yield Trouble(code=Code.NO_ACTIVE_VERSION, facts={"version": newest.pk if newest else "–"})


# --- The files ---------------------------------------------------------------------------------


def storage_foreign() -> Iterator[Trouble]:
    """A storage that is another installation's, or nobody knows whose."""
    for where, reason in artifacts.foreign_storages().items():
        yield Trouble(code=Code.STORAGE_FOREIGN, subject=where[:200], facts={"reason": reason})


def files_orphaned() -> Iterator[Trouble]:
    """What crashes left, an hour ago or longer; and what is signed and no row knows.

    After a jump of the clock what is being written now would seem that old.
    """
    if artifacts.has_another_mark() or clock.jumped_within(artifacts.GRACE):
        return
    unknown = partial(artifacts.unknown_backups, artifacts.GRACE)
    yield from _each(
        partial(_orphaned, Code.FILES_ORPHANED, ModelVersion, partial(artifacts.orphans, ModelVersion)),
        partial(_orphaned, Code.FILES_ORPHANED, Backup, partial(artifacts.orphans, Backup)),
        partial(_orphaned, Code.FILES_UNKNOWN, ModelVersion, artifacts.unknown_versions),
        partial(_orphaned, Code.BACKUPS_UNKNOWN, Backup, unknown),
    )


def _orphaned(
    code: Finding.Code, model_class: type[artifacts.Stored], list_names: Callable[[], list[str]]
) -> Iterator[Trouble]:
    where = model_class.DIRECTORY
    if names := list_names():
        yield Trouble(
            code=code,
            subject=where,
            severity=Severity.WARNING,
            facts={"where": where, "count": len(names), "example": names[0]},
        )


def files_missing() -> Iterator[Trouble]:
    """Yield rows that claim files which are not there. Raises OSError when some could not be looked at."""
    yield from _each(partial(_missing, ModelVersion), partial(_missing, Backup))


def _missing(model_class: type[artifacts.Stored]) -> Iterator[Trouble]:
    kept = model_class.objects.filter(pruned_at=None)
    missing = [row for row in kept if not artifacts.is_there(row)]
    # Looked at again: what was removed, or written anew, during the look is no trouble.
    for row in kept.filter(pk__in=[row.pk for row in missing]) if missing else ():
        if not artifacts.is_there(row):
            yield Trouble(
                code=Code.FILES_MISSING,
                subject=row.path,
                severity=_severity_of(row),
                facts={"name": row.path},
            )


def _each(*looks: Callable[[], Iterable[Trouble]]) -> Iterator[Trouble]:
    """Yield what each of the looks finds; one that fails stops no other, and is raised at the end."""
    failed: OSError | None = None
    for look in looks:
        try:
            yield from look()
        except OSError as error:
            failed = failed or error
    if failed is not None:
        raise failed


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
    late, newest = timedelta(days=1), upkeep.newest_backup()
    due = upkeep.backup_due_since()
    if due is not None and newest is not None and _is_late(due, late):
        facts = {"days": (database_now() - due).days + settings.BACKUP_EVERY_DAYS}
        yield Trouble(code=Code.BACKUP_OLD, facts=facts, since=due)
    unread = upkeep.verification_due_since(newest) if newest else None
    if newest is not None and unread is not None and _is_late(unread, late):
        told = {"name": newest.name, "days": (database_now() - unread).days}
        yield Trouble(
            code=Code.BACKUP_UNVERIFIED,
            subject=newest.name,
            severity=Severity.WARNING,
            facts=told,
            since=unread,
        )


def backup_never() -> Iterator[Trouble]:
    """Somebody's records have been there for a day, and there is no backup at all."""
    if Backup.objects.available().exists():
        return
    first = Anomaly.objects.approved().exclude(reviewed_at=None).order_by("pk").first()
    if first is not None and first.reviewed_at is not None and _is_late(first.reviewed_at, timedelta(days=1)):
        yield Trouble(code=Code.BACKUP_NEVER, since=first.reviewed_at)


def disk_low() -> Iterator[Trouble]:
    """Less room than the next version and its backups may need, the database, or an upload; a disk once."""
    seen: set[int] = set()
    for part, directory, needed in _disks():
        try:
            disk = directory.stat().st_dev
            free = shutil.disk_usage(directory).free // MIB
        except FileNotFoundError:  # `dependencies` tells that
            continue
        if disk not in seen and free < needed:
            is_serious = part != TEMPORARY and free * 4 < needed
            yield Trouble(
                code=Code.DISK_LOW,
                subject=f"{nodes.host()} {part}".strip(),
                severity=Severity.SERIOUS if is_serious else Severity.WARNING,
                facts={"host": nodes.host(), "where": str(directory), "free": free, "needed": needed},
            )
        seen.add(disk)


def _disks() -> Iterator[tuple[str, Path, int]]:
    """What stands there, where, and the MiB that should be free."""
    yield "", Path(settings.MEDIA_ROOT), settings.DISK_FREE_MIB
    if connection.vendor == "sqlite":
        yield DATABASE, Path(str(connection.settings_dict["NAME"])).parent, settings.DISK_FREE_MIB
    yield TEMPORARY, Path(tempfile.gettempdir()), settings.DISK_FREE_MIB // 4


def _severity_of(row: artifacts.Stored) -> Finding.Severity:
    """Serious for what serves, and for the newest backup: the others have successors."""
    matters = row.is_active if isinstance(row, ModelVersion) else row == Backup.objects.available().first()
    return Severity.SERIOUS if matters else Severity.WARNING


# --- Around it ---------------------------------------------------------------------------------


def notices_pile_up() -> Iterator[Trouble]:
    late = Delivery.objects.pending().filter(created_at__lt=database_now() - NOTICES_LATE)
    oldest = late.order_by("created_at").first()
    if oldest is not None and _is_late(oldest.created_at, NOTICES_LATE):
        yield Trouble(
            code=Code.NOTICES_PILE_UP,
            severity=Severity.WARNING,
            facts={"count": late.count()},
            since=oldest.created_at,
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


class SteadyClock:
    """Whether the wall clock goes on as the monotonic one does; asked often, it knows of every jump.

    After one, of an hour or of a suspended machine, everything that is measured by the wall clock seems
    late for as long as it takes to say again that it lives.
    """

    def __init__(self) -> None:
        self._last = self._now()
        self._jumped_at = float("-inf")

    def jumped_within(self, patience: timedelta) -> bool:
        wall, monotonic = self._now()
        if abs((wall - self._last[0]) - (monotonic - self._last[1])) > CLOCK_LIMIT:
            self._jumped_at = monotonic
        self._last = wall, monotonic
        return monotonic - self._jumped_at < patience.total_seconds()

    @staticmethod
    def _now() -> tuple[float, float]:
        return timezone.now().timestamp(), time.monotonic()


clock = SteadyClock()


def silence_counts() -> bool:
    """Return whether who has not been heard of had the time to write that he lives.

    Not while the database cannot be written, or nobody knows whether it can; nor in the moment after that, or
    after a jump of the clock.
    """
    return dependencies.is_writable(max_age=WRITTEN_LATELY) and not _is_too_early()


def _is_too_early() -> bool:
    """Whether the clock jumped, or the database was unavailable, so lately that nobody could say so since."""
    return clock.jumped_within(nodes.SILENT_AFTER) or outages.was_unavailable_within(HEARD_AGAIN)


def _is_late(moment: datetime, patience: timedelta) -> bool:
    """By the wall clock, unless that jumped, or the database could be written again, a moment ago."""
    if clock.jumped_within(OVERDUE_AFTER) or outages.was_unavailable_within(CAUGHT_UP):
        return False
    return moment < database_now() - patience


def _seconds_since(moment: datetime) -> int:
    return int((database_now() - moment).total_seconds())
