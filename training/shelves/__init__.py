"""Where signed directories and the files of imports stand: on local disk, or in object storage.

`STORAGES["artifacts"]` decides, that is ARTIFACT_STORAGE; whoever asks for a shelf or a drawer does not.
"""

from pathlib import Path

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages

from training.shelves.base import Drawer, Shelf, StoredFile
from training.shelves.directories import DirectoryDrawer, DirectoryShelf

__all__ = ["Drawer", "Shelf", "StoredFile", "drawer_of", "is_local", "local_shelf_of", "shelf_of"]


def shelf_of(kind: str) -> Shelf:
    """Where the signed directories of that kind stand."""
    if is_local():
        return local_shelf_of(kind)
    from training.shelves.objects import ObjectShelf  # noqa: PLC0415  # boto3 loads for who uses it

    return ObjectShelf(storages["artifacts"], kind)


def local_shelf_of(kind: str) -> DirectoryShelf:
    """The shelf on this machine's disk, whatever is configured."""
    return DirectoryShelf(Path(settings.MEDIA_ROOT) / kind, kind)


def drawer_of(kind: str) -> Drawer:
    """Where files that nobody signed wait, reachable from every node."""
    root = Path(settings.MEDIA_ROOT) / kind
    if is_local():
        return DirectoryDrawer(root)
    from training.shelves.objects import ObjectDrawer  # noqa: PLC0415  # as above

    return ObjectDrawer(storages["artifacts"], kind, root)


def is_local() -> bool:
    """Everything stands under MEDIA_ROOT."""
    return isinstance(storages["artifacts"], FileSystemStorage)
