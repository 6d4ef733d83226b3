"""Whose a storage is: it carries the mark of one installation, and no other one changes anything there.

The mark names the installation, which goes along with every copy of the database, and the database itself,
which a copy does not share. A storage without a mark gets one when it is empty, or when this database knows
what stands there: that is how an installation of before the marks goes on. Anything else takes a person who
says so (`adopt_storage`).
"""

import hashlib
import json
import os
import socket
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages
from django.utils import timezone

from training.database import database_identity
from training.errors import ForeignStorageError
from training.ml.errors import TamperedArtifactError
from training.ml.manifest import MANIFEST, fsync_directory, write_durably
from training.models import Backup, FileImport, Installation, ModelVersion
from training.shelves.base import TEMPORARY, Drawer, Shelf
from training.shelves.directories import DirectoryDrawer, DirectoryShelf

MARK = "installation.json"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """Whose the storage is. `database` is empty where nothing tells a database from its copy."""

    installation: str
    database: str = ""
    marked_by: str = ""  # the machine
    marked_at: str = ""

    @classmethod
    def of_this_installation(cls) -> "Mark":
        return cls(
            installation=str(Installation.objects.current()),
            database=database_identity(),
            marked_by=socket.gethostname(),
            marked_at=timezone.now().isoformat(timespec="seconds"),
        )

    @classmethod
    def read(cls, content: bytes) -> "Mark":
        """Raises ValueError for what is no mark."""
        found = json.loads(content)
        if not isinstance(found, dict) or not isinstance(found.get("installation"), str):
            raise ValueError("no mark")  # noqa: TRY004  # as for what is no JSON
        return cls(**{name: str(found.get(name, "")) for name in cls.__dataclass_fields__})

    def content(self) -> bytes:
        return json.dumps(asdict(self), indent=1).encode() + b"\n"


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Paths of what stands in a storage, by what this database and our keys say of it."""

    known: list[str] = field(default_factory=list)  # a row of ours names it, and it is what the row says
    unclear: list[str] = field(default_factory=list)  # left by a crash, damaged, or signed and without a row
    strange: list[str] = field(default_factory=list)  # no row names it, and none of our keys signed it

    @property
    def is_empty(self) -> bool:
        return not (self.known or self.unclear or self.strange)

    @property
    def is_ours(self) -> bool:
        return self.is_empty or bool(self.known and not self.strange)


class StorageRoot(Protocol):
    """A storage as a whole. OSError (StorageError) when the disk (the storage) fails."""

    @property
    def where(self) -> str: ...

    def read_mark(self) -> bytes | None: ...

    def create_mark(self, content: bytes) -> None:
        """Write the mark in one step, unless there is one by now."""
        ...

    def replace_mark(self, content: bytes) -> None:
        """Write the mark in one step, whatever is there."""
        ...

    def shelf(self, kind: str) -> Shelf:
        """Return what stands there, to be read."""
        ...

    def drawer(self, kind: str) -> Drawer: ...


@dataclass(frozen=True)
class DirectoryRoot:
    """MEDIA_ROOT."""

    path: Path

    @property
    def where(self) -> str:
        return str(self.path)

    def read_mark(self) -> bytes | None:
        try:
            return (self.path / MARK).read_bytes()
        except FileNotFoundError:
            return None

    def create_mark(self, content: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.path) as temporary:
            fresh = Path(temporary) / MARK
            write_durably(fresh, content)
            with suppress(FileExistsError):  # another process was faster
                os.link(fresh, self.path / MARK)
        fsync_directory(self.path)

    def replace_mark(self, content: bytes) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.path) as temporary:
            fresh = Path(temporary) / MARK
            write_durably(fresh, content)
            fresh.replace(self.path / MARK)
        fsync_directory(self.path)

    def shelf(self, kind: str) -> Shelf:
        return DirectoryShelf(self.path / kind, kind)

    def drawer(self, kind: str) -> Drawer:
        return DirectoryDrawer(self.path / kind)


class BucketRoot:
    """What stands below the prefix of a bucket."""

    def __init__(self, storage: Any) -> None:
        from training.shelves.bucket import Bucket  # noqa: PLC0415  # boto3 loads for who uses it

        self._storage = storage
        self._bucket = Bucket(storage, "")

    @property
    def where(self) -> str:
        return f"s3://{self._storage.bucket_name}/{self._bucket.prefix}".rstrip("/")

    def read_mark(self) -> bytes | None:
        try:
            return self._bucket.read(MARK)
        except FileNotFoundError:
            return None

    def create_mark(self, content: bytes) -> None:
        with suppress(FileExistsError):  # another process was faster
            self._bucket.create(MARK, content, sha256=hashlib.sha256(content).hexdigest(), owner=uuid4().hex)

    def replace_mark(self, content: bytes) -> None:
        self._bucket.write(MARK, content)

    def shelf(self, kind: str) -> Shelf:
        from training.shelves.objects import ObjectShelf  # noqa: PLC0415  # as above

        return ObjectShelf(self._storage, kind)

    def drawer(self, kind: str) -> Drawer:
        from training.shelves.objects import ObjectDrawer  # noqa: PLC0415  # as above

        return ObjectDrawer(self._storage, kind, places=DirectoryDrawer(Path(settings.MEDIA_ROOT) / kind))


def is_local() -> bool:
    """Everything stands under MEDIA_ROOT."""
    return isinstance(storages["artifacts"], FileSystemStorage)


def root_in_use() -> StorageRoot:
    """Return where the artifacts are, as `STORAGES["artifacts"]` says."""
    return DirectoryRoot(Path(settings.MEDIA_ROOT)) if is_local() else BucketRoot(storages["artifacts"])


def require_own(root: StorageRoot) -> None:
    """Refuse to change a storage that is not this installation's; mark one that is and has no mark yet.

    Raises ForeignStorageError, which says whose it is; StorageError or OSError when nobody can tell now.
    """
    if reason := why_foreign(root, marking=True):
        raise ForeignStorageError(
            f"The storage is not this installation's. {reason} Nothing was changed there."
            " If it is to be: python manage.py adopt_storage."
        )


def mark_if_known(root: StorageRoot) -> None:
    """Mark a storage that has no mark and holds what this database knows, as an older release left it."""
    if root.read_mark() is None and (contents := contents_of(root)).known and contents.is_ours:
        root.create_mark(Mark.of_this_installation().content())


def why_foreign(root: StorageRoot, *, marking: bool = False) -> str:
    """Return whose the storage is, in a sentence; empty when it is this installation's.

    With `marking`, one that is and has no mark gets it.
    """
    content = root.read_mark()
    if content is None:
        contents = contents_of(root)
        if not contents.is_ours:
            return _unknown(root, contents)
        if not marking:
            return ""
        root.create_mark(Mark.of_this_installation().content())
        content = root.read_mark() or b""
    try:
        mark = Mark.read(content)
    except ValueError:
        return f"The mark {MARK} in {root.where} cannot be read."
    return _differs(root, mark)


def mark_of(root: StorageRoot) -> Mark | None:
    """Return the storage's mark; None without one, or when it makes no sense."""
    content = root.read_mark()
    with suppress(ValueError):
        return None if content is None else Mark.read(content)
    return None


