"""Quality reports by themselves: when one is due, who makes it, and how it ends.

Any number of nodes look at once; the database lets each occasion, a time of the schedule or an activation,
have one check of a kind, and each check one holder. It runs beside the queue's worker, which belongs to
trainings: `run_quality_checks` supervises the process that makes the report.
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from croniter import croniter
from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce
from django.utils.module_loading import import_string

from training.database import database_now
from training.errors import LeaseLostError, NotAllowedNowError
from training.models import Activation, Anomaly, ModelVersion, QualityCheck, QualityReport
from training.models.quality_check import QualityCheckQuerySet
from training.outages import FailureLog
from training.policy import current_policy

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

CRON_UNUSABLE = "The cron line of the quality reports cannot be used"
LEASE = timedelta(seconds=60)
MOST_ATTEMPTS = 2
ACTIVATIONS_APART = timedelta(hours=1)  # a plant that trains every minute is not looked at every minute

Kind = QualityReport.Kind
Status = QualityCheck.Status
Trigger = QualityCheck.Trigger


def request_check(*, kind: str, trigger: QualityCheck.Trigger, user: User | None) -> QualityCheck:
    """Have a report made, whether or not anything has changed. NotAllowedNowError while one waits or runs."""
    try:
        with transaction.atomic():
            return QualityCheck.objects.create(
                kind=kind, trigger=trigger, requested_by=user, queued_at=database_now()
            )
    except IntegrityError as error:
        raise NotAllowedNowError("A quality check of this kind is queued or running already.") from error


def active_check(kind: str) -> QualityCheck | None:
    return QualityCheck.objects.active().filter(kind=kind).first()


# --- When ----------------------------------------------------------------------------------------


def somebody_waits() -> bool:
    """Queue what is due by itself; whether there is a check to take. Cheap: asked every few seconds."""
    plan_checks()
    return _free().exists()


def plan_checks() -> None:
    """A check of each kind for the last due time and for the newest activation, unless it has had one.

    What falls due while a check of its kind goes on is queued after it; versions that serve in quick
    succession share one, of the newest of them, once an hour.
    """
    policy = current_policy()
    if not policy.quality_enabled:
        return
    now = database_now()
    recent = Q(trigger=Trigger.ACTIVATION, queued_at__gt=now - ACTIVATIONS_APART)
    busy = set(
        QualityCheck.objects.filter(Q(status__in=QualityCheck.ACTIVE) | recent).values_list("kind", flat=True)
    )
    for occasion in _occasions(policy.quality_cron_line):
        had = set(QualityCheck.objects.filter(**occasion).values_list("kind", flat=True))
        if wanted := [kind for kind in Kind if kind not in had | busy]:
            QualityCheck.objects.bulk_create(
                (QualityCheck(kind=kind, queued_at=now, **occasion) for kind in wanted), ignore_conflicts=True
            )
            busy.update(wanted)


def _occasions(cron: str) -> Iterator[dict[str, Any]]:
    """What may have missed its check. A time counts that came after the first anomaly: an outage is made
    good once, and a new installation is left alone."""
    activation = Activation.objects.first()
    if activation is not None and activation.version_id is not None:
        yield {"trigger": Trigger.ACTIVATION, "activation": activation}
    due = last_due(cron)
    first = Anomaly.objects.order_by("pk").values_list("created_at", flat=True).first()
    if due is not None and first is not None and first <= due:
        yield {"trigger": Trigger.SCHEDULE, "due_at": due}


def last_due(cron: str) -> datetime | None:
    """When the cron line was due last, UTC; None for what is no cron line, or was never due."""
    try:
        due: datetime = croniter(cron, database_now()).get_prev(datetime)
    except (ValueError, AttributeError, TypeError):
        failures.failed(CRON_UNUSABLE, f"{cron!r}")
        return None
    failures.succeeded(CRON_UNUSABLE)
    return due


def why_skip(kind: str) -> str:
    """Why another report would say nothing new; empty when it may."""
    approved = Anomaly.objects.approved()
    if not approved.exists():
        return "There is no approved anomaly to look at."
    newest = QualityReport.objects.filter(kind=kind).first()
    if newest is None or (kind == Kind.DRIFT and newest.content["model_version"] != _serving()):
        return ""
    looked_at = approved if kind == Kind.LABELS else Anomaly.objects.all()
    if looked_at.filter(updated_at__gt=newest.created_at).exists() or approved.count() != newest.record_count:
        return ""
    return f"Nothing has changed since the report of {newest.created_at:%Y-%m-%d %H:%M} UTC."


def _serving() -> int | None:
    version = ModelVersion.objects.active()
    return version.pk if version else None


# --- For the holder ------------------------------------------------------------------------------


def claim() -> QualityCheck | None:
    """The next check, which is this process's as long as its heartbeat is younger than the lease."""
    for key, attempts in _free().order_by("pk").values_list("pk", "attempts"):
        mine = _free().filter(pk=key, attempts=attempts)
        if attempts >= MOST_ATTEMPTS:
            reason = f"The process that made it died in each of {attempts} attempts."
            _end(mine, Status.FAILED, reason=reason)
        elif _begin(mine):
            return QualityCheck.objects.select_related("requested_by").get(pk=key, attempts=attempts + 1)
    return None


