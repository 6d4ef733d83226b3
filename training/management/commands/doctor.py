"""What is wrong with this installation, and what to do."""

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import translation

from training.doctor import Level, examine, fix


class Command(BaseCommand):
    help = (
        "Checks the whole installation and says what to do: a line for each thing, ok, warn or fail. The "
        "exit code is 0, 1 when something is to be watched, 2 when something is broken. It changes nothing, "
        "unless --fix is given."
    )
    requires_system_checks: list[str] = []  # it runs them itself, and says what they say

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON document instead of lines")
        parser.add_argument(
            "--fix",
            action="store_true",
            help="mend what is safe first: make MEDIA_ROOT, private files private, put the schedule right, "
            "sweep what crashes left, move aside what is signed and has no row",
        )

    def handle(self, *, json: bool, fix: bool, **options: Any) -> None:
        with translation.override("en"):
            fixed = self._fix() if fix else []
            results = []
            for result in examine():
                results.append(result)
                if not json:
                    self._say(result)
        worst = max(result.level for result in results)
        if json:
            self.stdout.write(_document(results, fixed))
        sys.exit(worst)

    def _fix(self) -> list[str]:
        done = fix()
        for act in done:
            self.stderr.write(f"fixed {act}")
        return done

    def _say(self, result: Any) -> None:
        style = {Level.OK: self.style.SUCCESS, Level.WARN: self.style.WARNING, Level.FAIL: self.style.ERROR}
        word = style[result.level](f"{result.level.name.lower():4}")
        self.stdout.write(f"{word}  {result.about}: {result.detail}")
        if result.remedy:
            self.stdout.write(f"      → {result.remedy}")


def _document(results: list[Any], fixed: list[str]) -> str:
    lines = [
        {"level": r.level.name.lower(), "about": r.about, "detail": r.detail, "remedy": r.remedy}
        for r in results
    ]
    return json.dumps({"worst": max(r.level for r in results).name.lower(), "results": lines, "fixed": fixed})
