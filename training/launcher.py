"""Fresh processes for trainings, without the wait for Python, Django and scikit-learn to load.

A launcher, `manage.py run_training`, loads them once. It touches no database, starts no thread, and forks
for each attempt that it is asked for: the attempt's process is as untouched as one started from nothing, and
there at once. What it logs, and at last how it ended, comes through the launcher's stderr.
"""

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Self

from anomalyproject.logs import pass_on, readable
from training.processes import die_with_parent, kill_group, spawn_command

logger = logging.getLogger(__name__)

LAST_LINES = 5  # of what an attempt logs, kept for the reason
LINE_LENGTH = 300  # characters
ENDED = b"\0ended "  # begins the line that says how: the exit code, negative for a signal

OnLine = Callable[[str], object]


def how(code: int) -> str:
    """How a process ended, in words."""
    return f"with exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


class Child:
    """The process of one attempt, as its supervisor sees it. `exit_code` is None while it runs."""

    def __init__(self, launcher: "subprocess.Popen[bytes]", on_line: OnLine) -> None:
        self.exit_code: int | None = None
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        self._launcher = launcher
        self._on_line = on_line
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def last_words(self) -> str:
        """How it ended and what it said last, fit for a reason."""
        assert self.exit_code is not None  # noqa: S101  # asked for once it ended
        hint = " (out of memory?)" if self.exit_code == -signal.SIGKILL else ""
        return "\n".join([f"{how(self.exit_code)}{hint}.", *self.last_lines])

    def wait(self, seconds: float | None = None) -> int | None:
        """The exit code, or None when it still runs after so many seconds."""
        self._reader.join(seconds)
        return self.exit_code

    def kill(self) -> None:
        """End it, and the launcher with it."""
        kill_group(self._launcher)
        self.wait()

    def _read(self) -> None:
        """Pass on what it logs until it ends, or the launcher does."""
        assert self._launcher.stderr is not None  # noqa: S101  # it was started with a pipe
        for raw in self._launcher.stderr:
            line, ended, code = raw.partition(ENDED)
            self._hear(line.decode(errors="replace").replace("\0", ""))
            if ended:
                self.exit_code = int(code)
                return
        self.exit_code = self._launcher.wait()

    def _hear(self, line: str) -> None:
        if line:
            self._on_line(line)
        for text in readable(line).splitlines():
            if text.strip():
                self.last_lines.append(text[:LINE_LENGTH])


class Launcher:
    """Starts attempts, one at a time. It ends with the process that holds it, at the latest."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._is_idle = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def warm(self) -> "subprocess.Popen[bytes]":
        """Load now what the next attempt will need. Main thread only: the launcher dies with its thread."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = spawn_command("run_training", stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            self._is_idle = True
            threading.Thread(target=self._report_death, args=(self._process,), daemon=True).start()
        return self._process

    def _report_death(self, process: "subprocess.Popen[bytes]") -> None:
        """Of a launcher that waits for an order nobody else would notice: say so, and what it said last."""
        code = process.wait()
        if self._process is process and self._is_idle:
            logger.warning("The launcher of trainings died (%s): the next training starts another", how(code))
            assert process.stderr is not None  # noqa: S101  # it was started with a pipe
            for line in process.stderr:
                pass_on(line.decode(errors="replace"))

    @contextmanager
    def launch(self, session_id: int, number: int, *, on_line: OnLine) -> Iterator[Child]:
        """An attempt at the session, killed with all it started when the block ends before it does."""
        launcher = self.warm()
        self._is_idle = False
        assert launcher.stdin is not None  # noqa: S101  # it was started with a pipe
        child = Child(launcher, on_line)
        try:
            with suppress(BrokenPipeError):  # it died a moment ago: then so has the attempt
                launcher.stdin.write(f"{session_id} {number}\n".encode())
                launcher.stdin.flush()
            yield child
        finally:
            if child.exit_code is None:
                _log_kill(launcher, session_id, number)
                child.kill()
            self._is_idle = launcher.poll() is None

    def close(self) -> None:
        """End the launcher, and an attempt that still runs."""
        process, self._process = self._process, None
        if process is not None:
            kill_group(process)
            with process:
                pass


def _log_kill(launcher: "subprocess.Popen[bytes]", session_id: int, number: int) -> None:
    """Say that the launcher is killed with its attempt; a warning when it was stopped (SIGSTOP)."""
    stopped = None
    with suppress(ChildProcessError):  # it ended this moment
        stopped = os.waitid(os.P_PID, launcher.pid, os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
    state = f"was stopped ({signal.Signals(stopped.si_status).name}) and" if stopped else "works and"
    logger.log(
        logging.WARNING if stopped else logging.INFO,
        "The launcher of trainings %s is killed with attempt %d of training session %d: "
        "the next training starts another",
        state,
        number,
        session_id,
    )


def serve_orders(run: Callable[[int, int], None]) -> None:
    """The launcher's own side: fork for each order, `session number` a line; returns in the fork too.

    In the fork after `run(session, number)`, in the launcher when nobody gives orders any more.
    """
    gc.freeze()
    launcher = os.getpid()
    for order in sys.stdin:
        session_id, number = map(int, order.split())
        if not (child := os.fork()):
            die_with_parent(launcher)
            run(session_id, number)
            return
        _, status = os.waitpid(child, 0)
        sys.stderr.buffer.write(b"%s%d\n" % (ENDED, os.waitstatus_to_exitcode(status)))
        sys.stderr.flush()