def make_report(check: QualityCheck) -> None:
    """Make the report and close the check; skip what came by itself and has nothing new to say.

    Raises LeaseLostError when another process holds the check by now.
    """
    if check.trigger in QualityCheck.BY_ITSELF and (reason := why_skip(check.kind)):
        _close(check, Status.SKIPPED, reason=reason)
        return
    make = import_string(settings.QUALITY_REPORTS[check.kind])
    report = make(
        user=check.requested_by,
        on_progress=lambda done, total, _label: advance(check, min(99, 100 * done // max(1, total))),
    )
    _close(check, Status.SUCCEEDED, report=report, progress=100)


def beat(check: QualityCheck) -> None:
    """Renew the lease. Raises LeaseLostError."""
    _write(check, heartbeat_at=database_now())


def advance(check: QualityCheck, progress: int) -> None:
    """Say how far it is, in percent. Raises LeaseLostError."""
    _write(check, progress=progress)


def fail(check: QualityCheck, *, reason: str) -> None:
    """running → failed. Raises LeaseLostError."""
    _close(check, Status.FAILED, reason=reason)


def retry(check: QualityCheck, *, reason: str) -> None:
    """Its process is dead: running → queued, or failed when that was the last attempt. LeaseLostError."""
    if check.attempts >= MOST_ATTEMPTS:
        fail(check, reason=reason)
    else:
        logger.warning("%s is made once more: %s", check, reason)
        _write(check, status=Status.QUEUED, progress=0, heartbeat_at=None)


def hand_back(check: QualityCheck) -> None:
    """The node stops and the process is dead: queued again as if nobody had tried. LeaseLostError."""
    _write(check, status=Status.QUEUED, progress=0, heartbeat_at=None, attempts=check.attempts - 1)


def has_ended(check: QualityCheck) -> bool:
    """Whether this attempt brought it to its end."""
    return (
        QualityCheck.objects.filter(pk=check.pk, attempts=check.attempts)
        .exclude(status__in=QualityCheck.ACTIVE)
        .exists()
    )


# --- The row -------------------------------------------------------------------------------------


def _free() -> QualityCheckQuerySet:
    """Nobody holds it, or its holder fell silent."""
    silent = Q(status=Status.RUNNING, heartbeat_at__lt=database_now() - LEASE)
    return QualityCheck.objects.filter(Q(status=Status.QUEUED) | silent)


def _begin(found: QualityCheckQuerySet) -> bool:
    now = database_now()
    taken = found.update(
        status=Status.RUNNING,
        progress=0,
        attempts=F("attempts") + 1,
        started_at=Coalesce("started_at", now),
        heartbeat_at=now,
    )
    return taken == 1


def _end(found: QualityCheckQuerySet, status: QualityCheck.Status, **changes: Any) -> bool:
    ended = found.update(status=status, finished_at=database_now(), **changes) == 1
    if ended and status == Status.FAILED:
        logger.error("A quality check has failed: %s", changes["reason"])
    return ended


def _held(check: QualityCheck) -> QualityCheckQuerySet:
    return QualityCheck.objects.filter(pk=check.pk, status=Status.RUNNING, attempts=check.attempts)


def _close(check: QualityCheck, status: QualityCheck.Status, **changes: Any) -> None:
    if not _end(_held(check), status, **changes):
        raise _lost(check)


def _write(check: QualityCheck, **changes: Any) -> None:
    if _held(check).update(**changes) != 1:
        raise _lost(check)


def _lost(check: QualityCheck) -> LeaseLostError:
    return LeaseLostError(f"Attempt {check.attempts} no longer holds {check}.")
