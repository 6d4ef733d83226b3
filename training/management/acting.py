"""Commands that write say on whose behalf, so that what they change has an author like any other change."""

import getpass
from typing import Any

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser


class ActingCommand(BaseCommand):
    """`--user NAME` is kept wherever a change keeps who made it; without it nobody of the product did."""

    user: User | None = None

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.add_argument(
            "--user", default="", metavar="NAME", help="on whose behalf; kept with everything that changes"
        )
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.user = _named(options["user"])
        return super().execute(*args, **options)

    @property
    def by(self) -> str:
        """Who runs the command, for a reason: the product's user, or else the machine's."""
        if self.user is not None:
            return f"by {self.user.get_username()}"
        return f"by the system account {system_account()}"


def system_account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in containers
        return "unknown"


def _named(name: str) -> User | None:
    """Raises CommandError when there is no such user, or the account is switched off."""
    if not name:
        return None
    user = User.objects.filter(username=name, is_active=True).first()
    if user is None:
        raise CommandError(f"There is no active user {name!r}.")
    return user
