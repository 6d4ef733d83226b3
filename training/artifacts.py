"""The signed directories of model versions and backups: publish, verify, load, remove, sweep.

A directory is written beside its target, signed, made durable and renamed; the row comes last. So a row
without files means damage, and files without a row are what a crash left behind: `sweep` takes them away.
"""

import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from django.conf import settings
from django.db.models import Q, Sum
from django.utils import timezone

from training.errors import BackupError, NotAllowedNowError, UnservableVersionError
from training.ml.errors import MLError, TamperedArtifactError
from training.ml.manifest import (
    Manifest,
    fsync_directory,
    sign_again,
    sign_directory,
    verify_directory,
)
from training.models import Backup, ModelVersion

if TYPE_CHECKING:
    from training.ml.neighbours import NeighbourIndex
    from training.ml.scorer import AnomalyScorer

TEMPORARY = ".tmp-"
DAMAGED = ".damaged-"  # set aside for a person to look at: never swept
TWIN = "twin.pkl"

Stored: TypeAlias = ModelVersion | Backup

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def directory_of(stored: Stored) -> Path:
    """Where the row's files stand: always a child of its root.

    Raises UnservableVersionError or BackupError for a name that is none, or leads elsewhere.
    """
    return _directory(type(stored), stored.name)


@contextmanager
def reserved(model_class: type[Stored], names: Iterable[str]) -> Iterator[str]:
    """The first of `names` that neither a directory nor a row has, kept for the block to publish.

    An empty directory holds the place: whoever makes it has the name, and `publish` renames over it.
    """
    name, directory = next(place for name in names if (place := _reserve(model_class, name)))
    try:
        yield name
    finally:
        with suppress(OSError):  # not empty: it was published
            directory.rmdir()


