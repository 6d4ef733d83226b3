"""Local disk: a directory written beside its target, made durable and renamed."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path

from django.conf import settings

from training.errors import StorageError
from training.ml.failpoints import failpoint
from training.ml.manifest import (
    MANIFEST,
    Manifest,
    fsync_directory,
    read_manifest,
    verify_directory,
    write_durably,
)
from training.shelves.base import DAMAGED, TEMPORARY, StoredFile, no_name, require_name


class DirectoryShelf:
    """`require_own` refuses a change when the disk's directory is another installation's."""

    def __init__(self, root: Path, kind: str, *, require_own: Callable[[], object] = lambda: None) -> None:
        self.root = root.resolve()
        self.kind = kind
        self._require_own = require_own

    def directory(self, name: str) -> Path:
        """Names, never paths; and what the name leads to must be where it says."""
        require_name(self.kind, name)
        directory = self.root / name
        with _readable(name):
            if directory.is_symlink() or directory.resolve() != directory:
                raise no_name(self.kind, name)
        return directory

    def workplace(self) -> Path:
        self._require_own()
        if not self.root.is_dir():
            self.root.mkdir(parents=True, exist_ok=True)
            fsync_directory(self.root.parent)
        return self.root

    def reserve(self, name: str) -> bool:
        """An empty directory holds the place: whoever makes it has the name, and `put` renames over it."""
        directory = self.directory(name)
        self.workplace()
        try:
            directory.mkdir()
        except FileExistsError:
            return False
        return True

    def release(self, name: str) -> None:
        with suppress(OSError):  # not empty: something was put there
            self.directory(name).rmdir()

    def put(self, directory: Path, name: str) -> None:
        self._require_own()
        directory.rename(self.directory(name))
        failpoint(f"{self.kind}.renamed")
        fsync_directory(self.root)

    def verified(self, name: str, *, copy_will_do: bool = False) -> Manifest:
        return verify_directory(self.directory(name), keys=settings.ARTIFACT_SIGNING_KEYS, kind=self.kind)

    def manifest(self, name: str) -> Manifest:
        return read_manifest(self.directory(name), keys=settings.ARTIFACT_SIGNING_KEYS, kind=self.kind)

    def write_manifest(self, name: str, content: bytes) -> None:
        self._require_own()
        directory = self.directory(name)
        with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=self.root) as aside:
            fresh = Path(aside) / MANIFEST
            write_durably(fresh, content)
            fresh.replace(directory / MANIFEST)
        fsync_directory(directory)

    def files(self, name: str) -> dict[str, StoredFile]:
        directory = self.directory(name)
        with _readable(name):
            try:
                with os.scandir(directory) as entries:
                    facts = {entry.name: entry.stat(follow_symlinks=False) for entry in entries}
            except FileNotFoundError:
                return {}
            except NotADirectoryError:  # of this name alone something else stands there
                if not self.root.is_dir():
                    raise
                return {}
        return {file: StoredFile(size=each.st_size, modified=each.st_mtime) for file, each in facts.items()}

    def set_aside(self, name: str, aside: str) -> bool:
        self._require_own()
        try:
            self.directory(name).rename(self.root / aside)
        except FileNotFoundError:
            return False
        fsync_directory(self.root)
        return True

    def remove(self, name: str) -> None:
        self._require_own()
        shutil.rmtree(self.root / name, ignore_errors=True)

    def changed_at(self) -> dict[str, float]:
        if not self.root.is_dir():
            return {}
        found = [path for path in self.root.iterdir() if not path.name.startswith(DAMAGED) and path.is_dir()]
        return {path.name: _changed_at(path) for path in found}

    def tidy(self, grace: float) -> None:
        """All that is here is known by its name."""

    def clock(self) -> float:
        return _clock_of(self.root)


class DirectoryDrawer:
    """The place itself is what all nodes share; `require_own` as for a shelf."""

    def __init__(self, root: Path, *, require_own: Callable[[], object] = lambda: None) -> None:
        self.root = root
        self._require_own = require_own

    def keep(self, name: str) -> None:
        """Refuse another installation's disk; the files are where they belong."""
        self._require_own()

    def bring(self, name: str, file: str) -> Path:
        path = self.root / name / file
        if not path.is_file():
            raise FileNotFoundError(path)
        return path

    def note(self, name: str, file: str, text: str) -> None:
        self._require_own()
        (self.root / name / file).write_text(text)

    def noted(self, name: str, file: str) -> str:
        with suppress(OSError):
            return (self.root / name / file).read_text()
        return ""

    def remove(self, name: str, files: Iterable[str] | None = None) -> None:
        self._require_own()
        for place in [self.root / name] if files is None else [(self.root / name / f).parent for f in files]:
            shutil.rmtree(place, ignore_errors=True)

    def names(self) -> set[str]:
        return {place.name for place in self.root.glob("*") if not place.name.startswith(TEMPORARY)}

    def sweep(self, grace: float) -> list[str]:
        self._require_own()
        if not self.root.is_dir():
            return []
        gone, older_than = [], _clock_of(self.root) - grace
        for place in self.root.glob("*"):
            with suppress(FileNotFoundError):  # another process was quicker
                if place.stat().st_mtime < older_than:
                    shutil.rmtree(place, ignore_errors=True)
                    gone.append(place.name)
        return gone


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """A disk that refuses tells as little as an object storage that does not answer: StorageError too."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"{name} cannot be read now: {error.strerror}.") from error


def _changed_at(path: Path) -> float:
    """Seconds since the epoch; never long ago for a link, or for what was renamed a moment ago."""
    try:
        return inf if path.is_symlink() else path.stat().st_mtime
    except FileNotFoundError:
        return inf


def _clock_of(directory: Path) -> float:
    """Return the moment by the clock of the file system, which a network share has from its server."""
    with tempfile.NamedTemporaryFile(prefix=TEMPORARY, dir=directory) as probe:
        return os.fstat(probe.fileno()).st_mtime
