"""Copy model versions and backups from this machine's disk into the object storage that is configured."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training import artifacts, moving
from training.errors import StorageError, TrainingError
from training.shelves import is_local


class Command(BaseCommand):
    help = (
        "Copies the model versions and backups under MEDIA_ROOT into ARTIFACT_STORAGE, each verified here "
        "before and there afterwards; the files here stay. What is there already and verifies is not copied "
        "again, so it may be interrupted and run again. Exit code 1 when something could not be copied."
    )

    def handle(self, **_options: Any) -> None:
        if is_local():
            raise CommandError("ARTIFACT_STORAGE is not set: the artifacts are where they belong.")
        try:
            artifacts.require_own_storage()
        except StorageError as error:
            raise CommandError(str(error)) from error
        failed = 0
        for stored in moving.to_move():
            try:
                self.stdout.write(f"{stored.path} {moving.move(stored).value}")
            except (OSError, TrainingError) as error:
                failed += 1
                self.stderr.write(f"{stored.path}: {error}")
        if failed:
            raise CommandError(f"{failed} could not be copied.")
