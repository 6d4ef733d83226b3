"""The lists of versions and backups by the state that their badges show."""

from typing import ClassVar

from django.contrib.admin import ModelAdmin
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter

ACTIVE, REMOVED, DAMAGED = Q(is_active=True), Q(pruned_at__isnull=False), ~Q(verification_error="")


class StateFilter(DropdownFilter):
    title = _("state")
    parameter_name = "state"
    states: ClassVar[dict[str, tuple[Promise, Q]]]  # words and condition by value

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Model]"
    ) -> list[tuple[str, str | Promise]]:
        return [(value, words) for value, (words, _condition) in self.states.items()]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Model]") -> "QuerySet[Model]":
        chosen = self.states.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class VersionStateFilter(StateFilter):
    states = {
        "active": (_("active"), ACTIVE),
        "stored": (_("stored"), ~ACTIVE & ~REMOVED & ~DAMAGED),
        "damaged": (_("damaged"), ~ACTIVE & ~REMOVED & DAMAGED),
        "removed": (_("files removed"), ~ACTIVE & REMOVED),
    }


class BackupStateFilter(StateFilter):
    states = {
        "verified": (_("verified"), Q(verified_at__isnull=False) & ~REMOVED & ~DAMAGED),
        "unverified": (_("not verified"), Q(verified_at=None) & ~REMOVED & ~DAMAGED),
        "damaged": (_("damaged"), ~REMOVED & DAMAGED),
        "removed": (_("files removed"), REMOVED),
    }
