"""Read backups back, and say which of them are sound."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from training.acts import note_act
from training.backups import verify_backup
from training.errors import BackupError
from training.management.acting import ActingCommand
from training.models import Backup


class Command(ActingCommand):
    help = (
        "Read a backup back: the signature, every file's digest, every record, and the models predict. "
        "Exit status 1 when one fails; what fails is quarantined, never deleted, and free again once it "
        "verifies. Nothing in a backup is loaded before its digests were found right."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("name", nargs="?", metavar="NAME", help="for example backup_20241205_143022")
        which.add_argument(
            "--all", action="store_true", help="every backup whose files are kept, newest first"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        backups = list(Backup.objects.available())
        if not options["all"]:
            backups = list(Backup.objects.filter(name=options["name"]))
            if not backups:
                raise CommandError(f"There is no backup {options['name']!r}.")
        damaged = [
            backup for n, backup in enumerate(backups, 1) if not self._verify(backup, f"{n}/{len(backups)}")
        ]
        if damaged:
            raise CommandError(f"{len(damaged)} of {len(backups)} cannot be used.")

    def _verify(self, backup: Backup, place: str) -> bool:
        try:
            verify_backup(backup=backup)
        except BackupError as error:
            self.stdout.write(f"{place} {backup.name}: {error}")
            return False
        note_act(user=self.user, row=backup, act="Verify")
        self.stdout.write(f"{place} {backup.name}: sound, {backup.record_count} records")
        return True
