"""Remove the files of old backups and old model versions, or of backups that are named."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from training import artifacts, backups, versions
from training.acts import note_act
from training.errors import NotAllowedNowError, StorageError
from training.management.acting import ActingCommand
from training.models import Backup


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a number of 1 or more is needed, not {text!r}")
    return int(text)


class Command(ActingCommand):
    help = (
        "Remove the files of old backups and old model versions, and what crashes left behind. Kept are the "
        "newest KEEP_BACKUPS and KEEP_MODEL_VERSIONS that differ from the one before (the training "
        "schedule's page in the admin goes before both settings), the newest of each of the last days and "
        "weeks, backups made by hand, the active version, the one before it and the newest backup that "
        "holds what serves, and whatever is quarantined. With names, the files of just these "
        "backups are removed. The rows stay."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="remove these backups and nothing else")
        parser.add_argument(
            "--keep",
            type=at_least_one,
            metavar="N",
            help=f"backups to keep, instead of what the page or KEEP_BACKUPS ({settings.KEEP_BACKUPS}) says",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be removed, remove nothing"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        try:
            artifacts.require_own_storage()
        except StorageError as error:
            raise CommandError(str(error)) from error
        if options["names"]:
            self._remove_named(options["names"], is_trial=options["dry_run"])
        else:
            self._remove_old(options)

    def _remove_named(self, names: list[str], *, is_trial: bool) -> None:
        found = {backup.name: backup for backup in Backup.objects.available().filter(name__in=names)}
        if missing := [name for name in names if name not in found]:
            raise CommandError(f"There is no backup {missing[0]!r}. Nothing was removed.")
        for backup in found.values():
            if not is_trial:
                try:
                    backups.remove_backup(backup=backup)
                except NotAllowedNowError as error:
                    raise CommandError(str(error)) from error
                note_act(user=self.user, row=backup, act="Remove")
            self.stdout.write(f"{'Would remove' if is_trial else 'Removed'} {backup.path}")

    def _remove_old(self, options: dict[str, Any]) -> None:
        old_backups = backups.prunable_backups(keep=options["keep"])
        old_versions = versions.prunable_versions()
        word = "Would remove" if options["dry_run"] else "Removed"
        old: list[artifacts.Stored] = [*old_backups, *old_versions]
        for stored in old:
            if not options["dry_run"]:
                self._remove(stored)
            self.stdout.write(f"{word} {stored.path}")
        if not options["dry_run"]:
            for name in artifacts.sweep():
                self.stdout.write(f"Removed {name}, left by a crash")
        self.stdout.write(f"{word} {len(old_backups)} backups and {len(old_versions)} model versions.")

    def _remove(self, stored: artifacts.Stored) -> None:
        try:
            artifacts.remove(stored)
        except NotAllowedNowError as error:
            raise CommandError(str(error)) from error
        note_act(user=self.user, row=stored, act="Remove")
