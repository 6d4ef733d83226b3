#!/usr/bin/env python
"""Django's command-line entry point."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

NOT_USABLE = 2  # the exit code of settings that nothing can run with, as `doctor` has it for what is broken
# They run for long and write logs: nobody waits before a terminal for what they print.
SERVICES = {"qcluster", "run_training", "run_prediction_jobs", "run_quality_checks", "keep_files"}


def log_what_services_print() -> None:
    from anomalyproject.env import env_logging  # noqa: PLC0415  # not for every command
    from anomalyproject.logs import take_over_stderr  # noqa: PLC0415  # as above

    if not sys.stderr.isatty():
        take_over_stderr(**env_logging())


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    try:
        if SERVICES & set(sys.argv[1:2]):
            log_what_services_print()
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"fail  settings: {error}\n      → docs/deployment.md has the table of settings.\n")
        sys.exit(NOT_USABLE)
