"""Object storage: each file an object, the manifest last; read through the copies that this machine keeps."""

import hashlib
import json
import logging
import tempfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.conf import settings

from training.errors import StorageError
from training.ml.errors import TamperedArtifactError
from training.ml.manifest import MANIFEST, MAX_MANIFEST, Manifest, read_manifest, verify_directory
from training.shelves.base import DAMAGED, TEMPORARY, StoredFile, require_name
from training.shelves.bucket import Bucket, Entry
from training.shelves.copies import Copies
from training.shelves.directories import DirectoryDrawer

logger = logging.getLogger(__name__)

MOST_FILES = 100  # objects of one directory: ours have about ten
NOTHING = hashlib.sha256().hexdigest()


class ObjectShelf:
    """Keys are `<prefix>/<kind>/<name>/<file>`; the empty file name holds a reserved place.

    `require_own` refuses a change when what stands below the prefix is another installation's.
    """

    def __init__(self, storage: Any, kind: str, *, require_own: Callable[[], object] = lambda: None) -> None:
        self.kind = kind
        self._bucket = Bucket(storage, kind)
        self._copies = Copies(kind, storage=_digest_of_address(storage))
        self._require_own = require_own

    def workplace(self) -> Path:
        self._require_own()
        return self._copies.workplace()

    def reserve(self, name: str) -> bool:
        require_name(self.kind, name)
        self._require_own()
        if self._bucket.entries(f"{name}/", most=1):
            return False
        try:
            self._bucket.create(f"{name}/", b"", sha256=NOTHING, owner=uuid4().hex)
        except FileExistsError:
            return False
        return True

    def release(self, name: str) -> None:
        try:
            self._bucket.delete([f"{name}/"])
        except StorageError as error:
            logger.warning("%s is released by the sweep: %s", name, error)

    def put(self, directory: Path, name: str) -> None:
        """Every file must be new, so that of two who have the same name one wins, whole."""
        require_name(self.kind, name)
        self._require_own()
        owner, tried = uuid4().hex, []
        try:
            for path in sorted(directory.iterdir(), key=lambda path: path.name == MANIFEST):
                tried.append(f"{name}/{path.name}")
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                    file.seek(0)
                    self._bucket.create(tried[-1], file, sha256=digest, owner=owner)
        except BaseException:
            self._bucket.delete_own(tried, owner=owner)
            raise

    def verified(self, name: str, *, copy_will_do: bool = False) -> Manifest:
        require_name(self.kind, name)
        try:
            entries = self._entries(name)
        except StorageError as error:
            if copy_will_do and (kept := self._kept(name)):
                logger.warning("%s; the copy of %s that is here is used", error, name)
                return kept
            raise
        key = self._copies.key(_digest_of(name, entries))
        if found := self._found(key, name):
            return found
        with self._copies.alone():
            return self._found(key, name) or self._fetched(key, name, entries)

    def manifest(self, name: str) -> Manifest:
        require_name(self.kind, name)
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary) / name
            place.mkdir()
            try:
                self._bucket.download(f"{name}/{MANIFEST}", place / MANIFEST, limit=MAX_MANIFEST + 1)
            except FileNotFoundError as error:
                raise TamperedArtifactError(f"{name} has no manifest.") from error
            return read_manifest(place, keys=settings.ARTIFACT_SIGNING_KEYS, kind=self.kind)

    def write_manifest(self, name: str, content: bytes) -> None:
        require_name(self.kind, name)
        self._require_own()
        self._bucket.write(f"{name}/{MANIFEST}", content)

    def files(self, name: str) -> dict[str, StoredFile]:
        require_name(self.kind, name)
        return {
            file: StoredFile(size=entry.size, modified=entry.modified)
            for file, entry in self._entries(name).items()
        }

    def set_aside(self, name: str, aside: str) -> bool:
        """Copied, then deleted: whoever dies in between leaves both."""
        require_name(self.kind, name)
        self._require_own()
        files = list(self._bucket.entries(f"{name}/"))
        for file in filter(None, files):
            self._bucket.copy(f"{name}/{file}", f"{aside}/{file}")
        self._bucket.delete(f"{name}/{file}" for file in files)
        return bool(files)

    def remove(self, name: str) -> None:
        self._require_own()
        self._copies.drop_all(name)
        try:
            self._bucket.delete(f"{name}/{file}" for file in self._bucket.entries(f"{name}/"))
        except StorageError as error:
            logger.warning("The files of %s are swept later: %s", name, error)

    def changed_at(self) -> dict[str, float]:
        newest: dict[str, float] = {}
        for key, entry in self._bucket.entries().items():
            name, slash, _ = key.partition("/")
            if slash and not name.startswith(DAMAGED):
                newest[name] = max(entry.modified, newest.get(name, 0))
        return newest

    def tidy(self, grace: float) -> None:
        self._copies.sweep(grace)
        self._copies.make_room()

    def clock(self) -> float:
        return self._bucket.clock()

    def _entries(self, name: str) -> dict[str, Entry]:
        """The objects that stand there. TamperedArtifactError for keys that are no names of files."""
        found = self._bucket.entries(f"{name}/", most=MOST_FILES + 2)
        found.pop("", None)
        if len(found) > MOST_FILES:
            raise TamperedArtifactError(f"{name} holds more than {MOST_FILES} files.")
        for file in found:
            require_name(f"a file in {name}", file)
        return found

    def _verify(self, path: Path) -> Manifest:
        return verify_directory(path, keys=settings.ARTIFACT_SIGNING_KEYS, kind=self.kind)

    def _kept(self, name: str) -> Manifest | None:
        """The newest copy that is sound."""
        for path in self._copies.newest_first(name):
            with suppress(TamperedArtifactError):
                return self._verify(path)
        return None

    def _found(self, key: str, name: str) -> Manifest | None:
        """The copy of just that listing, if it is sound; else it is not used."""
        path = self._copies.find(key, name)
        if path is None:
            return None
        try:
            return self._verify(path)
        except TamperedArtifactError as error:
            logger.warning("The copy in %s is not used: %s", path, error)
            return None

    def _fetched(self, key: str, name: str, entries: Mapping[str, Entry]) -> Manifest:
        """A fresh copy. The manifest comes first: of the rest no more is read than it says there is."""
        with self._copies.filled(key, name) as place:
            if MANIFEST in entries:
                self._download(place, MANIFEST, entries, MAX_MANIFEST + 1)
            signed = read_manifest(place, keys=settings.ARTIFACT_SIGNING_KEYS, kind=self.kind).files
            for file in entries.keys() - {MANIFEST}:
                self._download(place, file, entries, signed[file].size + 1 if file in signed else 0)
            manifest = self._verify(place)
        return replace(manifest, path=self._copies.root / key / name)

    def _download(self, place: Path, file: str, entries: Mapping[str, Entry], limit: int) -> None:
        try:
            key = f"{place.name}/{file}"
            self._bucket.download(key, place / file, limit=limit, etag=entries[file].etag)
        except FileNotFoundError as error:
            raise StorageError(f"{place.name} changed while it was read: try again.") from error


