"""Suggestions for the review queue, from the active model version."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from predictions.services import suggest_pending
from training.errors import ModelNotLoadedError


class Command(BaseCommand):
    help = (
        "Stores the scores that the active model version suggests for every pending anomaly that has no "
        "suggestion of this version yet. Reviewed scores are never touched. Running it again adds nothing."
    )

    def handle(self, **options: Any) -> None:
        with tqdm(desc="Suggesting", unit=" anomalies", file=self.stderr, disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                stored = suggest_pending(on_progress=show)
            except ModelNotLoadedError as error:
                raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Suggestions stored for {stored} pending anomalies."))
