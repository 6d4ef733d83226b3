"""Small real disks: a tmpfs mounted where an installation has its files, so that no error is invented.

When one is full or read-only the kernel refuses. Mounting needs root.
"""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SIZE = "512m"  # at most: tmpfs takes what is used
MEDIA, DATABASE = "media", "database"  # directories of an installation that get one


@dataclass(frozen=True)
class Disk:
    """A mounted tmpfs."""

    path: Path

    def fill(self) -> None:
        """Leave it no room at all."""
        figures = os.statvfs(self.path)
        used = (figures.f_blocks - figures.f_bfree) * figures.f_frsize
        _mount("-o", f"remount,size={used}", str(self.path))

    def empty(self) -> None:
        _mount("-o", f"remount,size={SIZE}", str(self.path))

    def make_read_only(self) -> None:
        """As soon as no file is open for writing."""
        _persist(lambda: _mount("-o", "remount,ro", str(self.path)))

    def make_writable(self) -> None:
        _mount("-o", "remount,rw", str(self.path))


@contextmanager
def mounted(*paths: Path) -> Iterator[None]:
    """A disk of its own at each of them for the block, if this process may mount."""
    done: list[Path] = []
    try:
        for path in paths:
            path.mkdir(exist_ok=True)
        for path in paths:
            try:
                _mount("-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(path))
            except (OSError, subprocess.CalledProcessError):
                break
            done.append(path)
        yield
    finally:
        for path in done:
            subprocess.run(["/bin/umount", "--lazy", str(path)], check=True)


def _persist(act: Callable[[], object], seconds: float = 10) -> None:
    """Again until it succeeds: a file may be open at the moment."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            act()
        except subprocess.CalledProcessError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _mount(*arguments: str) -> None:
    subprocess.run(["/bin/mount", *arguments], check=True, capture_output=True)
