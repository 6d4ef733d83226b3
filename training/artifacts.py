"""The signed directories of model versions and backups: publish, verify, load, remove, sweep.

A directory is written on this machine, signed, made durable and put on its shelf (local disk or object
storage: `shelves`); the row comes last. So a row without files means damage, and files without a row are what
a crash left behind: `sweep` takes away what was not signed yet. What is signed stays for a person to look at.
"""

import logging
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.core.cache import cache
from django.db import Error
from django.db.models import Q, Sum
from django.utils import timezone

from training import outages
from training.database import database_now
from training.errors import (
    BackupError,
    IncompatibleVersionError,
    NotAllowedNowError,
    StorageError,
    UnservableVersionError,
)
from training.ml.errors import IncompatibleArtifactError, TamperedArtifactError
from training.ml.failpoints import failpoint
from training.ml.held_out import HELD_OUT, read_held_out
from training.ml.manifest import MANIFEST, Manifest, read_manifest, sign_directory, signed_again
from training.models import Backup, ModelVersion
from training.shelves import Shelf, StoredFile, is_local, local_shelf_of, roots, shelf_of
from training.shelves.base import DAMAGED, TEMPORARY
from training.shelves.ownership import mark_if_known, require_own, root_in_use, why_foreign

if TYPE_CHECKING:
    import pandas as pd

    from training.ml.neighbours import NeighbourIndex
    from training.ml.scorer import AnomalyScorer

TWIN = "twin.pkl"
logger = logging.getLogger(__name__)
GRACE = timedelta(hours=1)  # whatever is younger may be somebody's work of this moment

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
    verifies. A storage that cannot be reached says nothing of them: then nobody is told; and a database that
    takes no write just now is told another time. With `copy_will_do`, a sound copy on this machine is enough
    while the storage cannot be reached, and the row of sound files is told nothing new: whoever serves
    predictions waits for no writing.
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
    if stored.verification_error or not copy_will_do:
        _tell(stored, verified_at=timezone.now(), verification_error="")
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
    _tell(stored, verification_error=reason)


def load_scorer(version: ModelVersion, *, copy_will_do: bool = False) -> "AnomalyScorer":
    """The version's model, from bytes that were verified a moment ago; `copy_will_do` as for `verify`.

    Raises UnservableVersionError, and the row keeps the reason; IncompatibleVersionError when this process's
    libraries cannot read it, of which the row, which all nodes share, says nothing.
    """
    from training.ml import bundle  # noqa: PLC0415  # scikit-learn imports for a second: who loads pays

    manifest = verify(version, copy_will_do=copy_will_do)
    with _reasons_kept(version):
        return bundle.read_scorer(manifest)


def load_twin(version: ModelVersion) -> "AnomalyScorer | None":
    """The twin that was measured on the held-out rows; None when nothing could be held out.

    Raises as `load_scorer` does.
    """
    from training.ml import bundle  # noqa: PLC0415  # as in load_scorer

    manifest = verify(version)
    with _reasons_kept(version):
        return bundle.read_twin(manifest) if TWIN in manifest.files else None


def load_neighbours(version: ModelVersion) -> "NeighbourIndex":
    """The records that the version learned from, to be compared with reports.

    Raises as `load_scorer` does.
    """
    from training.ml import bundle  # noqa: PLC0415  # as in load_scorer

    manifest = verify(version)
    with _reasons_kept(version):
        return bundle.read_neighbours(manifest)


def has_held_out(version: ModelVersion) -> bool:
    """Whether the version's files tell which records it was measured on: those of older ones do not.

    False too while nobody can tell: for pages that lead there and have more to show.
    """
    try:
        return knows_held_out(version)
    except (UnservableVersionError, OSError) as error:
        logger.warning("Whether %s tells its held-out records is not known: %s", version.name, error)
        return False


