"""The processes that score prediction jobs on this node."""

import argparse
import signal
import subprocess
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from predictions import jobs
from training.processes import (
    StopRequest,
    die_with_parent,
    lower_priority,
    spawn_command,
    stop_requests,
)

TICK = 0.2  # seconds between looks at the processes


class Command(BaseCommand):
    help = (
        "Scores what waits of the prediction jobs, in PREDICTION_PROCESSES processes, and ends when nothing "
        "is left. `qcluster` starts it by itself, on every node; to run it by hand does no harm."
    )
    requires_system_checks = []  # whoever starts it passed them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, one: bool, parent: int, **options: Any) -> None:
        if parent:
            die_with_parent(parent)
            lower_priority()
        with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
            if one:
                score(stop)
            else:
                run_crew(stop)


def score(stop: StopRequest) -> None:
    """Be one of the processes: asked to stop, it completes the piece it has."""
    jobs.score_pieces(is_stopped=stop.is_set)


def run_crew(stop: StopRequest) -> None:
    """Start as many as there is work for, and wait for them. Raises CommandError when one of them failed."""
    jobs.prune_jobs()
    count = min(settings.PREDICTION_PROCESSES, jobs.pieces_waiting())
    crew = [spawn_command("run_prediction_jobs", "--one") for _ in range(count)]
    while any(process.poll() is None for process in crew):
        if stop.wait(TICK):
            _stop(crew)
    if not stop.is_set() and any(process.returncode for process in crew):
        raise CommandError("A process that scores prediction jobs ended early: its part is scored again.")


def _stop(crew: "list[subprocess.Popen[bytes]]") -> None:
    for process in crew:
        process.terminate()
    for process in crew:
        process.wait()
