"""Users, groups, API tokens and failed logins, in the look of the rest.

Whoever manages people without being a superuser hands out no power beyond their own: `training.roles`.
"""

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin, messages
from django.contrib.admin.options import IS_POPUP_VAR
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db.models import ForeignKey, ManyToManyField, Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework.authtoken import admin as _registered_first  # noqa: F401 — registers what is replaced here
from rest_framework.authtoken.admin import TokenAdmin, TokenChangeList
from rest_framework.authtoken.models import TokenProxy
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from training import roles
from training.admin import labels
from training.admin.base import ReadOnlyAdmin, person
from training.admin.change_lists import CheckedChangeList, CheckedListAdmin

admin.site.unregister([User, Group, TokenProxy])
# Django's pages, messages and log name a row by this, and a key is shown once.
TokenProxy.__str__ = lambda token: f"{token.key[:6]}…"  # type: ignore[method-assign, attr-defined]
# Wherever a group is shown or chosen: lists, filters, forms, titles, messages.
Group.__str__ = roles.name_of  # type: ignore[method-assign, assignment]

FOR_SUPERUSERS = ("is_superuser", "user_permissions")


@admin.register(User)
class PersonAdmin(UserAdmin, CheckedListAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    compressed_fields = False
    list_display = ("username", "full_name", "email", "role_names", "state", "last_login")
    list_filter = ("is_active", "is_staff", "groups")
    list_per_page = 50
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("username", "usable_password", "password1", "password2"),
            },
        ),
        (gettext_lazy("Person"), {"fields": (("first_name", "last_name"), "email")}),
        (gettext_lazy("Role"), {"fields": ("groups", "is_staff")}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related(Prefetch("groups"))

    @display(description=gettext_lazy("name"), ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description=gettext_lazy("roles"))
    def role_names(self, user: User) -> str:
        names = [_("everything (superuser)")] if user.is_superuser else []
        return ", ".join([*names, *(str(group) for group in user.groups.all())]) or "–"

    @display(description=gettext_lazy("state"), ordering="is_active")
    def state(self, user: User) -> SafeString:
        if not user.is_active:
            return labels.badge(_("switched off"), "default")
        if not user.is_staff:
            return labels.badge(_("API only"), "info")
        return labels.badge(_("may log in"), "success")

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and _manages(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Nobody: who leaves is switched off, and what they did keeps their name."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = super().get_readonly_fields(request, obj)
        return fields if person(request).is_superuser else (*fields, *FOR_SUPERUSERS)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().get_changeform_initial_data(request), "is_staff": True}

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "groups":
            kwargs["queryset"] = roles.grantable_groups(person(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)


@admin.register(Group)
class TeamAdmin(GroupAdmin, CheckedListAdmin):
    compressed_fields = False
    list_display = ("role_name", "purpose", "members")

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("user_set")

    def get_form(
        self, request: HttpRequest, obj: Group | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """What is edited is the row's name; a role says how it is shown."""
        form = super().get_form(request, obj, change, **kwargs)
        if obj is not None and str(obj) != obj.name and "name" in form.base_fields:
            form.base_fields["name"].help_text = _("Shown as: %(name)s") % {"name": obj}
        return form

    @display(description=gettext_lazy("name"), ordering="name")
    def role_name(self, group: Group) -> str:
        return str(group)

    @display(description=gettext_lazy("what it is for"))
    def purpose(self, group: Group) -> str:
        return str(roles.ROLES.get(group.name, "–"))

    @display(description=gettext_lazy("members"))
    def members(self, group: Group) -> str:
        return ", ".join(sorted(user.get_username() for user in group.user_set.all())) or "–"

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_change_permission(request, obj) and _may_grant(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return super().has_delete_permission(request, obj) and _may_grant(request, obj)

    def formfield_for_manytomany(
        self, db_field: "ManyToManyField[Any, Any]", request: HttpRequest | None = None, **kwargs: Any
    ) -> Any:
        if request is not None and db_field.name == "permissions":
            kwargs["queryset"] = roles.grantable(person(request))
        return super().formfield_for_manytomany(db_field, request, **kwargs)


class KeyChangeList(CheckedChangeList, TokenChangeList):
    """Its rows are named by their users."""


@admin.register(TokenProxy)
class KeyAdmin(TokenAdmin, CheckedListAdmin):
    """A key is worth its user's whole power: made and revoked by those who manage that user. Shown once."""

    list_display = ("user", "beginning", "created")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeyChangeList]:
        return KeyChangeList

    def get_queryset(self, request: HttpRequest) -> "QuerySet[TokenProxy]":
        return super().get_queryset(request).filter(user__in=roles.manageable(person(request)))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Not as a pop-up, whose rows carry their primary key: here that is the key itself."""
        if IS_POPUP_VAR in request.GET:
            raise PermissionDenied
        return super().changelist_view(request, extra_context)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No list of the keys that begin with what somebody guesses."""
        is_key = lookup.startswith(("key", "pk"))  # which are the same
        return not is_key and super().lookup_allowed(lookup, value, request)

    @display(description=gettext_lazy("key"))
    def beginning(self, token: TokenProxy) -> str:
        return str(token)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """One at a time, since its key is to be copied."""
        buttons = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def has_change_permission(self, request: HttpRequest, obj: TokenProxy | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: TokenProxy | None = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or _manages(request, obj.user))

    def formfield_for_foreignkey(
        self, db_field: "ForeignKey[Any, Any]", request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "user":
            kwargs["queryset"] = roles.manageable(person(request)).filter(is_active=True, auth_token=None)
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def response_add(
        self, request: HttpRequest, obj: TokenProxy, post_url_continue: Any = None
    ) -> HttpResponse:
        text = _("The key of %(user)s is %(key)s. Copy it now: it is not shown again.")
        messages.warning(request, text % {"user": obj.user, "key": obj.key})
        response: HttpResponse = self.response_post_save_add(request, obj)
        return response


@admin.register(AccessAttempt)
class FailedLoginAdmin(ReadOnlyAdmin):
    """Deleting an entry lets the person try again at once."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time")
    search_fields = ("username", "ip_address")
    fields = ("username", "ip_address", "user_agent", "path_info", "failures_since_start", "attempt_time")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.has_perm("axes.delete_accessattempt")


def _manages(request: HttpRequest, user: User | None) -> bool:
    return user is None or roles.manageable(person(request)).filter(pk=user.pk).exists()


def _may_grant(request: HttpRequest, group: Group | None) -> bool:
    return group is None or roles.grantable_groups(person(request)).filter(pk=group.pk).exists()
