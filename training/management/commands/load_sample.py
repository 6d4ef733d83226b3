"""`load_sample`: something to try the product with."""

from typing import Any

from django.core.management.base import CommandError

from training.errors import NotAllowedNowError
from training.importing import load_sample
from training.management.acting import ActingCommand


class Command(ActingCommand):
    help = (
        "Loads the sample: invented anomalies of a power plant in French and English, scored and approved, "
        "and some unscored ones for the review queue. Always the same ones. Only into a database that holds "
        "no anomaly."
    )

    def handle(self, **options: Any) -> None:
        try:
            approved, pending = load_sample(user=self.user)
        except NotAllowedNowError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Sample loaded: {approved:,} approved anomalies, {pending:,} to review.")