class ObjectDrawer:
    """The places are copies; the objects are what all nodes share."""

    def __init__(
        self,
        storage: Any,
        kind: str,
        *,
        places: DirectoryDrawer,
        require_own: Callable[[], object] = lambda: None,
    ) -> None:
        self.root = places.root
        self._bucket = Bucket(storage, kind)
        self._places = places
        self._require_own = require_own

    def keep(self, name: str) -> None:
        self._places.keep(name)
        self._require_own()
        place = self.root / name
        for path in sorted(path for path in place.rglob("*") if path.is_file()):
            with path.open("rb") as file:
                self._bucket.write(f"{name}/{path.relative_to(place).as_posix()}", file)

    def bring(self, name: str, file: str) -> Path:
        """Downloaded once, and then here."""
        path = self.root / name / file
        if not path.is_file():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.root) as temporary:
                fresh = Path(temporary) / "file"
                self._bucket.download(f"{name}/{file}", fresh)
                fresh.rename(path)
        return path

    def note(self, name: str, file: str, text: str) -> None:
        self._require_own()
        self._bucket.write(f"{name}/{file}", text.encode())

    def noted(self, name: str, file: str) -> str:
        try:
            return self._bucket.read(f"{name}/{file}").decode()
        except FileNotFoundError:
            return ""

    def remove(self, name: str, files: Iterable[str] | None = None) -> None:
        self._require_own()
        given = None if files is None else list(files)
        self._places.remove(name, given)
        keys = self._bucket.entries(f"{name}/") if given is None else given
        try:
            self._bucket.delete(f"{name}/{key}" for key in keys)
        except StorageError as error:
            logger.warning("The files of the import are swept later: %s", error)

    def names(self) -> set[str]:
        return {key.partition("/")[0] for key in self._bucket.entries()}

    def sweep(self, grace: float) -> list[str]:
        self._require_own()
        older_than = self._bucket.clock() - grace
        old = [key for key, entry in self._bucket.entries().items() if entry.modified < older_than]
        self._bucket.delete(old)
        return sorted({*self._places.sweep(grace), *(key.partition("/")[0] for key in old)})


def _digest_of(name: str, entries: Mapping[str, Entry]) -> str:
    listing = sorted((file, entry.size, entry.etag) for file, entry in entries.items())
    return hashlib.sha256(json.dumps([name, listing]).encode()).hexdigest()[:32]


def _digest_of_address(storage: Any) -> str:
    address = [storage.endpoint_url or "", storage.bucket_name, storage.location.strip("/")]
    return hashlib.sha256(json.dumps(address).encode()).hexdigest()[:16]
