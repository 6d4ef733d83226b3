"""What the queue starts beside itself for the files."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from training.errors import BackupError, StorageError
from training.processes import die_with_parent, lower_priority
from training.upkeep import keep_up


class Command(BaseCommand):
    help = (
        "Reads the active version and the newest backup back when that was not done lately "
        "(VERIFY_EVERY_HOURS), and makes a backup when the newest is older than BACKUP_EVERY_DAYS. The queue "
        "starts it by itself."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent", type=int, default=0, help="the process with which it ends")

    def handle(self, *, parent: int, **options: Any) -> None:
        if parent:
            die_with_parent(parent)
            lower_priority()
        try:
            keep_up()
        except (BackupError, StorageError) as error:
            raise CommandError(str(error)) from error
