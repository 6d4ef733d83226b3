"""Backups: the models that served and the training set, kept together and put back together.

A backup stands alone: it holds copies, never links, of the active version's files, the three CSVs in
the customer's format, and facts from which the version's row can be read. When the active version's own
files do not verify, the backup still holds the records: `facts["model"]["missing"]` says why it holds no
model, the row's `model_version` is empty, and a training can go on.
"""

import logging
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from training import artifacts, datafiles, frames, records, versions
from training.errors import BackupError, SessionActiveError, TrainingError, UnservableVersionError
from training.ml.errors import MLError, TamperedArtifactError
from training.ml.manifest import Manifest
from training.ml.records import SCORE_COLUMNS
from training.models import Activation, Anomaly, Backup, ModelVersion, TrainingSession

logger = logging.getLogger(__name__)

CHUNK = 1_000  # rows changed by one statement

Report = Callable[[str], object]


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


def create_backup(
    *, kind: Backup.Kind, user: User | None = None, before: TrainingSession | None = None
) -> Backup:
    """Keep the active model and the approved records as they are at one moment; read back at once.

    With `before`, the records are those from before the ones that came with that session: restoring
    the backup takes the session's batch back too.
    Raises BackupError when the disk refuses: nothing is left of the attempt.
    """
    now = timezone.now()
    facts: dict[str, Any] = {"created_at": now.isoformat()}
    try:
        with artifacts.reserved(Backup, _names(now)) as name:
            with artifacts.publish(Backup, name, facts=facts) as directory:
                version, facts["record_count"] = _write_records(directory, before)
                facts["model"] = _copy_model(version, directory) if version else None
            manifest = artifacts.read_back(Backup, name)
    except OSError as error:
        raise BackupError(f"The backup could not be written: {error.strerror}.") from error
    return Backup.objects.create(
        name=name,
        kind=kind,
        created_at=now,
        created_by=user,
        verified_at=timezone.now(),
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        record_count=facts["record_count"],
        model_version=version if _holds_model(manifest) else None,
    )


def verify_backup(*, backup: Backup) -> Backup:
    """Read everything back: every digest, every record, and the models predict.

    Raises BackupError, and the row keeps the reason.
    """
    manifest = artifacts.verify(backup)
    try:
        with tempfile.TemporaryDirectory() as copy:
            _copy_records(manifest, Path(copy))
            deque(_read_records(manifest, Path(copy)), maxlen=0)
        if _holds_model(manifest):
            _try_model(manifest)
    except BackupError as error:
        artifacts.quarantine(backup, str(error))
        raise
    return backup


def preview_restore(*, backup: Backup) -> RestorePreview:
    """What `restore_backup` would change now; changes nothing. Raises BackupError."""
    manifest = artifacts.verify(backup)
    held, present, approved, differences = manifest.facts["record_count"], 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as copy:
        _copy_records(manifest, Path(copy))
        for frame in _read_records(manifest, Path(copy)):
            reports = {report.anomaly_id: report for report in records.reports_from_frame(frame)}
            for anomaly in Anomaly.objects.filter(anomaly_id__in=list(reports)):
                present += 1
                approved += anomaly.status == Anomaly.Status.APPROVED
                differences.update(_differences(anomaly, reports[anomaly.anomaly_id]))
    return RestorePreview(
        version_from=ModelVersion.objects.active(),
        version_to=_version_of(manifest),
        records_to_pending=Anomaly.objects.approved().count() - approved,
        records_reapproved=present - approved,
        records_recreated=held - present,
        scores_changed=differences["scores"],
        texts_changed=differences["texts"],
        records_in_backup=held,
    )


def restore_backup(
    *, backup: Backup, user: User | None = None, on_step: Report = logger.info
) -> RestoreResult:
    """Make the backup's models serve and its records the training set; `on_step` hears what is done.

    Nothing is lost: the present is backed up first, records that the backup does not hold go back to
    the review queue, and every change is kept in the history. All or nothing, whenever it is killed.
    Raises SessionActiveError during a training, BackupError when the backup cannot be used.
    """
    _refuse_during_session()
    on_step("Verifying the backup")
    manifest = artifacts.verify(backup)
    with tempfile.TemporaryDirectory() as copy:
        _copy_records(manifest, Path(copy))
        version = _version_of(manifest)
        if _holds_model(manifest):
            _try_model(manifest)
        on_step("Backing up the present")
        safety_backup = create_backup(kind=Backup.Kind.BEFORE_RESTORE, user=user)
        files = _make_servable(version, manifest) if version else None
        on_step("Switching the model and the records")
        reason = f"Restored from {backup.name}"
        with transaction.atomic():
            _shut_out_writers()
            counts, ids = _store(manifest, Path(copy), user=user, reason=reason)
            reopened = _reopen_others(ids, user=user, reason=reason)
            if version and files:
                _claim_files(version, files)
            versions.set_active(version=version, reason=Activation.Reason.RESTORE, user=user)
            if version:
                version.refresh_from_db()
    return RestoreResult(
        backup=backup,
        safety_backup=safety_backup,
        version=version,
        records_to_pending=reopened,
        records_recreated=counts.created,
        records_changed=counts.updated,
        records_unchanged=counts.unchanged,
    )


