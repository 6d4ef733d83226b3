"""Model versions: how good each one is; activate, keep the champion, roll back."""

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.defaultfilters import filesizeformat
from django.urls import URLPattern, path, reverse
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import RangeDateFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminTextareaWidget

from training import versions
from training.admin import labels
from training.admin.base import Confirmation, ReadOnlyAdmin, confirmed, existing, person
from training.admin.figures import figures_of
from training.admin.freeze import freeze_context, freeze_in_words
from training.admin.held_out import held_out_view
from training.admin.session_pages import can_be_declined
from training.admin.state_filters import VersionStateFilter
from training.models import ModelVersion, TrainingPolicy
from training.policy import current_policy

LIST = "admin:training_modelversion_changelist"


@admin.register(ModelVersion)
class ModelVersionAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "state",
        "created_at",
        "trained_on",
        "held_out_mae",
        "gate",
        "size",
    )
    search_fields = ("id__exact", "name")
    list_filter = (VersionStateFilter, ("created_at", RangeDateFilter))
    list_filter_submit = True
    actions_list = ("roll_back_now",)
    actions_detail = ("activate", "keep", "roll_back")
    list_before_template = "admin/training/freeze.html"
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

    def get_fieldsets(self, request: HttpRequest, obj: ModelVersion | None = None) -> Any:
        """With who kept the champion in its place, when somebody did."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None or obj.declined_at is None:
            return fieldsets
        return [*fieldsets, (None, {"fields": (("declined_by", "declined_at"),)})]

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

    @display(description=gettext_lazy("records"), ordering="dataset_rows")
    def trained_on(self, version: ModelVersion) -> str:
        return number_format(version.dataset_rows, force_grouping=True)

    @display(description=gettext_lazy("beside the champion"))
    def gate(self, version: ModelVersion) -> str:
        return labels.gate(version) or "–"

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
        figures = {} if version is None else figures_of(version, may=request.user.has_perm)
        context = {"figures": figures, **(extra_context or {})}
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        held_out = self.admin_site.admin_view(self.held_out)
        page = path("<path:object_id>/held-out/", held_out, name="training_modelversion_held_out")
        return [page, *super().get_urls()]

    def held_out(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return held_out_view(request, self, object_id)

    # --- Activate ------------------------------------------------------------------------------

    def has_activate_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.activate_modelversion")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {**freeze_context(request), **(extra_context or {})})

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        """Only what can be done with this version now."""
        version = self.get_object(request, str(object_id))
        if version is None or version.is_active or version.pruned_at:
            return []
        useful = {
            "activate": True,
            "keep": can_be_declined(version),
            "roll_back": version == versions.version_before(),
        }
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        return [entry for entry in allowed if useful[entry.method.original_function_name]]

    @action(
        description=gettext_lazy("Activate"),
        permissions=["activate"],
        icon="bolt",
        variant=ActionVariant.PRIMARY,
    )
    def activate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = existing(self, request, object_id)
        form = ReasonForm(request.POST or None) if needs_reason(version) else None

        def act() -> str:
            note = form.cleaned_data["reason"] if form else ""
            versions.activate_version(version=version, user=person(request), note=note)
            return _("%(version)s serves now, in every web process.") % {"version": version}

        return confirmed(
            request,
            admin=self,
            ask=lambda: _before_activation(version),
            act=act,
            then=_page_of(version),
            form=form,
        )

    @action(description=gettext_lazy("Keep the champion"), permissions=["activate"], icon="block")
    def keep(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = existing(self, request, object_id)

        def act() -> str:
            versions.keep_champion(candidate=version, user=person(request))
            return _("%(champion)s goes on serving.") % {"champion": ModelVersion.objects.active()}

        return confirmed(
            request, admin=self, ask=lambda: _before_keeping(version), act=act, then=_page_of(version)
        )

    # --- Roll back -----------------------------------------------------------------------------

    @action(
        description=gettext_lazy("Roll back"),
        permissions=["activate"],
        icon="undo",
        variant=ActionVariant.DEFAULT,
    )
    def roll_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        version = existing(self, request, object_id)

        def act() -> str:
            versions.roll_back(version=version, user=person(request))
            return _("%(version)s serves again, in every web process.") % {"version": version}

        return confirmed(
            request, admin=self, ask=lambda: _before_rolling_back(version), act=act, then=reverse(LIST)
        )

    def get_actions_list(self, request: HttpRequest) -> list[UnfoldAction]:
        """The button names the version that it leads back to; without one there is none."""
        allowed: list[UnfoldAction] = super().get_actions_list(request)
        before = versions.version_before() if allowed else None
        if before is None:
            return []
        words = _("Roll back to %(version)s") % {"version": before}
        return [replace(entry, description=words) for entry in allowed]

    @action(
        description=gettext_lazy("Roll back"), permissions=["activate"], icon="undo", url_path="roll-back"
    )
    def roll_back_now(self, request: HttpRequest) -> HttpResponse:
        """To the page of one version, named in its address: what is confirmed is what is done."""
        before = versions.version_before()
        if before is None:
            messages.info(request, _("No other version has served before."))
            return HttpResponseRedirect(reverse(LIST))
        return HttpResponseRedirect(reverse("admin:training_modelversion_roll_back", args=[before.pk]))


class ReasonForm(forms.Form):
    """Why the gate is overridden: kept with who did it and when."""

    reason = forms.CharField(
        label=gettext_lazy("Why activate it against the gate?"),
        max_length=500,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
        help_text=gettext_lazy("Kept on the time line, with your name."),
    )


def needs_reason(version: ModelVersion) -> bool:
    """The gate refused it, and something else serves."""
    champion = ModelVersion.objects.active()
    return version.is_refused and champion not in {None, version}


def _page_of(version: ModelVersion) -> str:
    return reverse("admin:training_modelversion_change", args=[version.pk])


def _before_keeping(version: ModelVersion) -> Confirmation:
    champion = ModelVersion.objects.active()
    return Confirmation(
        title=_("Keep %(champion)s?") % {"champion": champion},
        changes=[
            _("%(champion)s goes on serving; it is noted that you decided so.") % {"champion": champion},
            _("%(version)s stays stored.") % {"version": version},
        ],
        way_back=_("%(version)s can still be activated.") % {"version": version},
        button=_("Keep the champion"),
    )


def _before_rolling_back(version: ModelVersion) -> Confirmation:
    champion = ModelVersion.objects.active()
    is_possible = version == versions.version_before(champion)
    return Confirmation(
        title=_("Roll back to %(version)s?") % {"version": version},
        changes=[
            switch_in_words(champion, version),
            _("The records stay as they are: to bring back earlier ones too, restore a backup."),
        ]
        if is_possible
        else [_("%(version)s is not what served before.") % {"version": version}],
        way_back=_("%(champion)s stays stored and can be activated again.") % {"champion": champion}
        if is_possible
        else "",
        button=_("Roll back"),
        is_possible=is_possible,
    )


def _frozen(champion: ModelVersion | None) -> TrainingPolicy | None:
    """The freeze that stands in the way of an activation."""
    policy = current_policy()
    return policy if policy.is_frozen and champion is not None else None


def _before_activation(version: ModelVersion) -> Confirmation:
    champion = ModelVersion.objects.active()
    if frozen := _frozen(champion):
        return Confirmation(
            title=_("Activate %(version)s?") % {"version": version},
            changes=[
                freeze_in_words(frozen),
                _("Lift the freeze first, on the page of the training schedule."),
            ],
            button=_("Activate"),
            is_possible=False,
        )
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