def knows_held_out(version: ModelVersion) -> bool:
    """As `has_held_out`. Raises UnservableVersionError, or StorageError while nobody can tell.

    Pages ask this of many versions, so the object storage is asked once: what is there never changes.
    """
    if version.pruned_at is not None:
        return False
    if is_local():
        files = files_of(version)
        if MANIFEST not in files:
            raise UnservableVersionError(f"The files of {version.name} are missing.")
        return HELD_OUT in files
    name = f"held_out.{version.pk}.{version.digest}"
    found: bool | None = cache.get(name)
    if found is None:
        found = HELD_OUT in files_of(version)
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
            raise TamperedArtifactError(_another(version.name))
        return read_held_out(manifest)


def _manifest_to_read(version: ModelVersion) -> Manifest:
    if is_local():
        return read_manifest(
            directory_of(version), keys=settings.ARTIFACT_SIGNING_KEYS, kind=ModelVersion.DIRECTORY
        )
    return _shelf(ModelVersion).verified(version.name, copy_will_do=True)


def set_aside(stored: Stored) -> str | None:
    """Rename the row's files, whatever they are, so that its name is free; None when there are none."""
    aside = _aside(stored.name)
    with refusals_of(type(stored)):
        return aside if _shelf(type(stored)).set_aside(stored.name, aside) else None


def set_unknown_aside() -> list[str]:
    """Rename what is signed and has no row, as `unknown_versions` lists it; the new names.

    Backups stay where `adopt_backups` finds them. Raises OSError when the disk or the storage refuses.
    """
    moved = {name: _aside(name) for name in unknown_versions()}
    return [aside for name, aside in moved.items() if _shelf(ModelVersion).set_aside(name, aside)]


def remove(stored: Stored) -> None:
    """Take the files away for good; the row stays and tells when.

    Raises NotAllowedNowError for the active version, StorageError when the storage is not ours or silent.
    """
    require_own_storage()
    now = database_now()
    removable = Q(pruned_at=None, is_active=False) if isinstance(stored, ModelVersion) else Q(pruned_at=None)
    rows = type(stored).objects.filter(pk=stored.pk)
    if not rows.filter(removable).update(pruned_at=now) and rows.filter(pruned_at=None).exists():
        raise NotAllowedNowError(f"{stored.name} is the active version.")
    failpoint("remove.noted")
    stored.pruned_at = now
    with refusals_of(type(stored)):
        _shelf(type(stored)).remove(stored.name)  # what stays is swept


def sweep(grace: timedelta = GRACE) -> list[str]:
    """Remove what crashes left: temporary directories, and unsigned files without a row, older than `grace`.

    What is signed and has no row is never removed. Raises OSError when the disk or the storage refuses, and
    StorageError when it is not this installation's.
    """
    require_own_storage()
    return [name for model_class in (ModelVersion, Backup) for name in _sweep(model_class, grace)]


def orphans(model_class: type[Stored], grace: timedelta = GRACE) -> list[str]:
    """Return what `sweep` would remove: names of directories that crashes left, older than `grace`."""
    return sorted(name for name in _without_rows(model_class, grace) if _is_leftover(model_class, name))


def unknown_versions(grace: timedelta = GRACE) -> list[str]:
    """Return the names of signed versions without a row, older than `grace`, such as a crash may leave."""
    return _unknown(ModelVersion, grace)


def unknown_backups(grace: timedelta = timedelta(0)) -> list[str]:
    """Return the names of whole backups without a row, another machine's perhaps: see `adopt_backups`."""
    return _unknown(Backup, grace)


def require_own_storage() -> None:
    """Refuse what would change a storage that is another installation's. Raises ForeignStorageError."""
    require_own(root_in_use())


def mark_known_storages() -> None:
    """Mark what an older release left without a mark and this database knows. OSError when it cannot be."""
    for root in roots():
        mark_if_known(root)


def has_another_mark() -> bool:
    """Return whether the storage carries a mark, and not this installation's."""
    root = root_in_use()
    return root.read_mark() is not None and bool(why_foreign(root))


def foreign_storages() -> dict[str, str]:
    """Return where storages are that are not this installation's, and whose they are, in a sentence."""
    return {root.where: reason for root in roots() if (reason := why_foreign(root))}


def is_there(stored: Stored) -> bool:
    """Whether the row's files exist; whether they are sound, `verify` tells. StorageError: nobody knows."""
    try:
        return MANIFEST in files_of(stored)
    except (UnservableVersionError, BackupError):  # a link, for instance, leads elsewhere
        return False


