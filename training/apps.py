from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.signals import got_request_exception
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.db.models.signals import post_delete, post_save
from django.utils.translation import gettext_lazy as _


class TrainingConfig(AppConfig):
    name = "training"
    verbose_name = _("Training")

    def ready(self) -> None:
        # With DEBUG each connection keeps its last statements: those of a long import would fill the memory.
        BaseDatabaseWrapper.queries_limit = 1_000

        from training import checks, outages  # noqa: F401, PLC0415  # registers the system checks; needs the models
        from training.api import known_callers  # noqa: PLC0415  # as above
        from training.api.errors import mark_unavailable  # noqa: PLC0415  # as above

        connection_created.connect(outages.bound_waits, dispatch_uid="bound_waits")
        post_save.connect(known_callers.on_user_saved, sender="auth.User", dispatch_uid="known_users")
        for token in ("authtoken.Token", "authtoken.TokenProxy"):
            post_delete.connect(known_callers.on_token_deleted, sender=token, dispatch_uid=f"known_{token}")
        got_request_exception.connect(mark_unavailable, dispatch_uid="mark_unavailable")
        connection_created.connect(keep_sqlite_private, dispatch_uid="keep_sqlite_private")


def keep_sqlite_private(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """In production only the owner reads the plant's records: the file, and what SQLite keeps beside it."""
    if connection.vendor != "sqlite" or settings.DEBUG:
        return
    for end in ("", "-wal", "-shm"):
        path = Path(f"{connection.settings_dict['NAME']}{end}")
        with suppress(FileNotFoundError, PermissionError):  # not there yet, or another's: doctor tells that
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
