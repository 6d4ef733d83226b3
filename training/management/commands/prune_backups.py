"""Remove the files of old backups and old model versions."""

from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from training import artifacts, backups, versions
from training.acts import note_act
from training.errors import NotAllowedNowError
from training.management.acting import ActingCommand


def at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a number of 1 or more is needed, not {text!r}")
    return int(text)


class Command(ActingCommand):
    help = (
        "Remove the files of old backups (all but the newest KEEP_BACKUPS) and of old model versions (all "
        "but the newest KEEP_MODEL_VERSIONS; the training schedule's page in the admin goes before both "
        "settings), and what crashes left behind. The active version and the "
        "newest backup that holds it always stay, and so does whatever is quarantined. The rows stay too."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
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
