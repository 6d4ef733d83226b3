"""The signed directories of model versions and backups: publish, verify, load, remove, sweep.

A directory is written on this machine, signed, made durable and put on its shelf (local disk or object
storage: `shelves`); the row comes last. So a row without files means damage, and files without a row are what
a crash left behind: `sweep` takes them away.
"""

import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.core.cache import cache
from django.db.models import Q, Sum
from django.utils import timezone

from training.errors import BackupError, NotAllowedNowError, StorageError, UnservableVersionError
from training.ml.errors import MLError, TamperedArtifactError
from training.ml.failpoints import failpoint
from training.ml.held_out import HELD_OUT, read_held_out
from training.ml.manifest import MANIFEST, Manifest, read_manifest, sign_directory, signed_again
from training.models import Backup, ModelVersion
from training.shelves import Shelf, StoredFile, is_local, local_shelf_of, shelf_of
from training.shelves.base import DAMAGED, TEMPORARY

if TYPE_CHECKING:
    import pandas as pd

    from training.ml.neighbours import NeighbourIndex
    from training.ml.scorer import AnomalyScorer

TWIN = "twin.pkl"

Stored: TypeAlias = ModelVersion | Backup


def directory_of(stored: Stored) -> Path:
    """Where the row's files stand on this machine's disk, unless they are in object storage.

    Always a child of its root. Raises UnservableVersionError or BackupError for a name that is none, or
    leads elsewhere.
    """
    with refusals_of(type(stored)):
        return local_shelf_of(stored.DIRECTORY).directory(stored.name)


def files_of(stored: Stored) -> dict[str, StoredFile]:
    """The files that stand there, unverified; empty when there are none. Raises as `directory_of`."""
    with refusals_of(type(stored)):
        return _shelf(type(stored)).files(stored.name)


@contextmanager
def reserved(model_class: type[Stored], names: Iterable[str]) -> Iterator[str]:
    """The first of `names` that neither files nor a row have, kept for the block to publish."""
    shelf = _shelf(model_class)
    name = next(name for name in names if _reserve(shelf, model_class, name))
    try:
        yield name
    finally:
        shelf.release(name)


