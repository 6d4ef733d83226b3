"""Users, groups, API tokens and failed logins, in the look of the rest."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from rest_framework.authtoken import admin as _registered_first  # noqa: F401 — registers what is replaced here
from rest_framework.authtoken.admin import TokenAdmin
from rest_framework.authtoken.models import TokenProxy
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from training.admin.base import ReadOnlyAdmin

admin.site.unregister([User, Group, TokenProxy])


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[misc,type-arg]  # unfold carries no types
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm


@admin.register(Group)
class TeamAdmin(GroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    pass


@admin.register(TokenProxy)
class KeyAdmin(TokenAdmin, ModelAdmin):  # type: ignore[misc]  # unfold carries no types
    """A key opens the API with all of its user's permissions."""


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyAdmin):
    """Deleting an entry lets the person try again at once."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "path_info", "failures_since_start", "attempt_time")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")
