"""An installation for the fuzz: its database and files made, and what a sender of requests must know of it.

DATABASE_URL=… MEDIA_ROOT=… python -m tests.fuzzing.plant facts.json
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django


@dataclass(frozen=True, kw_only=True)
class Plant:
    """`rows`: keys by the part of a path that stands before them. The others let a superuser in."""

    rows: dict[str, Any]
    token: str
    session: str
    csrf: str
    lists: dict[str, list[str]]  # the admin's, with the parameters that each knows
    pages: list[str]  # all addresses of the URLconf, with rows in them
    patterns: list[str]  # the same with {} in the place of each row

    @classmethod
    def read(cls, path: Path) -> "Plant":
        return cls(**json.loads(path.read_text(encoding="utf-8")))


def make() -> Plant:
    """Migrate, and store one of each: a version and a backup with files, and rows of every other kind."""
    from django.contrib.auth.models import User  # noqa: PLC0415  # Django is set up by now
    from django.contrib.sessions.backends.db import SessionStore  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415
    from rest_framework.authtoken.models import Token  # noqa: PLC0415

    from tests.routes import address, one_of_each, routes  # noqa: PLC0415
    from tests.trained import approved_records, trained_version  # noqa: PLC0415
    from training import backups  # noqa: PLC0415
    from training.models import Backup, ModelVersion  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    owner = User.objects.create_superuser("fuzzer", password="f" * 20)
    rows = one_of_each()
    ModelVersion.objects.update(is_active=False)
    approved_records()
    version = trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    rows |= dict.fromkeys(("modelversion", "model-versions"), version.pk)
    rows |= {"backup": backup.pk, "backups": backup.name, "restore": backup.name}
    session = SessionStore()
    session.update(
        {
            "_auth_user_id": str(owner.pk),
            "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
            "_auth_user_hash": owner.get_session_auth_hash(),
        }
    )
    session.create()
    return Plant(
        rows=rows,
        token=Token.objects.create(user=owner).key,
        session=str(session.session_key),
        csrf="c" * 32,
        lists=_lists(owner),
        pages=[address(route, rows) for route in routes()],
        patterns=[address(route, _Anything()) for route in routes()],
    )


class _Anything(dict[str, str]):
    """A place to fill in, for every row."""

    def __init__(self) -> None:
        super().__init__(r="{}")


def _lists(owner: Any) -> dict[str, list[str]]:
    from django.contrib import admin  # noqa: PLC0415  # as above
    from django.urls import reverse  # noqa: PLC0415

    from tests.test_hostile_lists import OF_A_FIELD, SPECIAL, asked, parameters  # noqa: PLC0415

    found = {}
    for shown in admin.site._registry.values():
        opts = shown.model._meta
        known = parameters(shown, asked(owner, opts.label, {}))
        fields = [f"{field.name}{lookup}" for field in opts.concrete_fields for lookup in OF_A_FIELD]
        path = reverse(f"admin:{opts.app_label}_{opts.model_name}_changelist")
        found[path] = list(dict.fromkeys([*SPECIAL, *known, *fields]))
    return found


if __name__ == "__main__":
    django.setup()
    Path(sys.argv[1]).write_text(json.dumps(asdict(make())), encoding="utf-8")
