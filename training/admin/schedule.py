"""When training starts by itself and what it may do then. Nothing else can be scheduled here.

django-q's own page lets staff name any function to run; this form knows the product's one schedule only,
which is the training policy's shadow.
"""

import re
from collections.abc import Iterator
from datetime import time
from itertools import pairwise
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django_q.models import Schedule
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from training import policy as policies
from training import schedules
from training.admin import labels
from training.admin.base import confirmed, person
from training.admin.change_lists import CheckedListAdmin
from training.admin.findings import problems
from training.admin.freeze import FreezeForm, before_freeze, before_lift, freeze_context
from training.admin.history import ChangesInWords
from training.findings import Code
from training.models import TrainingPolicy

EVERY_DAY = "*"
# Cron counts the days from Sunday, Python from Monday.
DAYS = [
    ("", "–"),
    (EVERY_DAY, gettext_lazy("every day")),
    *((str((day + 1) % 7), name) for day, name in WEEKDAYS.items()),
]
SIMPLE_CRON = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-6])")
CHANGES_SHOWN = 20
NUMBERS = {
    "minimum_new": "TRAINING_SCHEDULE_MINIMUM",
    "keep_backups": "KEEP_BACKUPS",
    "keep_versions": "KEEP_MODEL_VERSIONS",
}
LABELS = {
    "minimum_new": gettext_lazy("Newly approved anomalies needed"),
    "keep_backups": gettext_lazy("Backups kept"),
    "keep_versions": gettext_lazy("Model versions kept"),
}


