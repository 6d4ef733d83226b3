"""What retention keeps of backups and model versions, however often somebody trains.

Kept are what a person made, what is in use, the newest, so many of the newest that differ from the one
before, and the newest of each of the last days and weeks (UTC) that have one.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from django.conf import settings

from training.models import Backup, ModelVersion

Row = TypeVar("Row", Backup, ModelVersion)


class Reason(StrEnum):
    """Why a row's files are kept; the first that holds."""

    BY_HAND = "by_hand"  # until somebody removes it by hand
    IN_USE = "in_use"  # it holds what serves, is what serves, or is the way back
    NEWEST = "newest"
    RECENT = "recent"  # one of the newest that differ from the one before
    DAY = "day"
    WEEK = "week"


def backups_to_keep(backups: Sequence[Backup], *, recent: int) -> dict[Backup, Reason]:
    """Return which of these are kept, and why. They are usable ones, newest first, with their versions."""
    by_hand = [backup for backup in backups if backup.kind in Backup.BY_HAND]
    others = [backup for backup in backups if backup.kind not in Backup.BY_HAND]
    holding = [backup for backup in backups if backup.model_version and backup.model_version.is_active]
    days = _newest_of_each(others, _day, settings.KEEP_DAILY_BACKUPS)
    weeks = _newest_of_each(others, _week, settings.KEEP_WEEKLY_BACKUPS)
    return _reasons(
        {
            Reason.BY_HAND: by_hand,
            Reason.IN_USE: holding[:1],
            Reason.NEWEST: list(backups[:1]),
            Reason.RECENT: _different(others, _is_same_backup)[:recent],
            Reason.DAY: days,
            Reason.WEEK: weeks,
        }
    )


def versions_to_keep(
    versions: Sequence[ModelVersion], *, recent: int, in_use: Iterable[ModelVersion | None]
) -> dict[ModelVersion, Reason]:
    """Return which of these are kept, and why. They are usable ones, newest first."""
    return _reasons(
        {
            Reason.IN_USE: [version for version in in_use if version and version in versions],
            Reason.NEWEST: list(versions[:1]),
            Reason.RECENT: _different(versions, _is_same_version)[:recent],
            Reason.DAY: _newest_of_each(versions, _day, settings.KEEP_DAILY_MODEL_VERSIONS),
            Reason.WEEK: _newest_of_each(versions, _week, settings.KEEP_WEEKLY_MODEL_VERSIONS),
        }
    )


def _reasons(found: dict[Reason, list[Row]]) -> dict[Row, Reason]:
    reasons: dict[Row, Reason] = {}
    for reason, rows in found.items():
        for row in rows:
            reasons.setdefault(row, reason)
    return reasons


def _different(rows: Sequence[Row], is_same: Callable[[Row, Row], bool]) -> list[Row]:
    """Those that are not the same as the one before them, which is the next here."""
    last = len(rows) - 1
    return [row for n, row in enumerate(rows) if n == last or not is_same(row, rows[n + 1])]


def _is_same_backup(backup: Backup, before: Backup) -> bool:
    return bool(backup.content_digest) and backup.content_digest == before.content_digest


def _is_same_version(version: ModelVersion, before: ModelVersion) -> bool:
    same = (version.dataset_fingerprint, version.libraries) == (before.dataset_fingerprint, before.libraries)
    return bool(version.dataset_fingerprint) and same


def _newest_of_each(rows: Sequence[Row], period: Callable[[datetime], object], count: int) -> list[Row]:
    """The newest row of each of the last `count` periods that have one."""
    newest: dict[object, Row] = {}
    for row in rows:
        newest.setdefault(period(row.created_at), row)
    return list(newest.values())[:count]


def _day(moment: datetime) -> object:
    return moment.date()


def _week(moment: datetime) -> object:
    return moment.isocalendar()[:2]
