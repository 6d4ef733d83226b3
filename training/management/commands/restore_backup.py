"""Put the models and the training set of a backup back."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from training.errors import StorageError, TrainingError
from training.management.acting import ActingCommand
from training.models import Backup
from training.restoring import RestorePreview, preview_restore, restore_backup
from training.upkeep import newest_backup


class Command(ActingCommand):
    help = (
        "Make the models of a backup serve again, and its records the training set. Says first what will "
        "change, and asks on a terminal. Nothing is lost: a backup of the present is made before, approved "
        "records that the backup does not hold go back to the review queue, and every change is kept in the "
        "history. Either all of it happens or nothing, even when it is killed. Refused during a training."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("name", nargs="?", metavar="NAME", help="for example backup_20241205_143022")
        which.add_argument(
            "--newest", action="store_true", help="the one made last that is not known to be damaged"
        )
        parser.add_argument(
            "--yes", action="store_true", help="do not ask; needed where there is no terminal"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        backup = self._chosen(options)
        try:
            self._say(preview_restore(backup=backup))
            if not (options["yes"] or self._agreed()):
                raise CommandError("Nothing was changed.")
            result = restore_backup(backup=backup, user=self.user, on_step=self._tell)
        except (TrainingError, StorageError) as error:
            raise CommandError(f"{error} Nothing was changed.") from error
        way_back = f"python manage.py restore_backup {result.safety_backup}"
        self.stdout.write(f"Restored from {backup.name}. The way back: {way_back}")

    def _chosen(self, options: dict[str, Any]) -> Backup:
        if options["newest"]:
            if (newest := newest_backup()) is None:
                raise CommandError("There is no backup that can be restored.")
            self.stdout.write(newest.name)
            return newest
        backup = Backup.objects.filter(name=options["name"]).first()
        if backup is None:
            raise CommandError(f"There is no backup {options['name']!r}.")
        return backup

    def _tell(self, step: str) -> None:
        self.stderr.write(f"{step} …")

    def _say(self, preview: RestorePreview) -> None:
        for line in (
            f"model: {preview.version_from or 'none'} → {preview.version_to or 'none'}",
            f"{preview.records_in_backup} records in the backup",
            f"{preview.records_to_pending} approved records go back to the review queue",
            f"{preview.records_reapproved} records are approved again",
            f"{preview.records_recreated} records are created again",
            f"{preview.scores_changed} records return to earlier scores",
            f"{preview.texts_changed} records return to earlier texts",
        ):
            self.stdout.write(line)

    def _agreed(self) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("Nobody to ask: pass --yes. Nothing was changed.")
        return input("Restore? [y/N] ").strip().lower() in {"y", "yes"}
