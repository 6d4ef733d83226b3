"""What the queue starts beside itself when the active version's files are damaged."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from training.processes import die_with_parent
from training.repairs import repair_active_version


class Command(BaseCommand):
    help = (
        "Puts the active version's files back from the newest backup that holds them and verifies, if they "
        "are damaged or missing. The queue starts it by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent", type=int, default=0, help="the process with which it ends")

    def handle(self, *, parent: int, **options: Any) -> None:
        if parent:
            die_with_parent(parent)
        backup = repair_active_version()
        self.stdout.write(f"Repaired from {backup}." if backup else "Nothing was repaired.")
