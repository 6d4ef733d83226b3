"""The four roles as the migration makes them, for tests: another test may have emptied the database."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

from django.apps import apps
from django.contrib.auth.models import Group, User
from django.db import connection

import predictions.migrations
import training.migrations
from tests.factories import UserFactory

ROLES = ("viewer", "reviewer", "trainer", "administrator")


def migration() -> ModuleType:
    """The one that made the groups."""
    (path,) = Path(training.migrations.__path__[0]).glob("0008_*.py")
    return import_module(f"training.migrations.{path.stem}")


def given_later() -> Iterator[ModuleType]:
    """The migrations that brought permissions to the roles since."""
    for package in (training.migrations, predictions.migrations):
        for path in sorted(Path(package.__path__[0]).glob("[0-9]*.py")):
            module = import_module(f"{package.__name__}.{path.stem}")
            if hasattr(module, "give"):
                yield module


def make_roles() -> None:
    """Make what the migrations made, where a test before this one emptied all tables."""
    if Group.objects.filter(name__in=ROLES).count() < len(ROLES):
        run_migrations()


def run_migrations() -> None:
    """Make the roles and give them what releases brought since."""
    editor = connection.schema_editor()
    migration().create_roles(apps, editor)
    for module in given_later():
        module.give(apps, editor)


def user_as(role: str, **changes: object) -> User:
    make_roles()
    user: User = UserFactory.create(**{"is_staff": True, "email": f"{role}@plant.example", **changes})
    user.groups.add(Group.objects.get(name=role))
    return user


def permissions_of(role: str) -> set[str]:
    rows = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {f"{label}.{codename}" for label, codename in rows}
