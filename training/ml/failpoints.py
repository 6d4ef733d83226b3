"""Faults on purpose: named places where a process can be made to die, hang or fail.

Nothing happens at them unless `arm` was called: by the settings, for the fault suite, or by a test.
"""

import ctypes
import errno
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# In the order in which they are passed. What a directory goes through is told for each kind of directory.
POINTS = (
    *("accept.stored", "accept.rung", "accept.committed"),
    *("session.claimed", "session.launched", "session.settling", "session.over"),
    *("training.started", "training.backed_up", "training.loaded", "training.fitting", "training.fitted"),
    *("training.written", "training.publishing", "training.saved", "training.finished"),
    *("training.published", "lease.look"),
    *("records.part", "records.parts_written", "records.renamed", "records.stored"),
    *("backup.reserved", "backup.model_file", "backup.read_back", "backup.row"),
    *("bundle.file",),
    *(
        f"{kind}.{step}"
        for kind in ("model_versions", "model_backups")
        for step in ("begun", "filled", "sealed", "manifest", "signed", "renamed", "durable")
    ),
    *("activate.loaded", "activate.moved", "activate.committed", "remove.noted"),
    *("restore.verified", "restore.copied", "restore.tried", "restore.backed_up", "restore.set_aside"),
    *("restore.model_file", "restore.servable", "restore.locked", "restore.stored", "restore.reopened"),
    *("restore.claimed", "restore.finished", "restore.committed"),
    *("repair.verified", "repair.written", "repair.claimed"),
    *("import.file", "import.kept", "import.looked", "import.received", "import.decided", "import.stored"),
    *("import.committed",),
)
_ACTION = re.compile(r"(kill|exit|crash|hang|(?:pause|oserror):\w+)(?:@([1-9]\d*))?")


class Crash(BaseException):
    """The death of a process, played within it: no `except Exception` sees it."""


@dataclass(frozen=True, kw_only=True)
class Action:
    """What to do at a point, from its so-many-th passing in a process on."""

    verb: str
    argument: str = ""
    passing: int = 1


_armed: dict[str, Action] = {}
_shots: list[Path] = []
_passings: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """One of POINTS is passed."""
    if _armed or _shots:
        _pass(name)


def arm(points: str, *, shots: Path | None = None) -> None:
    """`points` such as "training.saved=kill; bundle.file=oserror:ENOSPC@2; training.fitting=pause:20".

    `shots` is a directory: a file there, named after a point, holds one action; who passes first takes it.
    Raises ValueError for a point or an action that does not exist.
    """
    armed = dict(_parse(entry.strip()) for entry in points.split(";") if entry.strip())
    disarm()
    _armed.update(armed)
    _shots.extend([shots] if shots else [])


def disarm() -> None:
    """Nothing happens any more."""
    for container in (_armed, _shots, _passings):
        container.clear()


@contextmanager
def armed(points: str) -> Iterator[None]:
    """Armed for the block."""
    arm(points)
    try:
        yield
    finally:
        disarm()


def _parse(entry: str) -> tuple[str, Action]:
    name, _, action = entry.partition("=")
    if name not in POINTS:
        raise ValueError(f"there is no failpoint {name!r}")
    return name, _action(action)


def _action(text: str) -> Action:
    found = _ACTION.fullmatch(text)
    verb, _, argument = found[1].partition(":") if found else ("", "", "")
    if not found or (verb == "oserror" and not hasattr(errno, argument)):
        raise ValueError(f"there is no fault {text!r}")
    return Action(verb=verb, argument=argument, passing=int(found[2] or 1))


def _pass(name: str) -> None:
    _passings[name] += 1
    action = _armed.get(name) or next((_take(directory / name) for directory in _shots), None)
    if action is not None and _passings[name] >= action.passing:
        _do(action, name)


def _take(shot: Path) -> Action | None:
    """What waits there for this passing, if no other process was faster."""
    try:
        action = _action(shot.read_text(encoding="ascii"))
        if _passings[shot.name] >= action.passing:
            shot.unlink()
    except FileNotFoundError:
        return None
    return action


def _do(action: Action, name: str) -> None:
    match action.verb:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(1)
        case "crash":
            raise Crash(name)
        case "pause":
            time.sleep(float(action.argument))
        case "hang":
            _hang()
        case "oserror":
            number = getattr(errno, action.argument)
            raise OSError(number, os.strerror(number), name)


def _hang() -> None:
    """Stay in C code for ever, deaf to every signal but SIGKILL, with the interpreter's lock held."""
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    ctypes.PyDLL(None).pause()
