"""Restores: a backup's models serve again and its records are the training set: all of it, or nothing."""

import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from training import artifacts, backups, notices, records, sessions, versions
from training.errors import (
    BackupError,
    IncompatibleBackupError,
    IncompatibleVersionError,
    SessionActiveError,
    StorageError,
    UnservableVersionError,
    UnwritableBackupError,
)
from training.ml.errors import TamperedArtifactError
from training.ml.failpoints import failpoint
from training.ml.manifest import Manifest
from training.ml.records import COLUMNS, SCORE_COLUMNS
from training.models import Activation, Anomaly, Backup, ModelVersion, ScoreChange, TrainingSession

logger = logging.getLogger(__name__)

APPROVED = Anomaly.Status.APPROVED.value
CHUNK = 1_000  # rows changed by one statement

EXAMPLES = 20  # changes that a preview lists

Report = Callable[[str], object]
Scores = tuple[float | None, ...]


@dataclass(frozen=True, kw_only=True)
class RestorePreview:
    """What a restore would change now. `scores_changed` counts records, not single scores."""

    version_from: ModelVersion | None
    version_to: ModelVersion | None
    records_to_pending: int  # approved now, unknown to the backup
    records_reapproved: int  # in the backup, pending or rejected now
    records_recreated: int  # in the backup, gone now
    scores_changed: int
    texts_changed: int  # another description, equipment, system, section or time
    records_in_backup: int
    examples: tuple["RecordChange", ...] = ()  # the first EXAMPLES of those that change


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordChange:
    """One record before and after the restore; scores are None where the record is not there."""

    class Kind(StrEnum):
        TO_PENDING = "to_pending"
        REAPPROVED = "reapproved"
        RECREATED = "recreated"
        SCORES = "scores"
        TEXTS = "texts"

    anomaly_id: str
    description: str
    kind: Kind
    old: Scores | None
    new: Scores | None


@dataclass(frozen=True, kw_only=True)
class RestoreResult:
    """What a restore changed. `version` is None when the backup is older than the first model."""

    backup: Backup
    safety_backup: Backup
    version: ModelVersion | None
    records_to_pending: int
    records_recreated: int
    records_changed: int  # scores, other fields or status
    records_unchanged: int


def preview_restore(*, backup: Backup) -> RestorePreview:
    """What `restore_backup` would change now; changes nothing. Raises BackupError."""
    manifest = artifacts.verify(backup)
    held, present, approved, differences = manifest.facts["record_count"], 0, 0, Counter[str]()
    known = [np.empty(0, dtype=np.int64)]
    examples: list[RecordChange] = []
    with tempfile.TemporaryDirectory() as copy:
        backups.copy_records(manifest, Path(copy))
        for frame, stored in _compared(manifest, Path(copy)):
            known.append(np.array([now[0] for now in stored if now], dtype=np.int64))
            present += len(known[-1])
            for now, record in zip(stored, records.rows_from_frame(frame), strict=True):
                different = _differences(now[2:], record) if now else set()
                if now:
                    approved += now[1] == APPROVED
                    differences.update(different)
                if len(examples) < EXAMPLES and (change := _change(now, record, different)):
                    examples.append(change)
    to_pending = Anomaly.objects.approved().count() - approved
    leaving = _leaving(np.concatenate(known), min(to_pending, EXAMPLES))
    return RestorePreview(
        version_from=ModelVersion.objects.active(),
        version_to=_version_of(manifest),
        records_to_pending=to_pending,
        records_reapproved=present - approved,
        records_recreated=held - present,
        scores_changed=differences["scores"],
        texts_changed=differences["texts"],
        records_in_backup=held,
        examples=tuple([*leaving, *examples][:EXAMPLES]),
    )


@contextmanager
def _disk_errors_told() -> Iterator[None]:
    """Raise UnwritableBackupError for a disk that refuses, whatever was being read or written."""
    try:
        yield
    except StorageError:  # tells for itself
        raise
    except OSError as error:
        raise UnwritableBackupError(f"The disk refused: {error.strerror or error}.") from error


