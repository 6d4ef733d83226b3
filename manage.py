#!/usr/bin/env python
"""Django's command-line entry point."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line

NOT_USABLE = 2  # the exit code of settings that nothing can run with, as `doctor` has it for what is broken

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"fail  settings: {error}\n      → docs/deployment.md has the table of settings.\n")
        sys.exit(NOT_USABLE)