def adopt(root: StorageRoot) -> None:
    """Make the storage this installation's, whoever's it was."""
    root.replace_mark(Mark.of_this_installation().content())


def contents_of(root: StorageRoot) -> Contents:
    """Return what stands there. The manifests are read and their signatures checked; the files are not."""
    contents = Contents()
    for model_class in (ModelVersion, Backup):
        shelf, kind = root.shelf(model_class.DIRECTORY), model_class.DIRECTORY
        digests = dict(model_class.objects.values_list("name", "digest"))
        for name in shelf.changed_at():
            if not name.startswith(TEMPORARY):
                _judged(contents, shelf, name, digests.get(name)).append(f"{kind}/{name}")
    known = set(FileImport.objects.values_list("directory", flat=True))
    for name in root.drawer(FileImport.DIRECTORY).names():
        (contents.known if name in known else contents.unclear).append(f"{FileImport.DIRECTORY}/{name}")
    return contents


def _judged(contents: Contents, shelf: Shelf, name: str, digest: str | None) -> list[str]:
    try:
        digests = shelf.manifest(name).digests
    except TamperedArtifactError:
        if not _has_manifest(shelf, name):
            return []  # unsigned: a crash left it
        return contents.strange if digest is None else contents.unclear
    return contents.known if digest in digests else contents.unclear


def _has_manifest(shelf: Shelf, name: str) -> bool:
    with suppress(TamperedArtifactError):
        return MANIFEST in shelf.files(name)
    return False


def _differs(root: StorageRoot, mark: Mark) -> str:
    ours = Mark.of_this_installation()
    since = f" (marked {mark.marked_at[:16].replace('T', ' ')} UTC by {mark.marked_by})"
    if mark.installation != ours.installation:
        return (
            f"{root.where} belongs to installation {mark.installation}{since};"
            f" this is installation {ours.installation}."
        )
    if mark.database and ours.database and mark.database != ours.database:
        return (
            f"{root.where} belongs to another database of installation {mark.installation}{since}:"
            " this one is a copy of it, or was moved."
        )
    return ""


def _unknown(root: StorageRoot, contents: Contents) -> str:
    found = sorted([*contents.strange, *contents.unclear])
    return (
        f"{root.where} has no mark, and this database does not know what stands there:"
        f" {len(found)}, such as {found[0]}."
    )
