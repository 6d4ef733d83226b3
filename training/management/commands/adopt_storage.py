"""Make a storage this installation's."""

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.shelves import StorageRoot, roots
from training.shelves.ownership import adopt, contents_of, mark_of, why_foreign

SHOWN = 5


class Command(BaseCommand):
    help = (
        "Says whose the storage of models and backups is, what stands there, and how much of it this "
        "database knows; then makes it this installation's, after asking on a terminal. To be used by an "
        "heir alone: after the loss of a machine, or when the database has moved. An installation that still "
        "uses the storage can change nothing there any more. Only the mark is changed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--yes", action="store_true", help="do not ask; needed where there is no terminal"
        )

    def handle(self, *, yes: bool, **_options: Any) -> None:
        try:
            for root in roots():
                self._look_at(root, agreed=yes)
        except OSError as error:
            raise CommandError(f"{error.strerror or error}") from error

    def _look_at(self, root: StorageRoot, *, agreed: bool) -> None:
        if not (reason := why_foreign(root)):
            self.stdout.write(f"{root.where} is this installation's.")
            return
        self._show(root, reason)
        if not (agreed or self._agreed()):
            raise CommandError("Nothing was changed.")
        adopt(root)
        self.stdout.write(f"{root.where} is this installation's now.")

    def _show(self, root: StorageRoot, reason: str) -> None:
        mark, contents = mark_of(root), contents_of(root)
        self.stdout.write(reason)
        if mark is not None:
            self.stdout.write(f"Its mark: {mark.installation}, by {mark.marked_by} on {mark.marked_at}")
        for words, found in (
            ("are known to this database", contents.known),
            ("are not: signed with its keys, damaged, or left by a crash", contents.unclear),
            ("are not, and are signed with other keys", contents.strange),
        ):
            newest = ", ".join(sorted(found, reverse=True)[:SHOWN])
            self.stdout.write(f"{len(found)} {words}{f': {newest}' if newest else ''}")

    def _agreed(self) -> bool:
        if not sys.stdin.isatty():
            raise CommandError("Nobody to ask: pass --yes. Nothing was changed.")
        return input("Make it this installation's? [y/N] ").strip().lower() in {"y", "yes"}
