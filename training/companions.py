"""Commands that the queue's watch starts beside the cluster when there is something for them to do.

The single worker belongs to trainings; what may take long, and must not keep one waiting, runs here, in
processes of its own that end when nothing is left to do, and with the watch at the latest. Which ones there
are, `settings.QUEUE_COMPANIONS` says: the command's name, and the function that tells whether it has work.
"""

import logging
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress

from django.utils.module_loading import import_string

from training.processes import kill_group, spawn_command

logger = logging.getLogger(__name__)

BACK_OFF = 10.0  # seconds until a command that failed is started again
LEAVE = 5.0  # seconds that a command has to end in order


class Companions:
    """One process of each command at a time."""

    def __init__(self, commands: Mapping[str, str]) -> None:
        self._has_work = {name: import_string(dotted) for name, dotted in commands.items()}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._not_before: dict[str, float] = {}

    def keep(self) -> None:
        """Start what has work to do. Main thread only: they end with the thread that started them."""
        for name, has_work in self._has_work.items():
            self._reap(name)
            if name not in self._running and time.monotonic() >= self._not_before.get(name, 0) and has_work():
                self._running[name] = spawn_command(name)

    def stop(self) -> None:
        """Ask all of them to end, and see to it that they do."""
        for process in self._running.values():
            process.terminate()
        until = time.monotonic() + LEAVE
        for process in self._running.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0, until - time.monotonic()))
            kill_group(process)
            process.wait()
        self._running.clear()

    def _reap(self, name: str) -> None:
        process = self._running.get(name)
        if process is None or process.poll() is None:
            return
        kill_group(process)  # what it started and left
        if process.returncode:
            logger.error("%s ended with exit code %d", name, process.returncode)
            self._not_before[name] = time.monotonic() + BACK_OFF
        del self._running[name]
