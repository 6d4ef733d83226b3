"""Backups: the models that served and the training set, kept together; `restoring` puts them back.

A backup stands alone: it holds copies, never links, of the active version's files, the three CSVs in
the customer's format, and facts from which the version's row can be read. When the active version's own
files do not verify, the backup still holds the records: `facts["model"]["missing"]` says why it holds no
model, the row's `model_version` is empty, and a training can go on.
"""

import hashlib
import json
import logging
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from training import artifacts, datafiles, frames
from training.database import database_now
from training.errors import (
    BackupError,
    ForeignStorageError,
    IncompatibleBackupError,
    NotAllowedNowError,
    TrainingError,
    UnservableVersionError,
    UnwritableBackupError,
)
from training.ml.errors import IncompatibleArtifactError, MLError, TamperedArtifactError
from training.ml.failpoints import failpoint
from training.ml.manifest import Manifest
from training.models import Backup, ModelVersion, TrainingSession
from training.policy import current_policy
from training.retention import Reason, backups_to_keep

logger = logging.getLogger(__name__)

MOST_SECONDS_TAKEN = 10  # names that are tried, a second each


def create_backup(
    *, kind: Backup.Kind, user: User | None = None, before: TrainingSession | None = None
) -> Backup:
    """Keep the active model and the approved records as they are at one moment; read back at once.

    With `before`, the records are those from before the ones that came with that session: restoring
    the backup takes the session's batch back too.
    Raises UnwritableBackupError when the disk refuses, StorageError when the storage is another
    installation's: nothing is left of the attempt.
    """
    facts: dict[str, Any] = {}
    try:
        with artifacts.reserved(Backup, _names(facts)) as name:
            failpoint("backup.reserved")
            with artifacts.publish(Backup, name, facts=facts) as directory:
                version, facts["record_count"] = _write_records(directory, before)
                facts["model"] = _copy_model(version, directory) if version else None
            manifest = artifacts.read_back(Backup, name)
            failpoint("backup.read_back")
    except ForeignStorageError:
        raise
    except OSError as error:
        raise UnwritableBackupError(f"The backup could not be written: {error.strerror}.") from error
    backup = Backup.objects.create(
        name=name,
        kind=kind,
        created_at=datetime.fromisoformat(facts["created_at"]),
        created_by=user,
        verified_at=timezone.now(),
        digest=manifest.digest,
        content_digest=content_digest_of(manifest),
        size_bytes=manifest.size_bytes,
        record_count=facts["record_count"],
        model_version=version if holds_model(manifest) else None,
    )
    failpoint("backup.row")
    return backup


def content_digest_of(manifest: Manifest) -> str:
    """Return a digest of the records and the model: the same where nothing changed in between."""
    model = manifest.facts["model"]
    files = sorted((name, entry.sha256) for name, entry in manifest.files.items())
    return hashlib.sha256(json.dumps([model and model["id"], files]).encode()).hexdigest()


def verify_backup(*, backup: Backup) -> Backup:
    """Read everything back: every digest, every record, and the models predict.

    Raises BackupError, and the row keeps the reason; IncompatibleBackupError when all but the models was read
    back, which this process's libraries cannot read: of that the row says nothing.
    """
    manifest = artifacts.verify(backup)
    try:
        with tempfile.TemporaryDirectory() as copy:
            copy_records(manifest, Path(copy))
            deque(read_records(manifest, Path(copy)), maxlen=0)
        if holds_model(manifest):
            try_model(manifest)
    except IncompatibleBackupError:
        raise
    except BackupError as error:
        artifacts.quarantine(backup, str(error))
        raise
    return backup


def retention_of_backups(*, keep: int | None = None) -> dict[Backup, Reason | None]:
    """Return the usable backups, newest first, and why each is kept; None: retention removes it.

    `keep` of the newest that differ, instead of what the training policy says. What is quarantined is
    neither counted nor removed: a person looks at it first.
    """
    usable = list(Backup.objects.restorable().select_related("model_version"))
    reasons = backups_to_keep(usable, recent=current_policy().backups_kept if keep is None else keep)
    return {backup: reasons.get(backup) for backup in usable}


def prunable_backups(*, keep: int | None = None) -> list[Backup]:
    """Return the backups that retention does not keep, newest first; `keep` as in `retention_of_backups`."""
    return [backup for backup, reason in retention_of_backups(keep=keep).items() if reason is None]


def prune_backups(*, keep: int | None = None) -> list[str]:
    """Remove the files of the backups that retention does not keep; their names."""
    pruned = prunable_backups(keep=keep)
    for backup in pruned:
        artifacts.remove(backup)
    return [backup.name for backup in pruned]


def remove_backup(*, backup: Backup) -> None:
    """Remove the files of one backup for good, whatever retention says; the row stays and tells when.

    Raises NotAllowedNowError for the newest that can be restored, and for one whose training still goes on.
    """
    if TrainingSession.objects.active().filter(backup=backup).exists():
        raise NotAllowedNowError(f"{backup.name} belongs to a training that has not ended.")
    if backup == Backup.objects.available().filter(verification_error="").first():
        raise NotAllowedNowError(f"{backup.name} is the newest backup: make another one first.")
    artifacts.remove(backup)


def holds_model(manifest: Manifest) -> bool:
    model = manifest.facts["model"]
    return model is not None and "missing" not in model


def copy_records(manifest: Manifest, directory: Path) -> None:
    """Copy the backup's CSVs, verified, to where nobody changes them. Raises BackupError."""
    try:
        for file in datafiles.CUSTOMER_FILES.values():
            manifest.copy(file, directory / file)
    except TamperedArtifactError as error:
        raise BackupError(f"The records of {manifest.path.name} cannot be read: {error}") from error


def read_records(manifest: Manifest, directory: Path) -> Iterator[pd.DataFrame]:
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


def try_model(manifest: Manifest) -> None:
    """Load the backup's model and let it predict. Raises BackupError, IncompatibleBackupError."""
    from training.ml import bundle  # noqa: PLC0415  # scikit-learn imports for a second: who loads pays

    try:
        bundle.read_scorer(replace(manifest, facts=manifest.facts["model"]["facts"]))
    except IncompatibleArtifactError as error:
        words = f"The model of {manifest.path.name} cannot be loaded here: {error}"
        raise IncompatibleBackupError(words) from error
    except MLError as error:
        raise BackupError(f"The model of {manifest.path.name} cannot be loaded: {error}") from error


def _names(facts: dict[str, Any]) -> Iterator[str]:
    """Yield names of the guide's form, UTC, each of the second that it is by the database's clock.

    Noted in `facts` is the moment of the last one. A name never runs ahead: a taken second is waited out.
    Raises BackupError when the seconds are taken for too long.
    """
    for _ in range(MOST_SECONDS_TAKEN):
        moment = database_now()
        facts["created_at"] = moment.isoformat()
        yield f"backup_{moment:%Y%m%d_%H%M%S}"
        time.sleep(1 - moment.microsecond / 1_000_000)
    raise BackupError("Another backup took the name of each of the last seconds: try again.")


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
        failpoint("backup.model_file")
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