def number_field(name: str) -> forms.IntegerField:
    """Empty: what the setting says."""
    return forms.IntegerField(
        label=LABELS[name],
        required=False,
        min_value=1,
        max_value=1_000_000,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    enabled = forms.BooleanField(
        label=gettext_lazy("Switched on"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    day = forms.ChoiceField(
        label=gettext_lazy("Day"), choices=DAYS, required=False, widget=UnfoldAdminSelectWidget
    )
    at = forms.TimeField(
        label=gettext_lazy("Time (UTC)"),
        required=False,
        widget=UnfoldAdminSingleTimeWidget(format="%H:%M"),
    )
    cron_line = forms.CharField(
        label=gettext_lazy("Cron line (UTC), for advanced use"),
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy(
            "Minute, hour, day of the month, month, day of the week: 30 4 1 * * is 04:30 on the first of "
            "each month. It goes before day and time; leave it empty to use those."
        ),
    )
    minimum_new = number_field("minimum_new")
    activation = forms.ChoiceField(
        label=gettext_lazy("Activate the new version"),
        choices=TrainingPolicy.Activation.choices,
        widget=UnfoldAdminSelectWidget,
        help_text=gettext_lazy(
            "After a scheduled training; the gate compares both on the same held-out records."
        ),
    )
    keep_backups = number_field("keep_backups")
    keep_versions = number_field("keep_versions")
    quality_enabled = forms.BooleanField(
        label=gettext_lazy("Look for doubtful labels and drift by itself"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy("At the times below, and when a version starts to serve."),
    )
    quality_cron = forms.CharField(
        label=gettext_lazy("Cron line of the quality reports (UTC)"),
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget,
    )

    class Meta:
        model = Schedule
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.policy = policies.current_policy()
        for name, setting in NUMBERS.items():
            self.initial[name] = getattr(self.policy, name)
            if name in self.fields:
                text = _("Empty: %(default)d, from the setting %(setting)s.")
                values = {"default": getattr(settings, setting), "setting": setting}
                self.fields[name].help_text = text % values
        for name in ("enabled", "activation", "quality_enabled", "quality_cron"):
            self.initial[name] = getattr(self.policy, name)
        if "quality_cron" in self.fields:
            values = {"default": settings.QUALITY_REPORT_SCHEDULE, "setting": "QUALITY_REPORT_SCHEDULE"}
            text = _("Empty: %(default)s, from the setting %(setting)s.")
            self.fields["quality_cron"].help_text = text % values
        line = self.policy.cron_line
        if simple := SIMPLE_CRON.fullmatch(line):
            self.initial.update(at=time(int(simple[2]), int(simple[1])), day=simple[3])
        else:
            self.initial["cron_line"] = line

    def clean_cron_line(self) -> str:
        return self._cron_line("cron_line")

    def clean_quality_cron(self) -> str:
        return self._cron_line("quality_cron")

    def _cron_line(self, name: str) -> str:
        line = " ".join(self.cleaned_data[name].split())
        if line and not schedules.is_cron_line(line):
            raise forms.ValidationError(_("This is no cron line of five fields, or it is never due."))
        return line

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = self.cleaned_data
        if not cleaned.get("cron_line") and "cron_line" not in self.errors:
            for name in ("day", "at"):
                if name not in self.errors and cleaned.get(name) in {None, ""}:
                    self.add_error(name, _("Give a day and a time, or a cron line."))
        return cleaned

    @property
    def changes(self) -> dict[str, Any]:
        """What the policy shall say; a time that is still the setting's keeps following the setting."""
        cleaned = self.cleaned_data
        line = cleaned["cron_line"] or f"{cleaned['at'].minute} {cleaned['at'].hour} * * {cleaned['day']}"
        names = ("enabled", "activation", "quality_enabled", "quality_cron", *NUMBERS)
        chosen = {name: cleaned[name] for name in names}
        return chosen if line == self.policy.cron_line else chosen | {"cron": line}


def _state(request: HttpRequest) -> dict[str, Any]:
    """For templates/admin/training/schedule_state.html."""
    may = request.user.has_perm("training.view_finding")
    wrong = (Code.SCHEDULE_WRONG, Code.SCHEDULE_OVERDUE, Code.SCHEDULE_OFF)
    return {**freeze_context(request), "problems": problems(*wrong) if may else []}


@admin.register(Schedule)
class TrainingScheduleAdmin(CheckedListAdmin):
    form = ScheduleForm
    list_display = ("what", "state", "next_time", "needs")
    list_before_template = "admin/training/schedule_state.html"
    change_form_outer_before_template = "admin/training/schedule_state.html"
    change_form_outer_after_template = "admin/training/policy_history.html"
    fieldsets = (
        (gettext_lazy("When"), {"fields": ("enabled", ("day", "at"), "cron_line", "next_time")}),
        (
            gettext_lazy("Condition and gate"),
            {
                "fields": (
                    "minimum_new",
                    "activation",
                )
            },
        ),
        (gettext_lazy("Retention"), {"fields": (("keep_backups", "keep_versions"),)}),
        (gettext_lazy("Quality reports"), {"fields": ("quality_enabled", "quality_cron")}),
    )
    readonly_fields = ("next_time",)
    actions_detail = ("freeze", "lift")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Schedule]":
        ours: QuerySet[Schedule] = super().get_queryset(request)
        return ours.filter(func=schedules.TRAIN_ON_SCHEDULE)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if self.has_view_permission(request):
            schedules.ensure_schedule()
        return super().changelist_view(request, {**_state(request), **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {
            "show_history": False,  # the policy's own stands below the form
            "original": "",  # a row of django-q's, which calls itself by its function
            "policy_changes": list(_policy_changes()),
            **_state(request),
            **(extra_context or {}),
        }
        response: HttpResponse = super().change_view(request, object_id, form_url, context)
        return response

    @display(description=gettext_lazy("schedule"))
    def what(self, schedule: Schedule) -> str:
        return _("Scheduled training")

    @display(description=gettext_lazy("state"))
    def state(self, schedule: Schedule) -> SafeString:
        if schedule.repeats == schedules.DISABLED:
            return labels.badge(_("switched off"), "warning")
        return labels.badge(_("switched on"), "success")

    @display(description=gettext_lazy("next training"))
    def next_time(self, schedule: Schedule) -> str:
        if schedule.repeats == schedules.DISABLED:
            return "–"
        return _("%(moment)s UTC") % {"moment": date_format(schedule.next_run, "DATETIME_FORMAT")}

    @display(description=gettext_lazy("condition"))
    def needs(self, schedule: Schedule) -> str:
        count = policies.current_policy().minimum
        words = ngettext(
            "At least %(count)d newly approved anomaly; without one the training is skipped and says so.",
            "At least %(count)d newly approved anomalies; with fewer the training is skipped and says so.",
            count,
        )
        return words % {"count": count}

    def save_model(self, request: HttpRequest, obj: Schedule, form: ScheduleForm, change: bool) -> None:
        schedules.plan_training(user=person(request), changes=form.changes)
        obj.refresh_from_db()

    def response_change(self, request: HttpRequest, obj: Schedule) -> HttpResponse:
        if obj.repeats == schedules.DISABLED:
            messages.warning(request, _("Scheduled training is switched off."))
        else:
            messages.success(
                request, _("The next training starts on %(moment)s.") % {"moment": self.next_time(obj)}
            )
        response: HttpResponse = self.response_post_save_change(request, obj)
        return response

    # --- Freeze --------------------------------------------------------------------------------

    def has_plan_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("django_q.change_schedule")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        useful = "lift" if policies.current_policy().is_frozen else "freeze"
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        return [entry for entry in allowed if entry.method.original_function_name == useful]

    @action(
        description=gettext_lazy("Freeze"),
        permissions=["plan"],
        icon="ac_unit",
        variant=ActionVariant.DEFAULT,
    )
    def freeze(self, request: HttpRequest, object_id: str) -> HttpResponse:
        form = FreezeForm(request.POST or None)

        def act() -> str:
            policies.freeze(user=person(request), reason=form.cleaned_data["reason"], until=form.until)
            return _("Training and activation are frozen.")

        then = _page_of(object_id)
        return confirmed(request, admin=self, ask=before_freeze, act=act, then=then, form=form)

    @action(description=gettext_lazy("Lift the freeze"), permissions=["plan"], icon="lock_open")
    def lift(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def act() -> str:
            policies.lift_freeze(user=person(request))
            return _("The freeze is lifted.")

        return confirmed(request, admin=self, ask=before_lift, act=act, then=_page_of(object_id))


def _page_of(object_id: str) -> str:
    return reverse("admin:django_q_schedule_change", args=[object_id])


def _policy_changes() -> Iterator[dict[str, Any]]:
    """The newest changes of the policy: who, when, and each value old beside new."""
    rows = list(TrainingPolicy.history.select_related("history_user")[: CHANGES_SHOWN + 1])
    for row, earlier in pairwise(rows):
        delta = row.diff_against(
            earlier, foreign_keys_are_objs=False, excluded_fields=("frozen_by", "frozen_at")
        )
        shown = ChangesInWords(TrainingPolicy, row)
        yield {
            "at": row.history_date,
            "who": row.history_user or _("the product itself"),
            "changes": shown.context_for_delta_changes(delta),
        }
