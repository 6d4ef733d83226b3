"""`evaluate`: how good a model learned from these files would be on reports it has not seen."""

import json
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import BaseCommand, CommandError

from training.datafiles import DataFileError, read_files
from training.ml.errors import MLError
from training.ml.evaluate import PROTOCOLS, evaluate
from training.ml.metrics import FIGURES
from training.ml.records import TARGETS

FACTS = (
    "protocol",
    "folds",
    "cutoff",
    "rows_read",
    "rows_refused",
    "duplicates_dropped",
    "records",
    "undated",
    "train_rows",
    "rows",
    "texts_seen_in_training",
)


class Command(BaseCommand):
    help = (
        "Measures the model on held-out rows of the files, beside a dummy that always answers the median. "
        "Give the customer's three CSV files together, or one CSV or Excel file with all three scores. "
        "Exact duplicates are dropped first. Needs no database and changes nothing. "
        "Protocols: 'grouped' never has the same text on both sides; 'temporal' learns from what came before "
        "the cutoff and measures on the rest; 'rolling' measures each month with a model of all before it."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument("--protocol", choices=PROTOCOLS, default="grouped", help="default: grouped")
        parser.add_argument(
            "--cutoff",
            metavar='"YYYY-MM-DD HH:MM:SS"',
            help="where the held-out time begins; default: the time at 80 %% of the rows (temporal), "
            "the twelve months that end with the newest report's (rolling)",
        )
        parser.add_argument("--folds", type=int, metavar="N", help="for grouped; default: 5")
        parser.add_argument("--json", action="store_true", help="print nothing but JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        protocol, folds = options["protocol"], options["folds"]
        if folds is not None and protocol != "grouped":
            raise CommandError(f"--folds belongs to --protocol grouped, not {protocol}.")
        if options["cutoff"] and protocol == "grouped":
            raise CommandError("--cutoff belongs to --protocol temporal or rolling, not grouped.")
        cutoff = parse_time(options["cutoff"]) if options["cutoff"] else None
        try:
            records = read_files(options["files"])
            for problem in records.problems():
                self._tell(f"left out: {problem.file}:{problem.line}: {problem.message}")
            result = evaluate(
                records.frame,
                protocol=protocol,
                cutoff=cutoff,
                folds=5 if folds is None else folds,
                on_progress=lambda done, total, label: self._tell(f"[{done}/{total}] {label}"),
            )
        except (DataFileError, MLError) as error:
            raise CommandError(str(error)) from error
        result["duplicates_dropped"] += records.rows_duplicate
        report = {"rows_read": records.rows_read, "rows_refused": records.rows_refused} | result
        self.stdout.write(
            json.dumps(report, indent=2, allow_nan=False) if options["json"] else in_words(report)
        )

    def _tell(self, message: str) -> None:
        self.stderr.write(message, style_func=str)


def parse_time(text: str, *, option: str = "--cutoff") -> datetime:
    """Naive UTC, as the files are read; an offset is converted. Raises CommandError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f'{option} must be a time like "2023-05-07 08:35:51", not {text!r}.') from None
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time


def in_words(report: dict[str, Any]) -> str:
    """What was measured on what, and the table of figures, model beside dummy for each target."""
    facts = "".join(f"{name}: {report[name]}\n" for name in FACTS if name in report)
    figures = pd.DataFrame(
        {(target, of): report[of][target] for target in TARGETS for of in ("model", "dummy")}
    ).loc[list(FIGURES)]
    parts = [facts, as_table(figures)]
    if periods := report.get("periods"):
        rows = {period["label"]: {"rows": period["rows"]} | period["mae"] for period in periods}
        parts.append("\nMAE of each month\n" + as_table(pd.DataFrame.from_dict(rows, orient="index")))
    return "\n".join(parts)


def as_table(values: pd.DataFrame) -> str:
    return values.astype(float).to_string(float_format=lambda value: f"{round(value, 4):g}", na_rep="-")
