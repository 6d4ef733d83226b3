"""The training subprocess."""

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from anomalyproject.logs import log_process_with
from training.launcher import serve_orders
from training.processes import die_with_parent, lower_priority, tie_forks_to_their_parents
from training.runner import leave_when_lost, run_attempt


class Command(BaseCommand):
    help = (
        "Internal: loads what a training needs and forks a process for each attempt that a queue worker or "
        "`train` asks for on its standard input. It ends with the process that started it. To train by "
        "hand, use `train`."
    )
    requires_system_checks = []  # its supervisor passed them; a training should not wait for them again

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--parent", type=int, required=True, help="the supervisor's process number")

    def handle(self, *, parent: int, **options: Any) -> None:
        die_with_parent(parent)
        lower_priority()
        serve_orders(train)


def train(session: int, attempt: int) -> None:
    log_process_with(session=session, attempt=attempt)
    tie_forks_to_their_parents()
    leave_when_lost(session, attempt)
    run_attempt(session, attempt)
