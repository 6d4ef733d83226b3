"""What `make run` does before the processes start: each step is skipped when it is already done."""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from anomalyproject.env import env_str
from training.models import Anomaly, ModelVersion

LOCK = 5_177_202_412  # any number, as long as it is always the same


class Command(BaseCommand):
    help = (
        "Prepares an installation: database, admin user (ADMIN_USERNAME, ADMIN_PASSWORD; a password is "
        "generated and printed once), the sample if there is no anomaly yet, and a first model version. "
        "Stops with a message when HOST:PORT is taken. Running it again changes nothing."
    )

    def handle(self, **options: Any) -> None:
        require_free_port(settings.HOST, settings.PORT)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        with one_node_at_a_time():
            call_command("migrate", verbosity=0)
            self.create_admin()
            if not Anomaly.objects.exists():
                call_command("load_sample")
            if not ModelVersion.objects.exists() and Anomaly.objects.approved().exists():
                call_command("train", activate=True)
        self.say_where_to_go()

    def create_admin(self) -> None:
        if User.objects.filter(is_superuser=True).exists():
            return
        name = env_str("ADMIN_USERNAME", "admin")
        password = env_str("ADMIN_PASSWORD") or secrets.token_urlsafe(12)
        User.objects.create_superuser(name, password=password)
        given = env_str("ADMIN_PASSWORD")
        shown = "the password of ADMIN_PASSWORD" if given else f"password {password} (shown this once)"
        self.stdout.write(self.style.SUCCESS(f"Admin user {name}, {shown}"))

    def say_where_to_go(self) -> None:
        host = f"[{settings.HOST}]" if ":" in settings.HOST else settings.HOST
        root = f"http://{host}:{settings.PORT}"
        self.stdout.write(
            self.style.SUCCESS(
                f"Start page  {root}/admin/\nREST API    {root}/api/v1/docs/\nHealth      {root}/health\n"
                "Stop with Ctrl-C."
            )
        )


@contextmanager
def one_node_at_a_time() -> Iterator[None]:
    """Nodes that start together on a PostgreSQL prepare it one after the other; elsewhere there is one."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def require_free_port(host: str, port: int) -> None:
    """Raises CommandError when nothing can listen there: a second server would only half start."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CommandError(
                f"{host}:{port} cannot be used ({error.strerror}). Stop what listens there, or choose "
                f"another port: make run PORT={port + 1}"
            ) from error
