"""Keeps a command running: `python -m anomalyproject.keep NAME COMMAND …`, for honcho and each of its lines.

honcho ends everything as soon as one process ends. These do not end: each starts a command that died again, a
little later each time, and says so. One that is killed takes what it started along, honcho ends the rest, and
the keeper of honcho, the process that `make run` becomes, starts all of it again. In the plant systemd does
that (Restart=always).
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

from anomalyproject.env import env_logging
from anomalyproject.logs import JSON, as_json_line
from training.processes import StopRequest, die_with_parent, kill_group, stop_requests

TICK = 0.2  # seconds between looks
BACK_OFF = (0.5, 1, 2, 5, 10, 30)  # seconds before it is started again
STEADY = 30.0  # seconds after which a death counts as the first
LEAVE = 60.0  # seconds that it has to end in order


def keep(name: str, command: Sequence[str]) -> None:
    """Run it, again and again, until SIGTERM or SIGINT: that is passed on, and its end waited for."""
    deaths = 0
    with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
        while not stop.is_set():
            started = time.monotonic()
            process = start(command)
            code = wait(process, stop)
            if stop.is_set():
                return
            deaths = 1 if time.monotonic() - started > STEADY else deaths + 1
            pause = BACK_OFF[min(deaths, len(BACK_OFF)) - 1]
            say(f"{name} died ({how(code)}): it starts again in {pause:g} s")
            until = time.monotonic() + pause
            while time.monotonic() < until and not stop.wait(TICK):
                pass


def start(command: Sequence[str]) -> "subprocess.Popen[bytes]":
    """In a group of its own, so that what it leaves can be ended; it dies with this process."""
    return subprocess.Popen(command, start_new_session=True, preexec_fn=partial(die_with_parent, os.getpid()))  # noqa: PLW1509  # no thread here


def wait(process: "subprocess.Popen[bytes]", stop: StopRequest) -> int:
    """Its exit code. What it leaves behind, such as gunicorn's workers on their port, is ended."""
    while process.poll() is None and not stop.wait(TICK):
        pass
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LEAVE)
    kill_group(process)
    return process.wait()


def how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def say(sentence: str) -> None:
    line = f"{sentence}\n"
    sys.stderr.write(as_json_line(line) if env_logging()["kind"] == JSON else line)
    sys.stderr.flush()


if __name__ == "__main__":
    die_with_parent(os.getppid())
    keep(sys.argv[1], sys.argv[2:])
