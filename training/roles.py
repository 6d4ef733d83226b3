"""The four roles, as groups; and who may hand out which power.

The groups are made by migrations, so they exist on every installation; what a customer changes in them
afterwards stays. A later migration that brings permissions gives them to the roles with `give`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.apps import apps as present_apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Q, QuerySet
from django.utils.translation import gettext_lazy as _

# What each role is for, by the group's name.
ROLES = {
    "viewer": _("sees everything of the loop and changes nothing"),
    "reviewer": _("reports, imports and reviews anomalies"),
    "trainer": _("trains, activates, backs up and restores models, and sets the schedule"),
    "administrator": _("all of that, and users, groups, tokens and notices"),
}


# How a role is called; a group that somebody made is called as it is named.
NAMES = {
    "viewer": _("viewer"),
    "reviewer": _("reviewer"),
    "trainer": _("trainer"),
    "administrator": _("administrator"),
}


def name_of(group: Group) -> str:
    """In the reader's language; the row keeps its name, which migrations go by."""
    return str(NAMES.get(group.name, group.name))


# --- For migrations ----------------------------------------------------------------------------


def create(roles: Mapping[str, Iterable[str]], *, apps: Any, using: str) -> None:
    """Make each group that does not exist yet, with exactly these permissions ("training.view_anomaly").

    `apps` are those of the migration. A group of that name is somebody's own and stays as it is.
    """
    groups = apps.get_model("auth", "Group").objects.using(using)
    for name, permissions in roles.items():
        if not groups.filter(name=name).exists():
            group = groups.create(name=name)
            group.permissions.set(_permissions(permissions, apps=apps, using=using))


def give(roles: Mapping[str, Iterable[str]], *, apps: Any, using: str) -> None:
    """Add the permissions that a release brings to the groups that are still there."""
    for group in apps.get_model("auth", "Group").objects.using(using).filter(name__in=roles):
        group.permissions.add(*_permissions(roles[group.name], apps=apps, using=using))


def _permissions(names: Iterable[str], *, apps: Any, using: str) -> list[Any]:
    """Their rows, made now where migrate has not made them yet; ValueError for one that no model has."""
    wanted = {(label, codename) for label, _dot, codename in (name.partition(".") for name in names)}
    for label in {label for label, _codename in wanted}:
        create_permissions(present_apps.get_app_config(label), verbosity=0, using=using, apps=apps)
    permissions = apps.get_model("auth", "Permission").objects.using(using).select_related("content_type")
    rows = permissions.filter(codename__in={codename for _label, codename in wanted})
    found = {(row.content_type.app_label, row.codename): row for row in rows}
    if missing := wanted - found.keys():
        raise ValueError(f"There are no such permissions: {sorted(missing)}")
    return [found[name] for name in wanted]


# --- For those who manage people ---------------------------------------------------------------


def grantable(manager: User) -> QuerySet[Permission]:
    """What this user may give to others: nothing beyond what they have."""
    if manager.is_superuser:
        return Permission.objects.all()
    return Permission.objects.filter(Q(user=manager) | Q(group__user=manager)).distinct()


def grantable_groups(manager: User) -> QuerySet[Group]:
    return Group.objects.exclude(permissions__in=_beyond(manager))


def manageable(manager: User) -> QuerySet[User]:
    """Whose account and token this user may change: people with no more power than their own.

    Whoever sets a password, or makes a token, can act as that person.
    """
    if manager.is_superuser:
        return User.objects.all()
    beyond = _beyond(manager)
    return (
        User.objects.filter(is_superuser=False)
        .exclude(user_permissions__in=beyond)
        .exclude(groups__permissions__in=beyond)
    )


def _beyond(manager: User) -> QuerySet[Permission]:
    return Permission.objects.exclude(pk__in=grantable(manager).values("pk"))