def prunable_backups(*, keep: int | None = None) -> list[Backup]:
    """All but the newest `keep` (KEEP_BACKUPS) and the newest that holds the active version.

    What is quarantined is neither counted nor removed: a person looks at it first.
    """
    usable = list(Backup.objects.available().filter(verification_error="").select_related("model_version"))
    kept = usable[: settings.KEEP_BACKUPS if keep is None else keep]
    holding = [backup for backup in usable if backup.model_version and backup.model_version.is_active]
    return [backup for backup in usable if backup not in kept and backup not in holding[:1]]


def prune_backups(*, keep: int | None = None) -> list[str]:
    """Remove the files of the backups that retention does not keep; their names."""
    pruned = prunable_backups(keep=keep)
    for backup in pruned:
        artifacts.remove(backup)
    return [backup.name for backup in pruned]


def _names(moment: datetime) -> Iterator[str]:
    """The guide's form, UTC; a taken second moves on to the next."""
    return (f"backup_{moment + timedelta(seconds=seconds):%Y%m%d_%H%M%S}" for seconds in count())


def _write_records(directory: Path, before: TrainingSession | None) -> tuple[ModelVersion | None, int]:
    """The version that serves, and how many records were written: both of the same moment."""
    with _snapshot():
        version = ModelVersion.objects.active()
        return version, datafiles.write_customer_files(
            directory, partial(frames.iter_approved, before=before)
        )


@contextmanager
def _snapshot() -> Iterator[None]:
    """All reads of the block see one moment, and no writer waits for them.

    Inside a transaction of the caller that transaction's isolation is all there is.
    """
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        # Not atomic(): with our settings that is BEGIN IMMEDIATE, which takes the one writer's place.
        with connection.cursor() as cursor:
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            connection.rollback()


def _copy_model(version: ModelVersion, directory: Path) -> dict[str, Any]:
    """Copy the version's verified bytes; what is to be known of it, or why its files are missing."""
    facts = _facts_of(version)
    try:
        manifest = artifacts.verify(version)
        contents = {name: manifest.read(name) for name in manifest.files}
    except (UnservableVersionError, TamperedArtifactError) as error:
        logger.warning("The backup holds no model: %s", error)
        return facts | {"missing": str(error)}
    for name, content in contents.items():
        (directory / name).write_bytes(content)
    return facts | {"facts": dict(manifest.facts), "files": sorted(contents)}


def _facts_of(version: ModelVersion) -> dict[str, Any]:
    plain = ("name", "digest", "dataset_rows", "dataset_fingerprint")
    documents = ("libraries", "metrics", "statistics", "comparison")
    return {
        "id": version.pk,
        **{name: getattr(version, name) for name in (*plain, *documents)},
        **{name: getattr(version, name).isoformat() for name in ("created_at", "dataset_read_at")},
    }


def _holds_model(manifest: Manifest) -> bool:
    model = manifest.facts["model"]
    return model is not None and "missing" not in model


def _copy_records(manifest: Manifest, directory: Path) -> None:
    """Copy the backup's CSVs, verified, to where nobody changes them. Raises BackupError."""
    try:
        for file in datafiles.CUSTOMER_FILES.values():
            manifest.copy(file, directory / file)
    except TamperedArtifactError as error:
        raise BackupError(f"The records of {manifest.path.name} cannot be read: {error}") from error


def _read_records(manifest: Manifest, directory: Path) -> Iterator[pd.DataFrame]:
    """The backup's training set from that copy, piece by piece.

    Raises BackupError, at the latest at the end, when it is not what the backup should hold.
    """
    name, expected, found = manifest.path.name, manifest.facts["record_count"], 0
    try:
        for frame in datafiles.read_customer_directory(directory):
            found += len(frame)
            yield frame
    except TrainingError as error:
        raise BackupError(f"The records of {name} cannot be read: {error}") from error
    if found != expected:
        raise BackupError(f"{name} should hold {expected} records, and holds {found}.")


