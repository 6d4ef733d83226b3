"""Processes that end together, and those that work behind the others: a child dies with its parent."""

import ctypes
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from django.conf import settings

from anomalyproject.logs import logs_are_json, pass_on

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
BATCH_NICE = 5  # of trainings, prediction jobs, reports and backups: answers to people go first
STOPPED_BY_SIGNAL = 128 + signal.SIGTERM  # the exit code that a shell reports


class StopRequest:
    """Whether somebody asked this process to stop. Plain attributes: nothing here can deadlock a handler."""

    def __init__(self) -> None:
        self.requested = False

    def set(self) -> None:
        self.requested = True

    def is_set(self) -> bool:
        return self.requested

    def wait(self, seconds: float) -> bool:
        """Sleep, and say whether the request came."""
        time.sleep(seconds)
        return self.requested


leaving = StopRequest()  # this process was asked to end: whatever waits within it answers now


@contextmanager
def stop_requests(*signals: signal.Signals) -> Iterator[StopRequest]:
    """Turn these signals into a request for the length of the block. Main thread only."""
    request = StopRequest()

    def handle(_number: int, _frame: FrameType | None) -> None:
        request.set()

    before = {number: signal.signal(number, handle) for number in signals}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def spawn_command(
    *arguments: str, stdin: int = subprocess.DEVNULL, stderr: int | None = None
) -> "subprocess.Popen[bytes]":
    """Start one of our own commands in a process group of its own; it must call `die_with_parent`.

    Where lines are JSON and `stderr` is not the caller's, what it prints without asking Python's logging
    becomes such on the way: a fatal error of the interpreter, a word of a library.
    """
    manage = settings.BASE_DIR / "manage.py"
    command: Sequence[str] = [sys.executable, str(manage), *arguments, f"--parent={os.getpid()}"]
    if stderr is not None or not logs_are_json():
        return subprocess.Popen(command, stdin=stdin, stderr=stderr, start_new_session=True)
    process = subprocess.Popen(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    threading.Thread(target=_pass_on_lines, args=(process.stdout,), daemon=True).start()
    return process


def _pass_on_lines(output: IO[bytes]) -> None:
    with output:
        for line in output:
            pass_on(line.decode(errors="replace"))


def kill_group(process: "subprocess.Popen[bytes]", number: signal.Signals = signal.SIGKILL) -> None:
    """Send the signal to the process and all it started in its group, dead or not."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def die_with_parent(parent: int, *, by: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal the moment `parent` ends; exit when it has ended already.

    The kernel does that on Linux. Elsewhere an orphan lives on, and the session's lease fences it off.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, by)
    if os.getppid() != parent:
        os._exit(STOPPED_BY_SIGNAL)


def lower_priority() -> None:
    """Put this process and all it starts behind those that answer people, on a machine that is busy.

    Linux schedules by session (setsid) before it looks at `nice` (sched(7), "The autogroup feature"), and
    `spawn_command` gives each command a session of its own: the session's own value counts there.
    """
    os.nice(max(0, BATCH_NICE - os.nice(0)))
    session = Path("/proc/self/autogroup")
    if session.exists():
        try:
            session.write_text(str(BATCH_NICE), encoding="ascii")
        except OSError as error:  # EAGAIN: the kernel takes ten a second from all users but root
            logger.debug("The session keeps its priority: %s", error)


def tie_forks_to_their_parents() -> None:
    """From now on every process that this one forks, and theirs, dies with the one that forked it.

    SIGTERM ends it too, whatever handler its parent has.
    """
    parents: list[int] = []

    def begin() -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(parents.pop())

    os.register_at_fork(
        before=lambda: parents.append(os.getpid()), after_in_parent=parents.clear, after_in_child=begin
    )
