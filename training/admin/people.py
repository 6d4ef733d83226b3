"""Users, groups, API tokens and failed logins, in the look of the rest."""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from rest_framework.authtoken import admin as _registered_first  # noqa: F401 — registers what is replaced here
from rest_framework.authtoken.admin import TokenAdmin
from rest_framework.authtoken.models import TokenProxy
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from training.admin.base import ReadOnlyAdmin, person

admin.site.unregister([User, Group, TokenProxy])


@admin.register(User)
class PersonAdmin(UserAdmin, ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    compressed_fields = False


@admin.register(Group)
class TeamAdmin(GroupAdmin, ModelAdmin):
    compressed_fields = False


@admin.register(TokenProxy)
class KeyAdmin(TokenAdmin, ModelAdmin):
    """A key is worth its user's whole power, so superusers alone see and make them."""

    list_display = ("user", "beginning", "created")

    @display(description=gettext_lazy("key"))
    def beginning(self, token: TokenProxy) -> str:
        return f"{token.key[:6]}…"

    def has_module_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(request)


def is_superuser(request: HttpRequest) -> bool:
    return request.user.is_active and person(request).is_superuser


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyAdmin):
    """Deleting an entry lets the person try again at once."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "path_info", "failures_since_start", "attempt_time")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")
