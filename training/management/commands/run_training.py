"""The training subprocess."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from training.processes import die_with_parent
from training.runner import leave_when_lost, run_attempt


class Command(BaseCommand):
    help = (
        "Internal: one attempt at a training session, started and supervised by a queue worker or by "
        "`train`. It ends with the process that started it. To train by hand, use `train`."
    )
    requires_system_checks = []  # its supervisor passed them; a training should not wait for them again

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("session", type=int, help="the session's number")
        parser.add_argument("--attempt", type=int, required=True, help="the attempt that holds the session")
        parser.add_argument("--parent", type=int, required=True, help="the supervisor's process number")

    def handle(self, *, session: int, attempt: int, parent: int, **options: Any) -> None:
        die_with_parent(parent)
        leave_when_lost(session, attempt)
        run_attempt(session, attempt)
