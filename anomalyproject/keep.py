"""Runs the processes of a Procfile: `python -m anomalyproject.keep Procfile`, which `make run` becomes.

Each that ends is started again, a little later each time; SIGTERM or SIGINT ends all of them. They die with
this process, and what they print comes with their names. In the plant systemd does that (Restart=always).
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

from anomalyproject.env import env_logging
from anomalyproject.logs import JSON, as_json_line
from training.processes import die_with_parent, kill_group, stop_requests

TICK = 0.2  # seconds between looks
BACK_OFF = (0.5, 1, 2, 5, 10, 30)  # seconds before a process is started again
STEADY = 30.0  # seconds after which a death counts as the first
GRACE = 20.0  # seconds that all of them have to end in order: a training is given back after 2 of them
OWN_NAME = "system"  # before the lines of this process itself


class Supervised:
    """A process that is started again whenever it ends. Main thread only: it dies with that one."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name, self._command = name, command
        self._process: subprocess.Popen[bytes] | None = None
        self._printer: threading.Thread | None = None
        self._started_at = self._due_at = time.monotonic()
        self._deaths = 0

    def keep_running(self) -> None:
        """Start it when it does not run and its pause is over; say so when it died."""
        if self._process is None:
            if time.monotonic() >= self._due_at:
                self._start()
        elif (code := self._process.poll()) is not None:
            kill_group(self._process)  # what it left behind, such as gunicorn's workers on their port
            self._process = None
            self._start_later(f"died ({how(code)})")

    def terminate(self) -> None:
        """Ask it to end in order."""
        if self._process is not None:
            self._process.terminate()

    def end(self, until: float) -> None:
        """Wait for its end until that moment of the monotonic clock, then kill it and all it left behind."""
        if self._process is None or self._printer is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(0, until - time.monotonic()))
        kill_group(self._process)
        self._process.wait()
        self._printer.join(1)

    def _start(self) -> None:
        self._started_at = time.monotonic()
        try:
            process = subprocess.Popen(  # in a group of its own, so that what it leaves behind can be ended
                self._command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),  # noqa: PLW1509  # needs no lock that the printers hold
            )
        except OSError as error:  # no such program, or no process or memory left
            self._start_later(f"cannot be started ({error})")
            return
        self._process = process
        self._printer = threading.Thread(target=print_lines, args=(self._name, process.stdout), daemon=True)
        self._printer.start()

    def _start_later(self, reason: str) -> None:
        now = time.monotonic()
        self._deaths = 1 if now - self._started_at > STEADY else self._deaths + 1
        pause = BACK_OFF[min(self._deaths, len(BACK_OFF)) - 1]
        self._due_at = now + pause
        print_line(OWN_NAME, f"{self._name} {reason}: it starts again in {pause:g} s")


def supervise(commands: dict[str, list[str]]) -> None:
    """Run the commands until SIGTERM or SIGINT, then end them, within GRACE seconds."""
    processes = [Supervised(name, command) for name, command in commands.items()]
    with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
        while not stop.is_set():
            for process in processes:
                process.keep_running()
            stop.wait(TICK)
        for process in processes:
            process.terminate()
        until = time.monotonic() + GRACE
        for process in processes:
            process.end(until)


def read_procfile(path: Path) -> dict[str, list[str]]:
    """The commands by name; each is a program and its arguments, run without a shell."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {name: shlex.split(command) for name, _, command in (line.partition(":") for line in lines)}


def how(code: int) -> str:
    """How a process ended, in words."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def print_lines(name: str, output: IO[bytes]) -> None:
    """Print what a process prints, line by line, until it and all that it started have ended."""
    with output:
        for line in output:
            print_line(name, line.decode(errors="replace"))


def print_line(name: str, line: str) -> None:
    """Print the line with the name of its process: before it, or in its JSON object."""
    is_json = env_logging()["kind"] == JSON
    named = as_json_line(line, process=name) if is_json else f"{name:<{len(OWN_NAME)}} | {line.rstrip()}\n"
    # On a full disk, or into a pipe that nobody reads any more, the processes go on without their lines.
    with suppress(OSError):
        sys.stdout.buffer.write(named.encode())
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    die_with_parent(os.getppid(), by=signal.SIGTERM)  # then all of it ends in order
    supervise(read_procfile(Path(sys.argv[1])))
