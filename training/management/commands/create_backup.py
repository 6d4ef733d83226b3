"""Keep the active models and the training set, as they are now."""

from typing import Any

from django.core.management.base import CommandError
from django.template.defaultfilters import filesizeformat

from training.backups import create_backup
from training.errors import BackupError, StorageError
from training.management.acting import ActingCommand
from training.models import Backup


class Command(ActingCommand):
    help = (
        "Keep the models that serve and all approved records in MEDIA_ROOT/model_backups/backup_<date>_<time>"
        " as copies of the model files, three CSVs in the customer's format, and a signed manifest. The "
        "time is UTC. The backup is read back before it counts. Trainings and reviews may go on meanwhile."
    )

    def handle(self, *_args: Any, **_options: Any) -> None:
        self.stderr.write("Writing the records and the models, then reading them back …")
        try:
            backup = create_backup(kind=Backup.Kind.MANUAL, user=self.user)
        except (BackupError, StorageError) as error:
            raise CommandError(str(error)) from error
        version = f"model {backup.model_version.name}" if backup.model_version else "no model"
        self.stdout.write(
            f"{backup.name}: {backup.record_count} records, {version}, {filesizeformat(backup.size_bytes)}"
        )
