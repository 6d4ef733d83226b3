"""Where signed directories and the files of imports stand: on local disk, or in object storage.

`STORAGES["artifacts"]` decides, that is ARTIFACT_STORAGE; whoever asks for a shelf or a drawer does not.
"""

from functools import partial
from pathlib import Path

from django.conf import settings
from django.core.files.storage import storages

from training.shelves.base import Drawer, Shelf, StoredFile
from training.shelves.directories import DirectoryDrawer, DirectoryShelf
from training.shelves.ownership import DirectoryRoot, StorageRoot, is_local, require_own, root_in_use

__all__ = [
    "Drawer",
    "Shelf",
    "StorageRoot",
    "StoredFile",
    "drawer_of",
    "is_local",
    "local_shelf_of",
    "roots",
    "shelf_of",
]


def shelf_of(kind: str) -> Shelf:
    """Where the signed directories of that kind stand."""
    if is_local():
        return local_shelf_of(kind)
    from training.shelves.objects import ObjectShelf  # noqa: PLC0415  # boto3 loads for who uses it

    return ObjectShelf(storages["artifacts"], kind, require_own=lambda: require_own(root_in_use()))


def local_shelf_of(kind: str) -> DirectoryShelf:
    """The shelf on this machine's disk, whatever is configured."""
    return DirectoryShelf(Path(settings.MEDIA_ROOT) / kind, kind, require_own=_require_own_disk())


def drawer_of(kind: str) -> Drawer:
    """Where files that nobody signed wait, reachable from every node."""
    places = DirectoryDrawer(Path(settings.MEDIA_ROOT) / kind, require_own=_require_own_disk())
    if is_local():
        return places
    from training.shelves.objects import ObjectDrawer  # noqa: PLC0415  # as above

    return ObjectDrawer(
        storages["artifacts"], kind, places=places, require_own=lambda: require_own(root_in_use())
    )


def roots() -> list[StorageRoot]:
    """Return all that carries a mark: where the artifacts are, and this machine's disk."""
    disk = DirectoryRoot(Path(settings.MEDIA_ROOT))
    return [disk] if is_local() else [root_in_use(), disk]


def _require_own_disk() -> "partial[None]":
    return partial(require_own, DirectoryRoot(Path(settings.MEDIA_ROOT)))
