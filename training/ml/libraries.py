"""Which libraries this process has, and whether they are those that a model was written with."""

import platform
import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version

# Of a model's files: to be raised whenever the classes that are pickled, or the blocks of features, change.
FORMAT = 5
PACKAGES = ("scikit-learn", "numpy", "scipy")
NAMES = ("python", *PACKAGES, "format")

_ENTRY = re.compile(r"([a-z-]+)=([0-9A-Za-z.+]+)")
_pretended: dict[str, str | int] = {}


def installed() -> dict[str, str | int]:
    """The version of each of NAMES, without importing any of them."""
    return _found() | _pretended


def differences(wanted: Mapping[str, object], own: Mapping[str, object] | None = None) -> str:
    """What `own` (this process's, unless given) has and `wanted` has not; empty when nothing differs.

    In words, such as "scikit-learn 1.8.0, not 1.9.1". Releases of one minor version of Python count as one;
    what either of them does not state counts as equal.
    """
    own = installed() if own is None else own
    shared = [name for name in NAMES if name in wanted and name in own]
    differ = [name for name in shared if _counts(name, own[name]) != _counts(name, wanted[name])]
    return "; ".join(f"{name} {own[name]}, not {wanted[name]}" for name in differ)


def pretend(entries: str) -> None:
    """Have `installed` say others, such as "scikit-learn=1.8.0,numpy=2.0.0": for tests and the fault suite.

    Raises ValueError for what is no such list.
    """
    pretended: dict[str, str | int] = {}
    for entry in filter(None, (part.strip() for part in entries.split(","))):
        found = _ENTRY.fullmatch(entry)
        if not found or found[1] not in NAMES:
            raise ValueError(f"{entry!r} names no library of {', '.join(NAMES)}")
        pretended[found[1]] = int(found[2]) if found[1] == "format" else found[2]
    _pretended.clear()
    _pretended.update(pretended)


@cache
def _found() -> dict[str, str | int]:
    packages: dict[str, str | int] = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | packages | {"format": FORMAT}


def _counts(name: str, release: object) -> object:
    return str(release).rsplit(".", 1)[0] if name == "python" else release