@contextmanager
def publish(model_class: type[Stored], name: str, *, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary directory that the block fills, signed and stored as `name` when the block ends.

    `facts` is read at the end, so the block may fill that too. Whatever fails, an error of the block, of
    the disk or of the storage, leaves nothing; OSError when the name is taken. The row is the caller's:
    see `read_back`.
    """
    shelf, kind = _shelf(model_class), model_class.DIRECTORY
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=shelf.workplace()))
    try:
        failpoint(f"{kind}.begun")
        yield temporary
        failpoint(f"{kind}.filled")
        sign_directory(temporary, key=settings.ARTIFACT_SIGNING_KEYS[0], kind=kind, facts=facts)
        failpoint(f"{kind}.signed")
        with refusals_of(model_class):
            shelf.put(temporary, name)
        failpoint(f"{kind}.durable")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_back(model_class: type[Stored], name: str) -> Manifest:
    """The verified manifest of what was published under that name: digest and size for its row.

    Raises UnservableVersionError or BackupError; StorageError when nothing can be known now.
    """
    with refusals_of(model_class):
        return _shelf(model_class).verified(name)


def verify(stored: Stored, *, copy_will_do: bool = False) -> Manifest:
    """The manifest of files that are exactly those of the row; the row is told either way.

    What does not verify is quarantined by its `verification_error`: kept, not loaded, free again once it
    verifies. A storage that cannot be reached says nothing of them: then nobody is told. With
    `copy_will_do`, a sound copy on this machine is enough in that case.
    Raises UnservableVersionError or BackupError. Not to be called inside a transaction that the error
    would roll back.
    """
    if stored.pruned_at is not None:
        raise error_of(type(stored))(
            f"The files of {stored.name} were removed on {stored.pruned_at:%Y-%m-%d}."
        )
    try:
        manifest = _expected(stored, copy_will_do=copy_will_do)
    except StorageError as error:
        raise error_of(type(stored))(str(error)) from error
    except (UnservableVersionError, BackupError) as error:
        quarantine(stored, str(error))
        raise
    _note(stored, verified_at=timezone.now(), verification_error="")
    return manifest


def resign(stored: Stored) -> bool:
    """Sign what the row stands for with the newest key; False when it is already. Verified first.

    The files come first, then the row. In between, and after a crash there, the row still knows the
    directory as long as the older key is among settings.ARTIFACT_SIGNING_KEYS: doing it again ends it.
    Raises UnservableVersionError or BackupError, and OSError when the disk or the storage refuses.
    """
    manifest, is_new = verify(stored), False
    if manifest.digest != manifest.digests[0]:
        keys = settings.ARTIFACT_SIGNING_KEYS
        with refusals_of(type(stored)):
            content = signed_again(manifest.path, keys=keys, key=keys[0])
            _shelf(type(stored)).write_manifest(stored.name, content)
        manifest, is_new = read_back(type(stored), stored.name), True
    if stored.digest != manifest.digest:
        _note(stored, digest=manifest.digest)
        is_new = True
    return is_new


def quarantine(stored: Stored, reason: str) -> None:
    """Nobody loads it until it verifies; the files are kept."""
    _note(stored, verification_error=reason)


def load_scorer(version: ModelVersion, *, copy_will_do: bool = False) -> "AnomalyScorer":
    """The version's model, from bytes that were verified a moment ago; `copy_will_do` as for `verify`.

    Raises UnservableVersionError, and the row keeps the reason.
    """
    from training.ml import bundle  # noqa: PLC0415  # scikit-learn imports for a second: who loads pays

    manifest = verify(version, copy_will_do=copy_will_do)
    with _reasons_kept(version):
        return bundle.read_scorer(manifest)


def load_twin(version: ModelVersion) -> "AnomalyScorer | None":
    """The twin that was measured on the held-out rows; None when nothing could be held out.

    Raises UnservableVersionError, and the row keeps the reason.
    """
    from training.ml import bundle  # noqa: PLC0415  # as in load_scorer

    manifest = verify(version)
    with _reasons_kept(version):
        return bundle.read_twin(manifest) if TWIN in manifest.files else None


def load_neighbours(version: ModelVersion) -> "NeighbourIndex":
    """The records that the version learned from, to be compared with reports.

    Raises UnservableVersionError, and the row keeps the reason.
    """
    from training.ml import bundle  # noqa: PLC0415  # as in load_scorer

    manifest = verify(version)
    with _reasons_kept(version):
        return bundle.read_neighbours(manifest)


def has_held_out(version: ModelVersion) -> bool:
    """Whether the version's files tell which records it was measured on: those of older ones do not.

    Pages ask this of many versions, so the object storage is asked once: what is there never changes.
    """
    if version.pruned_at is not None:
        return False
    if is_local():
        return (directory_of(version) / HELD_OUT).is_file()
    name = f"held_out.{version.pk}.{version.digest}"
    found: bool | None = cache.get(name)
    if found is None:
        try:
            found = HELD_OUT in files_of(version)
        except StorageError:
            return False
        cache.set(name, found, timeout=None)
    return found


def load_held_out(version: ModelVersion) -> "pd.DataFrame":
    """The records that the version was measured on, and what its twin said of each.

    A page asks for this, so on local disk this one of the version's files alone is read, by the manifest
    of the row. Raises UnservableVersionError, and the row keeps the reason unless storage is out of reach.
    """
    with _reasons_kept(version):
        try:
            manifest = _manifest_to_read(version)
        except StorageError as error:
            raise UnservableVersionError(str(error)) from error
        if version.digest not in manifest.digests:
            raise TamperedArtifactError(_another(version))
        return read_held_out(manifest)


def _manifest_to_read(version: ModelVersion) -> Manifest:
    if is_local():
        return read_manifest(
            directory_of(version), keys=settings.ARTIFACT_SIGNING_KEYS, kind=ModelVersion.DIRECTORY
        )
    return _shelf(ModelVersion).verified(version.name, copy_will_do=True)


def set_aside(stored: Stored) -> str | None:
    """Rename the row's files, whatever they are, so that its name is free; None when there are none."""
    aside = f"{DAMAGED}{stored.name}-{time.time_ns()}"
    with refusals_of(type(stored)):
        return aside if _shelf(type(stored)).set_aside(stored.name, aside) else None


def remove(stored: Stored) -> None:
    """Take the files away for good; the row stays and tells when.

    Raises NotAllowedNowError for the active version.
    """
    now = timezone.now()
    removable = Q(pruned_at=None, is_active=False) if isinstance(stored, ModelVersion) else Q(pruned_at=None)
    rows = type(stored).objects.filter(pk=stored.pk)
    if not rows.filter(removable).update(pruned_at=now) and rows.filter(pruned_at=None).exists():
        raise NotAllowedNowError(f"{stored.name} is the active version.")
    failpoint("remove.noted")
    stored.pruned_at = now
    with refusals_of(type(stored)):
        _shelf(type(stored)).remove(stored.name)  # what stays is swept


def sweep(grace: timedelta = timedelta(hours=1)) -> list[str]:
    """Remove what crashes left: temporary directories, and files without a row, older than `grace`.

    Raises OSError when the disk or the storage refuses.
    """
    oldest = time.time() - grace.total_seconds()
    return [name for model_class in (ModelVersion, Backup) for name in _sweep(model_class, oldest)]


def orphans(model_class: type[Stored], grace: timedelta = timedelta(hours=1)) -> list[str]:
    """What `sweep` would remove: names of directories that crashes left, older than `grace`."""
    return sorted(_orphans(model_class, time.time() - grace.total_seconds()))


def unknown_backups(grace: timedelta = timedelta(0)) -> list[str]:
    """Whole backups without a row, such as another machine's: never swept, `adopt_backups` takes them in.

    One that is being made has its files a moment before its row: whoever asks by itself gives it `grace`.
    """
    oldest = time.time() - grace.total_seconds()
    found = [name for name, changed_at in _without_rows(Backup).items() if changed_at <= oldest]
    return sorted(name for name in found if _is_whole_backup(Backup, name))


def is_there(stored: Stored) -> bool:
    """Whether the row's files exist; whether they are sound, `verify` tells."""
    return MANIFEST in files_of(stored)


def storage_used() -> dict[str, int]:
    """Bytes stored by kind of directory, as the rows know it."""
    return {
        model_class.DIRECTORY: model_class.objects.filter(pruned_at=None).aggregate(
            total=Sum("size_bytes", default=0)
        )["total"]
        for model_class in (ModelVersion, Backup)
    }


def _shelf(model_class: type[Stored]) -> Shelf:
    return shelf_of(model_class.DIRECTORY)


def _reserve(shelf: Shelf, model_class: type[Stored], name: str) -> bool:
    with refusals_of(model_class):
        if not shelf.reserve(name):
            return False
    if model_class.objects.filter(name=name).exists():
        shelf.release(name)
        return False
    return True


@contextmanager
def refusals_of(model_class: type[Stored]) -> Iterator[None]:
    """What does not verify, and a name that is none, is the domain's error."""
    try:
        yield
    except TamperedArtifactError as error:
        raise error_of(model_class)(str(error)) from error


def error_of(model_class: type[Stored]) -> type[UnservableVersionError | BackupError]:
    return UnservableVersionError if issubclass(model_class, ModelVersion) else BackupError


def _expected(stored: Stored, *, copy_will_do: bool) -> Manifest:
    with refusals_of(type(stored)):
        manifest = _shelf(type(stored)).verified(stored.name, copy_will_do=copy_will_do)
    if stored.digest not in manifest.digests:
        raise error_of(type(stored))(_another(stored))
    return manifest


def _another(stored: Stored) -> str:
    return f"{stored.name} is signed, but it is not what was stored under that name."


def _note(stored: Stored, **values: Any) -> None:
    """Written with update(): others write this row too."""
    type(stored).objects.filter(pk=stored.pk).update(**values)
    for name, value in values.items():
        setattr(stored, name, value)


@contextmanager
def _reasons_kept(version: ModelVersion) -> Iterator[None]:
    try:
        yield
    except MLError as error:
        quarantine(version, str(error))
        raise UnservableVersionError(str(error)) from error


def _sweep(model_class: type[Stored], oldest: float) -> list[str]:
    shelf = _shelf(model_class)
    shelf.tidy(oldest)
    swept = _orphans(model_class, oldest)
    for name in swept:
        shelf.remove(name)
    return swept


def _orphans(model_class: type[Stored], oldest: float) -> list[str]:
    left = [name for name, changed_at in _without_rows(model_class).items() if changed_at < oldest]
    return [name for name in left if not _is_whole_backup(model_class, name)]


def _without_rows(model_class: type[Stored]) -> dict[str, float]:
    """Names, and when each was last changed."""
    # What stands there is listed before the rows are read: what is published in between has its row.
    found = _shelf(model_class).changed_at()
    kept = set(model_class.objects.filter(pruned_at=None).values_list("name", flat=True))
    return {name: changed_at for name, changed_at in found.items() if name not in kept}


def _is_whole_backup(model_class: type[Stored], name: str) -> bool:
    """On a new machine all backups are without a row at first: what was signed is a person's to remove."""
    if model_class is not Backup or name.startswith(TEMPORARY):
        return False
    if Backup.objects.filter(name=name).exists():
        return False  # of a pruned one, what stayed is swept
    return MANIFEST in _shelf(Backup).files(name)
