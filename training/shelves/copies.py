"""What this machine has of the object storage: bounded, used again, and trusted only once it verifies.

A copy stands in `MEDIA_ROOT/cache/<kind>/<storage>-<key>/<name>`. The first is a digest of the storage's
address: two installations on one machine leave each other's alone. The key is a digest of the name and of
what the storage lists there (files, sizes, ETags), so a copy of what has changed since is not found.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from training.shelves.base import TEMPORARY

COPIES = "cache"  # below MEDIA_ROOT
IN_USE = 600.0  # seconds since the last use that a copy is safe: somebody may still read from it


class Copies:
    def __init__(self, kind: str, *, storage: str) -> None:
        self.root = Path(settings.MEDIA_ROOT).resolve() / COPIES / kind
        self._storage = storage

    def workplace(self) -> Path:
        self.root.mkdir(parents=True, exist_ok=True)
        return self.root

    def key(self, listing: str) -> str:
        """Return the copy's name, given a digest of what the storage lists."""
        return f"{self._storage}-{listing}"

    def find(self, key: str, name: str) -> Path | None:
        """The copy, which counts as used now."""
        path = self.root / key / name
        try:
            os.utime(path.parent)
        except FileNotFoundError:
            return None
        return path

    def newest_first(self, name: str) -> list[Path]:
        found = self.root.glob(f"{self._storage}-*/{name}")
        return sorted(found, key=lambda path: _used_at(path.parent), reverse=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process of the machine fills the copies at a time; the others find what it brought."""
        with (self.workplace() / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def filled(self, key: str, name: str) -> Iterator[Path]:
        """A temporary directory that the block fills: the copy when the block ends, gone when it fails."""
        self.make_room()
        temporary = Path(tempfile.mkdtemp(prefix=TEMPORARY, dir=self.workplace()))
        try:
            place = temporary / name
            place.mkdir()
            yield place
            self.drop(key)
            temporary.rename(self.root / key)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def drop(self, key: str) -> None:
        shutil.rmtree(self.root / key, ignore_errors=True)

    def drop_all(self, name: str) -> None:
        for path in self.root.glob(f"{self._storage}-*/{name}"):
            self.drop(path.parent.name)

    def make_room(self) -> None:
        """Remove the copies that were not used for longest, until ARTIFACT_CACHE_LIMIT is kept."""
        used = 0
        entries = [path for path in self.root.glob("[!.]*") if path.is_dir() and self._may_drop(path.name)]
        for entry in sorted(entries, key=_used_at, reverse=True):
            used += _size_of(entry)
            if used > settings.ARTIFACT_CACHE_LIMIT and time.time() - _used_at(entry) > IN_USE:
                self.drop(entry.name)

    def _may_drop(self, key: str) -> bool:
        """One of this storage's, or from before copies said whose they are."""
        storage, dash, _ = key.partition("-")
        return not dash or storage == self._storage

    def sweep(self, grace: float) -> None:
        """Remove what a process that died while it wrote left behind."""
        older_than = time.time() - grace
        for path in self.root.glob(f"{TEMPORARY}*"):
            if _used_at(path) < older_than:
                shutil.rmtree(path, ignore_errors=True)


def _used_at(path: Path) -> float:
    """Seconds since the epoch; long ago for what another process removed a moment ago."""
    with suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0


def _size_of(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        with suppress(FileNotFoundError):  # as above
            total += 0 if path.is_dir() else path.lstat().st_size
    return total