def _store(
    manifest: Manifest, directory: Path, *, user: User | None, reason: str
) -> tuple[records.RecordCounts, "npt.NDArray[np.bytes_]"]:
    """Make the backup's records approved, exactly as they are there; also the digests of their ids."""
    ids = []

    def reports() -> Iterator[records.ScoredReport]:
        for frame in _read_records(manifest, directory):
            ids.append(datafiles.digests(frame["anomaly_id"]))
            yield from records.reports_from_frame(frame)

    source = Anomaly.Source.RESTORE
    counts = records.store_records(reports=reports(), user=user, source=source, reason=reason, exactly=True)
    return counts, np.concatenate(ids)


def _try_model(manifest: Manifest) -> None:
    """Load the backup's model and let it predict. Raises BackupError."""
    from training.ml import bundle  # noqa: PLC0415  # scikit-learn imports for a second: who loads pays

    try:
        bundle.read_scorer(replace(manifest, facts=manifest.facts["model"]["facts"]))
    except MLError as error:
        raise BackupError(f"The model of {manifest.path.name} cannot be loaded: {error}") from error


def _differences(anomaly: Anomaly, report: records.ScoredReport) -> set[str]:
    """Of "scores" and "texts", what a restore would change; what the backup left blank is "" there."""
    stored = {name: getattr(report, name) for name in records.CONTENT}
    stored |= {"system": report.system or "", "section": report.section or ""}
    different = [name for name, value in stored.items() if getattr(anomaly, name) != value]
    return {"scores" if name in SCORE_COLUMNS else "texts" for name in different}


def _version_of(manifest: Manifest) -> ModelVersion | None:
    """The version that the backup would make serve; None when nothing served then.

    Raises BackupError when the backup could not copy that version and it cannot be loaded now either.
    """
    model = manifest.facts["model"]
    if model is None:
        return None
    version = ModelVersion.objects.get(pk=model["id"])
    try:
        if not _holds_model(manifest):
            artifacts.load_scorer(version)
    except UnservableVersionError as error:
        raise BackupError(f"{manifest.path.name} holds the records, but no model: {error}") from error
    return version


def _make_servable(version: ModelVersion, backup: Manifest) -> Manifest:
    """The version's directory with the backup's files, written anew when it was removed or damaged.

    What stands in its place is renamed, never deleted. Raises BackupError.
    """
    model: Mapping[str, Any] = backup.facts["model"]
    try:
        files = artifacts.read_back(ModelVersion, version.name)
        if not _holds_model(backup) or files.files == {name: backup.files[name] for name in model["files"]}:
            return files
    except UnservableVersionError as error:
        logger.info("Writing %s from %s: %s", version.name, backup.path.name, error)
    try:
        artifacts.set_aside(version)
        with artifacts.publish(ModelVersion, version.name, facts=model["facts"]) as directory:
            for name in model["files"]:
                (directory / name).write_bytes(backup.read(name))
        return artifacts.read_back(ModelVersion, version.name)
    except OSError as error:
        raise BackupError(f"The model could not be written: {error.strerror}.") from error
    except (TamperedArtifactError, UnservableVersionError) as error:
        raise BackupError(str(error)) from error


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


def _reopen_others(kept: "npt.NDArray[np.bytes_]", *, user: User | None, reason: str) -> int:
    """Approved records whose id's digest is not among these go back to the review queue; how many."""
    approved = Anomaly.objects.approved().order_by("pk").values_list("pk", "anomaly_id")
    pks, ids, last = [], [], 0
    while piece := list(approved.filter(pk__gt=last)[:20_000]):
        last = piece[-1][0]
        pks.append(np.array([pk for pk, _ in piece]))
        ids.append(datafiles.digests(anomaly_id for _, anomaly_id in piece))
    if not pks:
        return 0
    others = np.concatenate(pks)[~np.isin(np.concatenate(ids), kept)].tolist()
    for start in range(0, len(others), CHUNK):
        rows = Anomaly.objects.filter(pk__in=others[start : start + CHUNK])
        rows.update(
            status=Anomaly.Status.PENDING, reviewed_by=None, reviewed_at=None, updated_at=timezone.now()
        )
        rows.note_history("~", user=user, reason=reason)
    return len(others)


def _claim_files(version: ModelVersion, files: Manifest) -> None:
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
