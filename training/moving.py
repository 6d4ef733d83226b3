"""From local disk into object storage: what stands under MEDIA_ROOT is copied, verified on both sides."""

from collections.abc import Iterator
from enum import Enum

from training import artifacts
from training.artifacts import Stored
from training.errors import BackupError, UnservableVersionError
from training.models import Backup, ModelVersion
from training.shelves import local_shelf_of, shelf_of


class Moved(Enum):
    """What became of one version or backup."""

    COPIED = "copied"
    THERE = "was there already"
    ELSEWHERE = "is not on this machine"


def to_move() -> Iterator[Stored]:
    """Every version and backup that has files, oldest first."""
    for model_class in (ModelVersion, Backup):
        yield from model_class.objects.filter(pruned_at=None).order_by("pk")


def move(stored: Stored) -> Moved:
    """Copy the row's files into the storage unless they are there; what is here stays.

    What a copy that was interrupted left there is set aside first. Raises UnservableVersionError or
    BackupError when the files do not verify on either side, OSError when the disk or the storage fails.
    """
    here, there = local_shelf_of(stored.DIRECTORY), shelf_of(stored.DIRECTORY)
    if _is_sound(stored):
        return Moved.THERE
    if not here.files(stored.name):
        return Moved.ELSEWHERE
    with artifacts.refusals_of(type(stored)):
        manifest = here.verified(stored.name)
    if stored.digest not in manifest.digests:
        raise artifacts.error_of(type(stored))(f"{stored.name} is not what was stored under that name.")
    artifacts.set_aside(stored)
    there.put(manifest.path, stored.name)
    artifacts.verify(stored)
    return Moved.COPIED


def _is_sound(stored: Stored) -> bool:
    """It stands in the storage; the row is not told of what does not."""
    try:
        return stored.digest in artifacts.read_back(type(stored), stored.name).digests
    except (UnservableVersionError, BackupError):
        return False