@contextmanager
def publish(model_class: type[Stored], name: str, *, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A temporary directory that the block fills, signed and renamed to `name` when the block ends.

    `facts` is read at the end, so the block may fill that too. Whatever fails, an error of the block or
    of the disk, leaves nothing; OSError when the name is taken. The row is the caller's: see `read_back`.
    """
    target = _directory(model_class, name)
    root = _made_root(target)
    temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=root))
    try:
        yield temporary
        sign_directory(
            temporary, key=settings.ARTIFACT_SIGNING_KEYS[0], kind=model_class.DIRECTORY, facts=facts
        )
        temporary.rename(target)
        fsync_directory(root)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def read_back(model_class: type[Stored], name: str) -> Manifest:
    """The verified manifest of what was published under that name: digest and size for its row.

    Raises UnservableVersionError or BackupError.
    """
    directory = _directory(model_class, name)
    try:
        return verify_directory(directory, keys=settings.ARTIFACT_SIGNING_KEYS, kind=model_class.DIRECTORY)
    except TamperedArtifactError as error:
        raise _error_of(model_class)(str(error)) from error


def verify(stored: Stored) -> Manifest:
    """The manifest of files that are exactly those of the row; the row is told either way.

    What does not verify is quarantined by its `verification_error`: kept, not loaded, free again once it
    verifies. Raises UnservableVersionError or BackupError. Not to be called inside a transaction that
    the error would roll back.
    """
    if stored.pruned_at is not None:
        raise _error_of(type(stored))(
            f"The files of {stored.name} were removed on {stored.pruned_at:%Y-%m-%d}."
        )
    try:
        manifest = _expected(stored)
    except (UnservableVersionError, BackupError) as error:
        quarantine(stored, str(error))
        raise
    _note(stored, verified_at=timezone.now(), verification_error="")
    return manifest


def resign(stored: Stored) -> bool:
    """Sign what the row stands for with the newest key; False when it is already. Verified first.

    The files come first, then the row. In between, and after a crash there, the row still knows the
    directory as long as the older key is among settings.ARTIFACT_SIGNING_KEYS: doing it again ends it.
    Raises UnservableVersionError or BackupError, and OSError when the disk refuses.
    """
    manifest, is_new = verify(stored), False
    if manifest.digest != manifest.digests[0]:
        _sign_again(stored, manifest.path)
        manifest, is_new = read_back(type(stored), stored.name), True
    if stored.digest != manifest.digest:
        _note(stored, digest=manifest.digest)
        is_new = True
    return is_new


def quarantine(stored: Stored, reason: str) -> None:
    """Nobody loads it until it verifies; the files are kept."""
    _note(stored, verification_error=reason)


def load_scorer(version: ModelVersion) -> "AnomalyScorer":
    """The version's model, from bytes that were verified a moment ago.

    Raises UnservableVersionError, and the row keeps the reason.
    """
    from training.ml import bundle  # noqa: PLC0415  # scikit-learn imports for a second: who loads pays

    manifest = verify(version)
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


def set_aside(stored: Stored) -> Path | None:
    """Rename the row's directory, whatever it holds, so that its name is free; None when there is none."""
    directory = directory_of(stored)
    aside = directory.with_name(f"{DAMAGED}{stored.name}-{time.time_ns()}")
    try:
        directory.rename(aside)
    except FileNotFoundError:
        return None
    fsync_directory(directory.parent)
    return aside


def remove(stored: Stored) -> None:
    """Take the files away for good; the row stays and tells when.

    Raises NotAllowedNowError for the active version.
    """
    directory, now = directory_of(stored), timezone.now()
    removable = Q(pruned_at=None, is_active=False) if isinstance(stored, ModelVersion) else Q(pruned_at=None)
    rows = type(stored).objects.filter(pk=stored.pk)
    if not rows.filter(removable).update(pruned_at=now) and rows.filter(pruned_at=None).exists():
        raise NotAllowedNowError(f"{stored.name} is the active version.")
    stored.pruned_at = now
    shutil.rmtree(directory, ignore_errors=True)  # what stays is swept


def sweep(grace: timedelta = timedelta(hours=1)) -> list[str]:
    """Remove what crashes left: temporary directories, and those without a row, older than `grace`."""
    return [name for model_class in (ModelVersion, Backup) for name in _sweep(model_class, grace)]


def storage_used() -> dict[str, int]:
    """Bytes on disk by kind of directory, as the rows know it."""
    return {
        model_class.DIRECTORY: model_class.objects.filter(pruned_at=None).aggregate(
            total=Sum("size_bytes", default=0)
        )["total"]
        for model_class in (ModelVersion, Backup)
    }


def _directory(model_class: type[Stored], name: str) -> Path:
    """Names, never paths; and what the name leads to must be where it says."""
    root = (Path(settings.MEDIA_ROOT) / model_class.DIRECTORY).resolve()
    directory = root / name
    if not _NAME.fullmatch(name) or directory.is_symlink() or directory.resolve() != directory:
        raise _error_of(model_class)(f"{name[:100]!r} is not a name of {model_class.DIRECTORY}.")
    return directory


def _made_root(directory: Path) -> Path:
    root = directory.parent
    if not root.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        fsync_directory(root.parent)
    return root


def _reserve(model_class: type[Stored], name: str) -> tuple[str, Path] | None:
    directory = _directory(model_class, name)
    _made_root(directory)
    try:
        directory.mkdir()
    except FileExistsError:
        return None
    if model_class.objects.filter(name=name).exists():
        directory.rmdir()
        return None
    return name, directory


def _sign_again(stored: Stored, directory: Path) -> None:
    keys = settings.ARTIFACT_SIGNING_KEYS
    aside = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=directory.parent))
    try:
        sign_again(directory, keys=keys, key=keys[0], aside=aside)
    except TamperedArtifactError as error:  # since it was verified a moment ago
        raise _error_of(type(stored))(str(error)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _error_of(model_class: type[Stored]) -> type[UnservableVersionError | BackupError]:
    return UnservableVersionError if issubclass(model_class, ModelVersion) else BackupError


def _expected(stored: Stored) -> Manifest:
    manifest = read_back(type(stored), stored.name)
    if stored.digest not in manifest.digests:
        raise _error_of(type(stored))(
            f"{stored.name} is signed, but it is not what was stored under that name."
        )
    return manifest


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


def _sweep(model_class: type[Stored], grace: timedelta) -> list[str]:
    root = (Path(settings.MEDIA_ROOT) / model_class.DIRECTORY).resolve()
    if not root.is_dir():
        return []
    oldest = time.time() - grace.total_seconds()
    # The directory is listed before the rows are read: what is published in between has its row.
    found = [path for path in root.iterdir() if not path.name.startswith(DAMAGED) and path.is_dir()]
    kept = set(model_class.objects.filter(pruned_at=None).values_list("name", flat=True))
    swept = [path for path in found if path.name not in kept and _changed_at(path) < oldest]
    for path in swept:
        shutil.rmtree(path, ignore_errors=True)
    return [path.name for path in swept]


def _changed_at(path: Path) -> float:
    """Seconds since the epoch; never long ago for a link, or for what was renamed a moment ago."""
    try:
        return inf if path.is_symlink() else path.stat().st_mtime
    except FileNotFoundError:
        return inf
