"""`export_training_data DIR`: the approved anomalies as the customer's three CSVs."""

from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from django.core.management.base import BaseCommand, CommandError

from training.datafiles import CUSTOMER_FILES, write_customer_files
from training.frames import iter_approved
from training.management.progress import track
from training.models import Anomaly


class Command(BaseCommand):
    help = (
        "Writes the approved anomalies, oldest first, to DIR as disponibilite.csv, fiabilite.csv and "
        "process_safty.csv, in the customer's format. import_anomalies reads them back to the same records: "
        "when ids cannot be derived from the rows, a last column anomaly_id has them, and texts that a "
        "spreadsheet might run as a formula begin with a ', which the import takes off."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("directory", type=Path, metavar="DIR", help="created when it does not exist")
        parser.add_argument("--force", action="store_true", help="replace files of an earlier export")

    def handle(self, **options: Any) -> None:
        directory: Path = options["directory"]
        taken = [name for name in CUSTOMER_FILES.values() if (directory / name).exists()]
        if taken and not options["force"]:
            raise CommandError(f"{directory} already holds {', '.join(taken)}. --force replaces them.")
        total = Anomaly.objects.approved().count()
        if not total:
            raise CommandError("There is no approved anomaly to export.")

        def read_frames() -> Iterator[pd.DataFrame]:
            return track(iter_approved(), total=total, label="Writing", size=len)

        try:
            directory.mkdir(parents=True, exist_ok=True)
            rows = write_customer_files(directory, read_frames)
        except OSError as error:
            raise CommandError(f"{directory} cannot be written: {error.strerror}.") from error
        self.stdout.write(f"{rows:,} anomalies written to {directory}")
