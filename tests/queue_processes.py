"""Real queue processes for tests: started on the test database, found again in /proc by a mark."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

MARK = "QUEUE_TEST_MARK"  # an environment variable that every descendant inherits
KEEPER = "anomalyproject.keep"


@dataclass(frozen=True, kw_only=True, order=True)
class Running:
    """A live process, not a zombie. Older ones sort first."""

    started: int
    pid: int
    parent: int
    arguments: tuple[str, ...]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def state(self) -> str:
        """Its letter in proc(5), now; X when it is gone. One that dies has lost its mark before it is a Z."""
        with suppress(FileNotFoundError, ProcessLookupError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return "X"


def running(mark: str) -> list[Running]:
    """Every process that carries the mark, this one aside, oldest first."""
    found = [_look(Path(entry), mark) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return sorted(process for process in found if process is not None and process.pid != os.getpid())


def _look(entry: Path, mark: str) -> Running | None:
    try:
        if f"{MARK}={mark}".encode() not in (entry / "environ").read_bytes().split(b"\0"):
            return None
        # After the command's name, in brackets: state, parent, …, and the start time as the 20th.
        state, *fields = (entry / "stat").read_text().rpartition(")")[2].split()
        arguments = tuple((entry / "cmdline").read_text().split("\0"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
    if state in "ZX":
        return None
    return Running(pid=int(entry.name), parent=int(fields[0]), started=int(fields[18]), arguments=arguments)


def wait_until(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """What the condition answers as soon as it is true; fails the test when it never is."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)
    return answer


def database_url() -> str:
    """The test database as another process opens it."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    login = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
    return f"postgres://{login}/{database['NAME']}"


class Queue:
    """`manage.py qcluster`, perhaps kept running as in the Procfile, and the processes under it."""

    def __init__(self, mark: str, log: Path) -> None:
        self.mark = mark
        self.log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, grace: float = 1.0, wait: bool = True) -> None:
        """Returns when it is ready for work, unless told not to wait."""
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "qcluster", f"--grace={grace}"]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)
        if wait:
            wait_until(lambda: len(self.parts()) == 3)

    def stop(self) -> None:
        """SIGTERM, as every process manager does it; fails when it takes longer than it may."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(timeout=30)

    def watch(self) -> Running | None:
        """What starts the sentinel, and starts it again: the command itself, or the child of its keeper."""
        for process in running(self.mark):
            is_ours = self.process and self.process.pid in {process.pid, process.parent}
            if is_ours and "qcluster" in process.arguments and KEEPER not in process.arguments:
                return process
        return None

    def sentinel(self) -> Running | None:
        found = [process for process in running(self.mark) if "--unsupervised" in process.arguments]
        watch = self.watch()
        return next((process for process in found if watch and process.parent == watch.pid), None)

    def parts(self) -> list[Running]:
        """Worker, monitor and pusher, in the order in which the sentinel starts them."""
        sentinel = self.sentinel()
        return [p for p in running(self.mark) if sentinel and p.parent == sentinel.pid]

    def trainings(self) -> list[Running]:
        return trainings(self.mark)

    def worker(self) -> Running | None:
        """The parent of the launcher."""
        parents = {launcher.parent for launcher in launchers(self.mark)}
        return next((process for process in running(self.mark) if process.pid in parents), None)


def launchers(mark: str) -> list[Running]:
    """The processes that fork the trainings."""
    return [process for process, parent in _run_training(mark) if parent is None]


def trainings(mark: str) -> list[Running]:
    """The training subprocesses that are alive."""
    return [process for process, parent in _run_training(mark) if parent is not None]


def _run_training(mark: str) -> list[tuple[Running, Running | None]]:
    """Launchers and what they forked, each with the launcher that forked it."""
    found = {p.pid: p for p in running(mark) if "run_training" in p.arguments}
    return [(process, found.get(process.parent)) for process in found.values()]
