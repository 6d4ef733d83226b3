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


def explain(error: Exception) -> str | None:
    """Say what a person can do about an error that is no fault of the program; None for any other error."""
    from training.errors import StorageError, TrainingError  # noqa: PLC0415  # Django is set up by now
    from training.outages import kind_of, lacks_tables  # noqa: PLC0415  # as above

    if (kind := kind_of(error)) is not None:
        return f"{kind.value} ({' '.join(str(error).split())})"
    if lacks_tables(error):
        return "The database lacks tables or columns of this release: run manage.py migrate."
    return str(error) if isinstance(error, TrainingError | StorageError) else None


def main(arguments: list[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    try:
        if SERVICES & set(arguments[1:2]):
            log_what_services_print()
        execute_from_command_line(arguments)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"fail  settings: {error}\n      → docs/deployment.md has the table of settings.\n")
        sys.exit(NOT_USABLE)
    except Exception as error:
        if "--traceback" in arguments or (sentence := explain(error)) is None:
            raise
        sys.exit(f"CommandError: {sentence}")  # as Django says it


if __name__ == "__main__":
    main(sys.argv)
