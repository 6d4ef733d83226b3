"""Suggestions for the review queue, from the active model version."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from predictions.services import serving_model, suggest_in_chunks, unsuggested
from training.errors import ModelNotLoadedError
from training.management.progress import track


class Command(BaseCommand):
    help = (
        "Stores the scores that the active model version suggests for every pending anomaly that has no "
        "suggestion of this version yet. Reviewed scores are never touched. Running it again adds nothing."
    )

    def handle(self, **options: Any) -> None:
        try:
            waiting = unsuggested(serving_model()).count()
            chunks = track(suggest_in_chunks(), total=waiting, label="Suggesting", unit="anomalies", size=int)
            stored = sum(chunks)
        except ModelNotLoadedError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(self.style.SUCCESS(f"Suggestions stored for {stored:,} pending anomalies."))
