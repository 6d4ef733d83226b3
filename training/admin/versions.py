"""Model versions and the time line of what served."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from training import versions
from training.admin import labels
from training.admin.base import Confirmation, ReadOnlyAdmin, confirmed, existing, person
from training.admin.figures import figures_of
from training.models import Activation, ModelVersion


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "state",
        "created_at",
        "dataset_rows",
        "held_out_mae",
        "verdict",
        "size",
    )
    search_fields = ("id__exact", "name")
    actions_detail = ("activate",)
    change_form_outer_before_template = "admin/training/version_figures.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("state", "created_at", "session"),
                    ("dataset_rows", "dataset_read_at"),
                    ("size", "verified_at"),
                    "verification_error",
                    ("name", "pruned_at"),
                    "digest",
                    "dataset_fingerprint",
                    "libraries",
                )
            },
        ),
    )

    @display(description=gettext_lazy("version"), ordering="id")
    def number(self, version: ModelVersion) -> str:
        return str(version)

    @display(description=gettext_lazy("state"))
    def state(self, version: ModelVersion) -> SafeString:
        if version.is_active:
            return labels.badge(_("active"), "success")
        if version.pruned_at is not None:
            return labels.badge(_("files removed"), "default")
        if version.verification_error:
            return labels.badge(_("damaged"), "danger")
        return labels.badge(_("stored"), "info")

    @display(description=gettext_lazy("held-out MAE (A · F · S)"))
    def held_out_mae(self, version: ModelVersion) -> str:
        return labels.held_out_maes(version)

    @display(description=gettext_lazy("beside the champion"))
    def verdict(self, version: ModelVersion) -> str:
        return labels.verdict(version)

    @display(description=gettext_lazy("size"), ordering="size_bytes")
    def size(self, version: ModelVersion) -> str:
        return filesizeformat(version.size_bytes)

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        version = self.get_object(request, object_id)
        figures = {} if version is None else figures_of(version)
        context = {"figures": figures, **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    # --- Activate ------------------------------------------------------------------------------

    def has_activate_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.activate_modelversion")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        version = self.get_object(request, str(object_id))
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        return [] if version is None or version.is_active or version.pruned_at else allowed

    @action(
        description=gettext_lazy("Activate"),
        permissions=["activate"],
        icon="bolt",
        variant=ActionVariant.PRIMARY,
    )
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = existing(self, request, object_id)

        def act() -> str:
            versions.activate_version(version=version, user=person(request))
            return _("%(version)s serves now, in every web process.") % {"version": version}

        then = reverse("admin:training_modelversion_change", args=[version.pk])
        return confirmed(request, admin=self, ask=lambda: _before_activation(version), act=act, then=then)


def _before_activation(version: ModelVersion) -> Confirmation:
    champion = ModelVersion.objects.active()
    changes = [
        switch_in_words(champion, version),
        _("Held-out MAE (availability · fiability · safety) of %(version)s: %(mae)s")
        % {"version": version, "mae": labels.held_out_maes(version)},
    ]
    if champion is not None:
        changes.append(
            _("Held-out MAE (availability · fiability · safety) of %(version)s: %(mae)s")
            % {"version": champion, "mae": labels.held_out_maes(champion)}
        )
    changes.append(labels.verdict(version))
    changes.append(_("The files are verified first; a version that cannot be loaded never serves."))
    return Confirmation(
        title=_("Activate %(version)s?") % {"version": version},
        changes=changes,
        way_back=_("%(champion)s stays stored and can be activated again.") % {"champion": champion}
        if champion
        else "",
        button=_("Activate"),
    )


def switch_in_words(old: ModelVersion | None, new: ModelVersion | None) -> str:
    """version 12 → version 9"""
    none = _("no model")
    if old == new:
        return _("The model stays: %(version)s.") % {"version": new or none}
    return _("The model that serves changes: %(old)s → %(new)s.") % {"old": old or none, "new": new or none}


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin):
    """The time line: which version served from when, why, and by whom."""

    list_display = ("activated_at", "version_or_none", "reason", "activated_by")
    list_select_related = ("version", "activated_by")
    list_filter = (("reason", ChoicesCheckboxFilter),)
    list_filter_submit = True

    @display(description=gettext_lazy("model version"), ordering="version")
    def version_or_none(self, activation: Activation) -> str:
        return str(activation.version or _("no model"))
