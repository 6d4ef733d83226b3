"""An active version whose files were damaged or lost gets them back from a backup, without anybody asking.

It runs as a command of its own beside the queue (`repair_version`, see `companions`), as soon as the watch
has written down what is wrong: so it is told before it is mended.
"""

import logging
import time

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from training import artifacts, nodes, restoring
from training.errors import BackupError, UnservableVersionError
from training.ml.failpoints import failpoint
from training.models import Backup, Finding, ModelVersion
from training.outages import FailureLog

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

PAUSE = 60.0  # seconds between attempts: what failed a moment ago would fail again
CODES = (Finding.Code.VERSION_DAMAGED, Finding.Code.FILES_MISSING)


class Turn:
    """When this process last had the active version repaired."""

    last = -PAUSE


def is_due() -> bool:
    """Whether the queue should start `repair_version` now: on one node, also beside a training."""
    now = time.monotonic()
    if now - Turn.last < PAUSE or not Finding.objects.current().filter(code__in=CODES).exists():
        return False
    version = ModelVersion.objects.active()
    if version is None or not _findings_of(version).exists() or not nodes.keeps_house():
        return False
    Turn.last = now
    return True


def repair_active_version() -> Backup | None:
    """Put the active version's files back from the newest backup that holds them and verifies; that backup.

    None when the files are sound, when nothing is known of them (a storage that does not answer), and when
    no backup holds them. What stands in their place is set aside, never removed; the row says that they are
    sound when they were read back, not before. Whenever it is killed, doing it again ends it.
    """
    version = ModelVersion.objects.active()
    if version is None or not _is_damaged(version):
        return None
    beyond_repair, reasons = f"No backup holds {version}", list[str]()
    for backup in Backup.objects.available().filter(model_version=version, verification_error=""):
        try:
            _repair(version, backup)
        except BackupError as error:
            reasons.append(f" ({backup}: {error})")
        else:
            failures.succeeded(beyond_repair)
            return backup
    failures.failed(beyond_repair, f"activate another version{''.join(reasons)}")
    return None


def _repair(version: ModelVersion, backup: Backup) -> None:
    """Raises BackupError."""
    manifest = artifacts.verify(backup)
    failpoint("repair.verified")
    files = restoring.make_servable(version, manifest)
    failpoint("repair.written")
    with transaction.atomic():
        restoring.claim_files(version, files)
        _close_findings(version, backup=backup.name)
        failpoint("repair.claimed")
    logger.warning("Mended: %s has its files back from %s", version, backup)


def _is_damaged(version: ModelVersion) -> bool:
    """Looked at anew: what verifies is free again, and of what cannot be reached nothing is known."""
    out_of_reach = f"{version} cannot be looked at"
    try:
        artifacts.verify(version)
    except UnservableVersionError as error:
        version.refresh_from_db()
        if not version.verification_error:
            failures.failed(out_of_reach, error)
        return bool(version.verification_error)
    failures.succeeded(out_of_reach)
    _close_findings(version)  # of a repair that was killed when all was written, for instance
    return False


def _close_findings(version: ModelVersion, **facts: str) -> None:
    for finding in _findings_of(version):
        finding.facts |= facts
        finding.ended_at, finding.is_mended = timezone.now(), True
        finding.save(update_fields=["facts", "ended_at", "is_mended"])


def _findings_of(version: ModelVersion) -> "QuerySet[Finding]":
    return Finding.objects.current().filter(code__in=CODES, subject__in=[version.name, version.path])
