"""What a shelf and a drawer can do, wherever they are."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from training.ml.errors import TamperedArtifactError
from training.ml.manifest import Manifest

TEMPORARY = ".tmp-"
DAMAGED = ".damaged-"  # set aside for a person to look at: never swept

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """`modified`: seconds since the epoch."""

    size: int
    modified: float


class Shelf(Protocol):
    """Signed directories of one kind, immutable once they are there.

    Every method that takes a name raises TamperedArtifactError for one that is none or leads elsewhere,
    and OSError (StorageError) when the disk (the storage) fails. Those that change what stands there raise
    ForeignStorageError unless the storage carries this installation's mark (`ownership`); reading does not.
    """

    def workplace(self) -> Path:
        """An existing directory of this machine, in which what is to be put is written."""
        ...

    def reserve(self, name: str) -> bool:
        """Hold the name until `release`; False when something stands there, or somebody else holds it."""
        ...

    def release(self, name: str) -> None:
        """What was put under the name meanwhile stays."""
        ...

    def put(self, directory: Path, name: str) -> None:
        """Store a signed directory for good: all of it or nothing. OSError when the name is taken."""
        ...

    def verified(self, name: str, *, copy_will_do: bool = False) -> Manifest:
        """The manifest of what stands there, read anew; its `path` is a directory of this machine.

        Raises TamperedArtifactError. With `copy_will_do`, a sound copy that this machine keeps is enough
        while the storage cannot be reached.
        """
        ...

    def manifest(self, name: str) -> Manifest:
        """Return the manifest alone, signed by one of our keys. Raises TamperedArtifactError."""
        ...

    def write_manifest(self, name: str, content: bytes) -> None:
        """Put it in the place of the present one, in one step: whoever reads sees the one or the other."""
        ...

    def files(self, name: str) -> dict[str, StoredFile]:
        """What stands there, unverified; empty when nothing does."""
        ...

    def set_aside(self, name: str, aside: str) -> bool:
        """Rename what stands there, whatever it is; False when nothing does."""
        ...

    def remove(self, name: str) -> None:
        """What an error keeps from being removed stays, to be swept."""
        ...

    def changed_at(self) -> dict[str, float]:
        """Every name that is not set aside, leftovers too, and when it changed: seconds since the epoch."""
        ...

    def tidy(self, grace: float) -> None:
        """Remove what only this machine knows of and nobody has needed for `grace` seconds."""
        ...

    def clock(self) -> float:
        """Return the moment by the clock that `changed_at` goes by, which need not be this machine's."""
        ...


class Drawer(Protocol):
    """Directories of files for a while: written on one machine, read on any.

    Each has a place below the drawer's root on every machine that touches it. OSError when the disk or
    the storage fails, and ForeignStorageError as with a shelf.
    """

    def keep(self, name: str) -> None:
        """Make what was written into the place reachable from everywhere."""
        ...

    def bring(self, name: str, file: str) -> Path:
        """The file (relative, with slashes) on this machine. Raises FileNotFoundError."""
        ...

    def note(self, name: str, file: str, text: str) -> None:
        """Write a short file that everybody may read at once."""
        ...

    def noted(self, name: str, file: str) -> str:
        """What was noted; empty when nothing was."""
        ...

    def remove(self, name: str, files: Iterable[str] | None = None) -> None:
        """These files with their directories, or all."""
        ...

    def names(self) -> set[str]:
        """Return the names of all directories that are there."""
        ...

    def sweep(self, grace: float) -> list[str]:
        """Remove what did not change for `grace` seconds, by the storage's clock; the names."""
        ...


def require_name(kind: str, name: str) -> None:
    """Names, never paths. Raises TamperedArtifactError."""
    if not _NAME.fullmatch(name):
        raise no_name(kind, name)


def no_name(kind: str, name: str) -> TamperedArtifactError:
    return TamperedArtifactError(f"{name[:100]!r} is not a name of {kind}.")