@_disk_errors_told()
def restore_backup(
    *, backup: Backup, user: User | None = None, on_step: Report = logger.info
) -> RestoreResult:
    """Make the backup's models serve and its records the training set; `on_step` hears what is done.

    Nothing is lost: the present is backed up first, records that the backup does not hold go back to
    the review queue, and every change is kept in the history. All or nothing, whenever it is killed.
    Raises SessionActiveError during a training, BackupError, UnwritableBackupError when the disk refuses, and
    StorageError for another's storage.
    """
    _require_nothing_in_the_way()
    on_step("Verifying the backup")
    manifest = artifacts.verify(backup)
    failpoint("restore.verified")
    with tempfile.TemporaryDirectory() as copy:
        backups.copy_records(manifest, Path(copy))
        failpoint("restore.copied")
        version = _version_of(manifest)
        if backups.holds_model(manifest):
            backups.try_model(manifest)
        failpoint("restore.tried")
        on_step("Backing up the present")
        safety_backup = backups.create_backup(kind=Backup.Kind.BEFORE_RESTORE, user=user)
        failpoint("restore.backed_up")
        files = make_servable(version, manifest) if version else None
        failpoint("restore.servable")
        on_step("Switching the model and the records")
        reason = f"Restored from {backup.name}"
        with transaction.atomic(), _wide_cache():
            _shut_out_writers()
            failpoint("restore.locked")
            approved = _approved_keys()
            counts, kept = _store(manifest, Path(copy), user=user, reason=reason)
            failpoint("restore.stored")
            reopened = _reopen(np.setdiff1d(approved, kept), user=user, reason=reason)
            failpoint("restore.reopened")
            if version and files:
                claim_files(version, files)
            failpoint("restore.claimed")
            versions.set_active(version=version, reason=Activation.Reason.RESTORE, user=user, note=reason)
            if version:
                version.refresh_from_db()
            notices.backup_restored(
                backup=backup,
                safety_backup=safety_backup,
                version=version,
                records={"to_pending": reopened, "recreated": counts.created, "changed": counts.updated},
                user=user,
            )
            failpoint("restore.finished")
    failpoint("restore.committed")
    return RestoreResult(
        backup=backup,
        safety_backup=safety_backup,
        version=version,
        records_to_pending=reopened,
        records_recreated=counts.created,
        records_changed=counts.updated,
        records_unchanged=manifest.facts["record_count"] - counts.created - counts.updated,
    )


def _compared(
    manifest: Manifest, directory: Path
) -> "Iterator[tuple[pd.DataFrame, list[tuple[Any, ...] | None]]]":
    """The backup's records, piece by piece, and what is stored now under each id: key, status, record."""
    for frame in backups.read_records(manifest, directory):
        ids = frame["anomaly_id"].tolist()
        rows = Anomaly.objects.filter(anomaly_id__in=ids).order_by().values_list("pk", "status", *COLUMNS)
        stored = {row[2]: row for row in rows}
        yield frame, [stored.get(anomaly_id) for anomaly_id in ids]


def _store(
    manifest: Manifest, directory: Path, *, user: User | None, reason: str
) -> "tuple[records.RecordCounts, npt.NDArray[np.int64]]":
    """Make the backup's records approved, exactly as they are there; also the keys of those that were known.

    Most of them are as they should be, as a rule: only the others are taken through `store_records`.
    """
    known = [np.empty(0, dtype=np.int64)]

    def reports() -> Iterator[records.ScoredReport]:
        for frame, stored in _compared(manifest, directory):
            known.append(np.array([now[0] for now in stored if now], dtype=np.int64))
            wanted = zip(stored, records.rows_from_frame(frame), strict=True)
            differs = [now is None or now[1:] != (APPROVED, *record) for now, record in wanted]
            yield from records.reports_from_frame(frame[np.array(differs, dtype=bool)])

    source = Anomaly.Source.RESTORE
    counts = records.store_records(reports=reports(), user=user, source=source, reason=reason, exactly=True)
    return counts, np.concatenate(known)


def _differences(now: tuple[Any, ...], record: tuple[Any, ...]) -> set[str]:
    """Of "scores" and "texts", what a restore would change."""
    if now == record:
        return set()
    different = [name for name, old, new in zip(COLUMNS, now, record, strict=True) if old != new]
    return {"scores" if name in SCORE_COLUMNS else "texts" for name in different}


def _change(now: tuple[Any, ...] | None, record: tuple[Any, ...], different: set[str]) -> RecordChange | None:
    """What the restore does to this record of the backup; None when it is as it should be."""
    if now is None:
        kind = RecordChange.Kind.RECREATED
    elif "scores" in different:
        kind = RecordChange.Kind.SCORES
    elif now[1] != APPROVED:
        kind = RecordChange.Kind.REAPPROVED
    elif different:
        kind = RecordChange.Kind.TEXTS
    else:
        return None
    return RecordChange(
        anomaly_id=record[COLUMNS.index("anomaly_id")],
        description=record[COLUMNS.index("description")],
        kind=kind,
        old=_scores(now[2:]) if now else None,
        new=_scores(record),
    )


def _scores(record: tuple[Any, ...]) -> Scores:
    return tuple(record[COLUMNS.index(column)] for column in SCORE_COLUMNS)