def has_changed(stored: Stored) -> bool:
    """Return whether the names and sizes of its files are not those that were signed. Contents are not read.

    False where nothing stands, which `is_there` tells. StorageError when nobody knows.
    """
    try:
        found = {name: file.size for name, file in files_of(stored).items()}
        return MANIFEST in found and found != _signed_sizes(type(stored), stored.name, stored.digest)
    except (UnservableVersionError, BackupError):  # the manifest is damaged, or what is there is a link
        return is_there(stored)


@lru_cache(maxsize=8)
def _signed_sizes(model_class: type[Stored], name: str, digest: str) -> dict[str, int]:
    """Return the size of each file by the manifest of that digest, itself too: it is read once.

    Raises UnservableVersionError or BackupError, StorageError.
    """
    with refusals_of(model_class):
        manifest = _shelf(model_class).manifest(name)
    if digest not in manifest.digests:
        raise error_of(model_class)(_another(name))
    sizes = {file: entry.size for file, entry in manifest.files.items()}
    return sizes | {MANIFEST: manifest.size_bytes - sum(sizes.values())}


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
        raise error_of(type(stored))(_another(stored.name))
    return manifest


def _another(name: str) -> str:
    return f"{name} is signed, but it is not what was stored under that name."


def _tell(stored: Stored, **values: Any) -> None:
    """As `_note`, unless the database takes no write just now: what the files are like can be seen again."""
    try:
        _note(stored, **values)
    except Error as error:
        if outages.kind_of(error) is None:
            raise
        logger.warning("%s: what was seen of its files could not be noted: %s", stored.name, error)


def _note(stored: Stored, **values: Any) -> None:
    """Written with update(): others write this row too."""
    type(stored).objects.filter(pk=stored.pk).update(**values)
    for name, value in values.items():
        setattr(stored, name, value)


@contextmanager
def _reasons_kept(version: ModelVersion) -> Iterator[None]:
    """Damage is a fact of the version; what its libraries cannot read, one of this process."""
    try:
        yield
    except IncompatibleArtifactError as error:
        raise IncompatibleVersionError(str(error)) from error
    except TamperedArtifactError as error:
        quarantine(version, str(error))
        raise UnservableVersionError(str(error)) from error


def _sweep(model_class: type[Stored], grace: timedelta) -> list[str]:
    shelf = _shelf(model_class)
    shelf.tidy(grace.total_seconds())
    swept = orphans(model_class, grace)
    for name in swept:
        shelf.remove(name)
    return swept


def _aside(name: str) -> str:
    return f"{DAMAGED}{name}-{time.time_ns()}"


def _without_rows(model_class: type[Stored], grace: timedelta) -> list[str]:
    """Names of directories that no row with files has, unless they changed since, by the storage's clock."""
    # What stands there is listed before the rows are read: what is published in between has its row.
    shelf = _shelf(model_class)
    found = shelf.changed_at()
    kept = set(model_class.objects.filter(pruned_at=None).values_list("name", flat=True))
    left = {name: changed_at for name, changed_at in found.items() if name not in kept}
    if not left or not grace:
        return list(left)
    oldest = shelf.clock() - grace.total_seconds()
    return [name for name, changed_at in left.items() if changed_at < oldest]


def _unknown(model_class: type[Stored], grace: timedelta) -> list[str]:
    return sorted(name for name in _without_rows(model_class, grace) if _is_signed(model_class, name))


def _is_leftover(model_class: type[Stored], name: str) -> bool:
    """Tell what a crash left; of what was pruned, what stayed. What has no name of ours is left alone."""
    if name.startswith(TEMPORARY) or model_class.objects.filter(name=name).exists():
        return True
    try:
        return MANIFEST not in _shelf(model_class).files(name)
    except TamperedArtifactError:
        return False


def _is_signed(model_class: type[Stored], name: str) -> bool:
    """Tell what is a person's to remove: on a new machine nothing has a row."""
    if name.startswith(TEMPORARY) or model_class.objects.filter(name=name).exists():
        return False
    try:
        return MANIFEST in _shelf(model_class).files(name)
    except TamperedArtifactError:
        return False
