"""Backups that another database made, taken in: after a machine's loss their directories are all there is.

Nothing is believed that is not signed: the rows are made from the manifests' facts, which one of our keys
signed, and every file's digest is checked first.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction
from django.utils import timezone

from training import artifacts, backups
from training.errors import BackupError, UnservableVersionError
from training.ml.manifest import Manifest
from training.models import Backup, ModelVersion

# Of a version's row, what a backup's facts carry (backups._facts_of).
PLAIN = ("dataset_rows", "dataset_fingerprint", "libraries", "metrics", "statistics", "comparison")
TIMES = ("created_at", "dataset_read_at")


def adopt_backups(*, on_problem: Callable[[str], object]) -> list[Backup]:
    """Make the rows of the backups that have none, oldest first; `on_problem` hears why one was left out.

    Raises StorageError when the storage is another installation's: so are its backups, until it is adopted.
    """
    artifacts.require_own_storage()
    found, adopted = [], []
    for name in artifacts.unknown_backups():
        try:
            found.append(artifacts.read_back(Backup, name))
        except BackupError as error:
            on_problem(str(error))
    for manifest in sorted(found, key=lambda manifest: str(manifest.facts["created_at"])):
        try:
            adopted.append(_adopt(manifest))
        except BackupError as error:
            on_problem(str(error))
    return adopted


def _adopt(manifest: Manifest) -> Backup:
    """Raises BackupError when the version it holds is known here as another one."""
    model = manifest.facts["model"]
    with transaction.atomic():
        version = _version_of(model, manifest) if model else None
        return Backup.objects.create(
            name=manifest.path.name,
            kind=Backup.Kind.ADOPTED,
            created_at=datetime.fromisoformat(manifest.facts["created_at"]),
            verified_at=timezone.now(),
            digest=manifest.digest,
            content_digest=backups.content_digest_of(manifest),
            size_bytes=manifest.size_bytes,
            record_count=manifest.facts["record_count"],
            model_version=version if backups.holds_model(manifest) else None,
        )


def _version_of(model: dict[str, Any], manifest: Manifest) -> ModelVersion:
    """Return the row of the version that served then, known or made: as pruned unless its files are there."""
    known = ModelVersion.objects.filter(pk=model["id"]).first()
    if known is not None:
        if known.name != model["name"]:
            raise BackupError(
                f"{manifest.path.name} was left out: its model is version {model['id']}, and here that is "
                "another one. Take backups in before anything is trained."
            )
        return known
    version = ModelVersion.objects.create(
        pk=model["id"],
        name=model["name"],
        digest=model["digest"],
        size_bytes=sum(manifest.files[name].size for name in model.get("files", ())),
        pruned_at=None if _stands_there(model) else timezone.now(),
        **{name: model[name] for name in PLAIN},
        **{name: datetime.fromisoformat(model[name]) for name in TIMES},
    )
    # The next version's number comes after the highest that was taken in.
    with connection.cursor() as cursor:
        for statement in connection.ops.sequence_reset_sql(no_style(), [ModelVersion]):
            cursor.execute(statement)
    return version


def _stands_there(model: dict[str, Any]) -> bool:
    """Whether the storage, which outlived its database, still holds the very version."""
    try:
        return model["digest"] in artifacts.read_back(ModelVersion, model["name"]).digests
    except UnservableVersionError:
        return False
