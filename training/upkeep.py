"""What the queue does for the files by itself: a backup when the newest is old, reading back what matters.

It runs as a command of its own beside the queue (`keep_files`, see `companions`): hashing and loading
take memory and time that neither the watch nor a training has to give.
"""

import logging
import time
from datetime import datetime, timedelta

from django.conf import settings

from training import artifacts, backups, nodes
from training.database import database_now
from training.errors import BackupError, IncompatibleBackupError, StorageError, UnservableVersionError
from training.models import Anomaly, Backup, ModelVersion, TrainingSession

logger = logging.getLogger(__name__)

SELDOM = 7  # times VERIFY_EVERY_HOURS: what neither serves nor is the newest backup
FIRST_AFTER = timedelta(hours=1)  # from the first approved record to the first backup of all
AHEAD = timedelta(minutes=1)
PAUSE = 600.0  # seconds between attempts: what failed a moment ago would fail again


class Turn:
    """When this process last had something kept up."""

    last = -PAUSE


def is_due() -> bool:
    """Whether the queue should start `keep_files` now: on one node, not beside a training, now and then."""
    now = time.monotonic()
    if now - Turn.last < PAUSE or not (backup_due_since() or _unread()):
        return False
    if TrainingSession.objects.active().exists() or not nodes.keeps_house():
        return False
    Turn.last = now
    return True


def keep_up() -> None:
    """Read back what was not read lately, and make a backup when one is due. What fails is in its row."""
    for stored in _unread():
        try:
            if isinstance(stored, Backup):
                backups.verify_backup(backup=stored)
            else:
                artifacts.verify(stored)
        except IncompatibleBackupError as error:
            logger.warning("%s verified, all but the model: %s", stored.path, error)
        except (BackupError, UnservableVersionError) as error:
            logger.error("%s does not verify: %s", stored.path, error)  # noqa: TRY400  # the sentence says it
        else:
            logger.info("%s verified", stored.path)
    if backup_due_since() is not None:
        backup = backups.create_backup(kind=Backup.Kind.SCHEDULED)
        logger.info("%s made: %d records", backup, backup.record_count)
        backups.prune_backups()


def verify_changed() -> None:
    """Read back what serves and the newest backup where names or sizes of files changed: the row says why.

    Names and sizes are looked at, no contents. A storage out of reach says nothing; other checks tell that.
    """
    for stored in _matter():
        try:
            if artifacts.has_changed(stored):
                stored.refresh_from_db()  # what was removed or written anew during the look has not changed
                if stored.is_usable and artifacts.has_changed(stored):
                    _verify(stored)
        except StorageError as error:
            logger.debug("%s cannot be looked at: %s", stored.path, error)


def _verify(stored: artifacts.Stored) -> None:
    try:
        artifacts.verify(stored)
    except (BackupError, UnservableVersionError) as error:
        logger.error("%s does not verify: %s", stored.path, error)  # noqa: TRY400  # the sentence says it


def backup_due_since() -> datetime | None:
    """The moment from which a backup is due; None while the newest is young, or there is nothing to keep."""
    if not settings.BACKUP_EVERY_DAYS:
        return None
    newest = newest_backup()
    if newest is None:
        first = Anomaly.objects.approved().exclude(reviewed_at=None).order_by("pk").first()
        return _past(first.reviewed_at if first else None, FIRST_AFTER)
    return _past(newest.created_at, timedelta(days=settings.BACKUP_EVERY_DAYS))


def verification_due_since(stored: artifacts.Stored, *, times: int = 1) -> datetime | None:
    """The moment from which it should be read back, so many times more seldom; None: it was, lately."""
    every = timedelta(hours=settings.VERIFY_EVERY_HOURS * times)
    return _past(stored.verified_at or stored.created_at, every) if every else None


def newest_backup() -> Backup | None:
    """Return the backup made last that can be restored, as far as is known."""
    return Backup.objects.restorable().first()


def _unread() -> list[artifacts.Stored]:
    """What serves and the newest backup, when they were not read back lately; the others more seldom."""
    matter = _matter()
    others: list[artifacts.Stored] = [
        *Backup.objects.available().filter(verification_error=""),
        *ModelVersion.objects.usable(),
    ]
    due = [stored for stored in matter if verification_due_since(stored)]
    seldom = [stored for stored in others if stored not in matter]
    return [*due, *(stored for stored in seldom if verification_due_since(stored, times=SELDOM))]


def _matter() -> list[artifacts.Stored]:
    """Return what serves and the newest backup, unless they are known to be damaged."""
    serving = ModelVersion.objects.usable().filter(is_active=True).first()
    return [stored for stored in (serving, newest_backup()) if stored is not None]


def _past(last: datetime | None, every: timedelta) -> datetime | None:
    if last is None:
        return None
    now = database_now()
    if last > now + AHEAD:  # written by a clock that was wrong: nobody knows how old it is
        return now
    return last + every if last + every < now else None
