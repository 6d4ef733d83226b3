"""The processes that make quality reports on this node: one that supervises, one that works."""

import argparse
import logging
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from training import quality_checks
from training.errors import LeaseLostError, TrainingError
from training.launcher import Child
from training.ml.errors import MLError
from training.models import QualityCheck
from training.processes import (
    StopRequest,
    die_with_parent,
    lower_priority,
    spawn_command,
    stop_requests,
)

logger = logging.getLogger(__name__)

TICK = 0.2  # seconds between looks at the process
BEAT = 5.0  # seconds between heartbeats


class Command(BaseCommand):
    help = (
        "Makes the quality reports that wait, doubtful labels and drift, and ends when none is left. "
        "`qcluster` starts it by itself, on every node; to run it by hand does no harm."
    )
    requires_system_checks = []  # whoever starts it passed them

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", type=int, help=argparse.SUPPRESS)
        parser.add_argument("--attempt", type=int, default=0, help=argparse.SUPPRESS)
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, check: int | None, attempt: int, parent: int, **options: Any) -> None:
        if parent:
            die_with_parent(parent)
            lower_priority()
        if check is not None:
            work(QualityCheck.objects.select_related("requested_by").get(pk=check, attempts=attempt))
            return
        with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
            while not stop.is_set() and (claimed := quality_checks.claim()) is not None:
                supervise(claimed, stop)


def work(check: QualityCheck) -> None:
    """An error that would come again fails the check; any other one ends this process, with a traceback."""
    try:
        quality_checks.make_report(check)
    except LeaseLostError as error:
        logger.warning("%s", error)
    except (TrainingError, MLError) as error:
        quality_checks.fail(check, reason=str(error))
    except OSError as error:
        quality_checks.fail(check, reason=f"The disk refused: {error.strerror or error}.")


def supervise(check: QualityCheck, stop: StopRequest) -> None:
    """See the attempt to its end: what it does not close itself is tried again, or has failed."""
    order = ("run_quality_checks", f"--check={check.pk}", f"--attempt={check.attempts}")
    with spawn_command(*order, stderr=subprocess.PIPE) as process:
        child = Child(process, sys.stderr.write)
        try:
            _watch(child, check, stop)
        except LeaseLostError as error:
            if not quality_checks.has_ended(check):
                logger.warning("%s", error)
        finally:
            child.kill()


def _watch(child: Child, check: QualityCheck, stop: StopRequest) -> None:
    """Hold the lease while the process works, and say how it ended. Raises LeaseLostError."""
    started = beaten = time.monotonic()
    while child.exit_code is None:
        now = time.monotonic()
        if stop.is_set():
            child.kill()
            quality_checks.hand_back(check)
            return
        if now - started > settings.QUALITY_CHECK_TIMEOUT:
            child.kill()
            quality_checks.fail(check, reason=f"It took more than {settings.QUALITY_CHECK_TIMEOUT} s.")
            return
        if now - beaten > BEAT:
            beaten = now
            quality_checks.beat(check)
        stop.wait(TICK)
    if not quality_checks.has_ended(check):
        quality_checks.retry(check, reason=f"The process ended {child.last_words}")
