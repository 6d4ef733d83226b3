from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = _("Training")

    def ready(self) -> None:
        # With DEBUG each connection keeps its last statements: those of a long import would fill the memory.
        BaseDatabaseWrapper.queries_limit = 1_000

        connection_created.connect(keep_sqlite_private)

        from training import checks  # noqa: F401, PLC0415  # registers the system checks; needs the models


def keep_sqlite_private(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """In production only the owner reads the plant's records: the file, and what SQLite keeps beside it."""
    if connection.vendor != "sqlite" or settings.DEBUG:
        return
    for end in ("", "-wal", "-shm"):
        path = Path(f"{connection.settings_dict['NAME']}{end}")
        with suppress(FileNotFoundError, PermissionError):  # not there yet, or another's: doctor tells that
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
