"""`report_drift`: whether the plant's reports still look as the model learned them, and what changed when."""

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import CommandError

from predictions.drift import report_drift
from training.datafiles import DataFileError, read_files
from training.management.acting import ActingCommand
from training.management.commands.evaluate import as_table, parse_time
from training.ml.backtest import NAME, backtest
from training.ml.drift import drift_report
from training.ml.records import TARGETS

EXIT_CODES = {"look": 2, "retrain": 3}  # 1 is Django's for an error


class Command(ActingCommand):
    help = (
        "Looks for drift: new and suddenly frequent words, moved scores, unknown texts and equipment, and "
        "errors of suggestions that were reviewed. Each period is compared with what came before it, and "
        "what the serving version has not learned with what it has. The report is stored. With files (the "
        "customer's three CSV files together, or one CSV or Excel file with all three scores) these are "
        "looked at instead, and nothing is stored. "
        "Exit code: 0 ok or too few reports, 2 look, 3 retrain, 1 error; of what came since the serving "
        "version learned, or without one of the newest period."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
        parser.add_argument(
            "--backtest",
            action="store_true",
            help="also measure each month with a model of all before it: a fit a month, about a minute for "
            "five years of the customer's data",
        )
        parser.add_argument(
            "--learned-before",
            metavar="YYYY-MM-DD",
            help="with files: judge what came since as if a model had learned everything before this day",
        )
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="show the periods that end after this day")
        parser.add_argument("--json", action="store_true", help="print nothing but JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        since = parse_time(options["since"], option="--since") if options["since"] else None
        if options["learned_before"] and not options["files"]:
            raise CommandError(
                "--learned-before belongs to files: the database knows what its version learned."
            )
        content = self._of_files(**options) if options["files"] else self._of_database(**options)
        if since is not None:
            content["periods"] = [
                period for period in content["periods"] if pd.Period(period["label"]).end_time >= since
            ]
        self.stdout.write(
            json.dumps(content, indent=2, allow_nan=False) if options["json"] else in_words(content)
        )
        if code := EXIT_CODES.get(content["verdict"]):
            sys.exit(code)

    def _of_database(self, **options: Any) -> dict[str, Any]:
        content: dict[str, Any] = report_drift(
            user=self.user, backtest=options["backtest"], on_progress=self._progress
        ).content
        return content

    def _of_files(self, **options: Any) -> dict[str, Any]:
        try:
            records = read_files(options["files"])
        except DataFileError as error:
            raise CommandError(str(error)) from error
        for problem in records.problems():
            self._tell(f"left out: {problem.file}:{problem.line}: {problem.message}")
        frame, day = records.frame, options["learned_before"]
        tested = backtest(frame, on_progress=self._progress) if options["backtest"] else None
        report = drift_report(
            frame,
            suggested=[tested] if tested else [],
            learned=(frame["detected_at"] < parse_time(day, option="--learned-before")).to_numpy()
            if day
            else None,
            learned_by=f"a model of all before {day}",
        )
        return report.as_json()

    def _progress(self, done: int, total: int, label: str) -> None:
        self._tell(f"[{done}/{total}] {label}")

    def _tell(self, message: str) -> None:
        self.stderr.write(message, style_func=str)


def in_words(content: dict[str, Any]) -> str:
    """A table of the periods, the reasons of each verdict, and the verdict on the newest."""
    periods = content["periods"]
    figures = pd.DataFrame({f"{each['label']} {each['verdict']}": _figures(each) for each in periods})
    lines = [as_table(figures.T)] if periods else []
    for period in periods:
        lines += _reasons(f"{period['label']}: {period['verdict']}", period)
    if since := content["since_version"]:
        lines += _reasons(
            f"Not learned by {since['label']}, {since['reports']} reports: {since['verdict']}", since
        )
    return "\n".join([*lines, f"\nVerdict: {content['verdict']}"])


def _reasons(title: str, period: dict[str, Any]) -> list[str]:
    told = [f"  {finding['verdict']}: {finding['sentence']}" for finding in period["findings"]]
    return [f"\n{title}", *told] if told else []


def _figures(period: dict[str, Any]) -> dict[str, float | None]:
    """How far the scores moved, what is new, in percent, and the backtest's error."""
    scores, novelty = period["scores"] or {}, period["novelty"] or {}
    backtested: dict[str, Any] = next(
        (each["targets"] for each in period["accuracy"] if each["by"] == NAME), {}
    )
    return {
        "reports": period["reports"],
        "reviewed": period["reviewed"],
        **{f"{target} moved": scores[target]["distance"] for target in scores},
        **{f"new {of} %": 100 * novelty[of]["share"] for of in ("words", "equipment") if novelty},
        **{f"{target} error": backtested[target]["mae"] for target in TARGETS if backtested},
    }