def _leaving(known: "npt.NDArray[np.int64]", count: int) -> Iterator[RecordChange]:
    """The newest approved records that are none of these."""
    if not count:
        return
    kept = np.sort(known)
    rows = Anomaly.objects.approved().order_by("-pk").values_list("pk", *COLUMNS)
    for pk, *record in rows.iterator(CHUNK):
        at = int(np.searchsorted(kept, pk))
        if at < len(kept) and kept[at] == pk:
            continue
        yield RecordChange(
            anomaly_id=record[COLUMNS.index("anomaly_id")],
            description=record[COLUMNS.index("description")],
            kind=RecordChange.Kind.TO_PENDING,
            old=_scores(tuple(record)),
            new=None,
        )
        count -= 1
        if not count:
            return


def _version_of(manifest: Manifest) -> ModelVersion | None:
    """The version that the backup would make serve; None when nothing served then.

    Raises BackupError when the backup could not copy that version and it cannot be loaded now either.
    """
    model = manifest.facts["model"]
    if model is None:
        return None
    version = ModelVersion.objects.get(pk=model["id"])
    try:
        if not backups.holds_model(manifest):
            artifacts.load_scorer(version)
    except IncompatibleVersionError as error:
        words = f"{manifest.path.name} holds the records, and this node cannot load their model: {error}"
        raise IncompatibleBackupError(words) from error
    except UnservableVersionError as error:
        raise BackupError(f"{manifest.path.name} holds the records, but no model: {error}") from error
    return version


def make_servable(version: ModelVersion, backup: Manifest) -> Manifest:
    """The version's directory with the backup's files, written anew when it was removed or damaged.

    What stands in its place is renamed, never deleted. Raises BackupError.
    """
    model: Mapping[str, Any] = backup.facts["model"]
    try:
        files = artifacts.read_back(ModelVersion, version.name)
        if not backups.holds_model(backup) or files.files == {
            name: backup.files[name] for name in model["files"]
        }:
            return files
    except StorageError as error:
        raise BackupError(str(error)) from error
    except UnservableVersionError as error:
        logger.info("Writing %s from %s: %s", version.name, backup.path.name, error)
    try:
        artifacts.set_aside(version)
        failpoint("restore.set_aside")
        with artifacts.publish(ModelVersion, version.name, facts=model["facts"]) as directory:
            for name in model["files"]:
                failpoint("restore.model_file")
                (directory / name).write_bytes(backup.read(name))
        return artifacts.read_back(ModelVersion, version.name)
    except OSError as error:
        raise UnwritableBackupError(f"The model could not be written: {error.strerror}.") from error
    except (TamperedArtifactError, UnservableVersionError) as error:
        raise BackupError(str(error)) from error


def _require_nothing_in_the_way() -> None:
    """Recover a session that died, then refuse a restore beside a training or in another's storage."""
    sessions.recover_sessions()
    _refuse_during_session()
    artifacts.require_own_storage()


def _refuse_during_session() -> None:
    if TrainingSession.objects.active().exists():
        raise SessionActiveError


def _shut_out_writers() -> None:
    """Until the transaction ends no session starts and no anomaly changes; readers go on.

    On SQLite the transaction itself is IMMEDIATE: the only writer. On PostgreSQL the two tables are
    locked before any row is, sessions first, which is the order of `accept_batch` too.
    """
    if connection.vendor == "postgresql":
        tables = ", ".join(
            connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  # Django documents _meta
            for model in (TrainingSession, Anomaly)
        )
        with connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {tables} IN EXCLUSIVE MODE")
    _refuse_during_session()


@contextmanager
def _wide_cache() -> Iterator[None]:
    """On SQLite: room for 64 MB of pages, not 2, lest the indexes are read and written again and again."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA cache_size")
        (usual,) = cursor.fetchone()
        cursor.execute("PRAGMA cache_size = -65536")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA cache_size = {usual}")


def _approved_keys() -> "npt.NDArray[np.int64]":
    keys = Anomaly.objects.approved().order_by("pk").values_list("pk", flat=True)
    return np.array(list(keys), dtype=np.int64)


def _reopen(keys: "npt.NDArray[np.int64]", *, user: User | None, reason: str) -> int:
    """Send these records back to the review queue; how many."""
    for start in range(0, len(keys), CHUNK):
        rows = Anomaly.objects.filter(pk__in=keys[start : start + CHUNK].tolist())
        rows.update(
            status=Anomaly.Status.PENDING, reviewed_by=None, reviewed_at=None, updated_at=timezone.now()
        )
        rows.note_history("~", user=user, reason=reason)
        ScoreChange.objects.note(rows)
    return len(keys)


def claim_files(version: ModelVersion, files: Manifest) -> None:
    """The row says what the directory now holds. Raises BackupError when it was pruned meanwhile."""
    unchanged = ModelVersion.objects.filter(pk=version.pk, pruned_at=version.pruned_at)
    if not unchanged.update(
        digest=files.digest,
        size_bytes=files.size_bytes,
        verified_at=timezone.now(),
        verification_error="",
        pruned_at=None,
    ):
        raise BackupError(f"The files of {version.name} were removed meanwhile: restore again.")
