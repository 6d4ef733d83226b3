"""Take in the backups of another machine."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.adopting import adopt_backups
from training.errors import StorageError


class Command(BaseCommand):
    help = (
        "Makes the database know the backups whose directories stand under MEDIA_ROOT/model_backups: after "
        "the loss of a machine, copy them there and give their ARTIFACT_SIGNING_KEYS. Each is verified "
        "first. The next step is restore_backup. Exit status 1 when one was left out."
    )

    def handle(self, **options: Any) -> None:
        problems: list[str] = []
        try:
            adopted = adopt_backups(on_problem=problems.append)
        except StorageError as error:
            raise CommandError(str(error)) from error
        for backup in adopted:
            model = backup.model_version or "no model"
            self.stdout.write(f"{backup.name}: {backup.record_count} records, {model}")
        for problem in problems:
            self.stderr.write(problem)
        if adopted:
            self.stdout.write(f"Next: python manage.py restore_backup {adopted[-1].name}")
        elif not problems:
            self.stdout.write("Every backup is known already.")
        if problems:
            raise CommandError(f"{len(problems)} left out, {len(adopted)} taken in.")
