"""`import_anomalies FILE…`: scored anomalies from the customer's three CSVs, or from one file."""

import csv
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from training.datafiles import DataFileError, FileRecords, RowProblem, read_files
from training.importing import import_records
from training.management.acting import ActingCommand
from training.management.progress import track
from training.models import Anomaly
from training.records import RecordCounts

LISTED = 20  # rows left out that are shown; --report has them all


class Command(ActingCommand):
    help = (
        "Imports scored anomalies. Either give the three files of the customer together, in any order "
        "(disponibilite.csv fiabilite.csv process_safty.csv: row-aligned, each with one of the scores), or "
        "one file with all three scores, under the customer's French titles or under our own: anomaly_id, "
        "description, equipment_name, equipment_id, system, section, detected_at, availability_score, "
        "fiability_score, process_safety_score. anomaly_id, system, section and detected_at may be left "
        "out; other columns are ignored. CSV (UTF-8, comma or semicolon) or the first sheet of an Excel "
        "workbook (.xlsx). Times are ISO 8601, in UTC. Rows without an anomaly_id get one derived from "
        "equipment, text and time, so importing the same file twice changes nothing. Bad rows and exact "
        "duplicates are left out and listed by line; the others are stored together or, if anything fails, "
        "not at all. When nothing can be imported, it ends with an error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be stored, and change nothing"
        )
        parser.add_argument(
            "--status",
            choices=["approved", "pending"],
            default="approved",
            help="approved: to be trained on (default); pending: to be reviewed first",
        )
        parser.add_argument(
            "--report",
            type=Path,
            metavar="CSV",
            help="write every row that was left out, and why, to this file",
        )

    def handle(self, **options: Any) -> None:
        records = self.read(options["files"])
        if options["report"]:
            write_report(options["report"], records)
        self.list_left_out("refused", records.problems(), records.problem_count)
        self.list_left_out("duplicate", records.duplicates(), records.rows_duplicate)
        if not records.rows_kept:
            raise CommandError(
                f"None of the {records.rows_read:,} rows can be imported. Nothing was changed."
            )
        self.summarise(records, self.store(records, **options), dry_run=options["dry_run"])

    def store(self, records: FileRecords, *, status: str, dry_run: bool, **options: Any) -> RecordCounts:
        names = ", ".join(path.name for path in options["files"])
        return import_records(
            records=records,
            user=self.user,
            status=Anomaly.Status(status),
            reason=f"Imported from {names}, {self.by}",
            dry_run=dry_run,
            track=partial(track, total=records.rows_kept, label="Storing"),
        )

    def read(self, files: list[Path]) -> FileRecords:
        try:
            return read_files(files)
        except DataFileError as error:
            raise CommandError(str(error)) from error

    def list_left_out(self, kind: str, rows: Iterator[RowProblem], count: int) -> None:
        for row in islice(rows, LISTED):
            self.stdout.write(f"{row.file}:{row.line}: {kind}: {row.message}")
        if count > LISTED:
            self.stdout.write(f"… and {count - LISTED:,} more of this kind; --report FILE writes them all.")

    def summarise(self, records: FileRecords, counts: RecordCounts, *, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write("Dry run: nothing was changed. An import would give:")
        for label, count in (
            ("Rows read", records.rows_read),
            ("New", counts.created),
            ("Changed", counts.updated),
            ("Identical", counts.unchanged),
            ("Duplicates", records.rows_duplicate),
            ("Refused", records.rows_refused),
        ):
            self.stdout.write(f"{label:<12}{count:>9,}")


def write_report(path: Path, records: FileRecords) -> None:
    """Raises CommandError when it cannot be written."""
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "line", "kind", "reason"])
            for kind, rows in (("refused", records.problems()), ("duplicate", records.duplicates())):
                writer.writerows([row.file, row.line, kind, row.message] for row in rows)
    except OSError as error:
        raise CommandError(
            f"The report cannot be written to {path}: {error.strerror}. Nothing was imported."
        ) from error
