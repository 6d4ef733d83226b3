"""When training starts by itself: day, hour, on or off. Nothing else can be scheduled here.

django-q's own page lets staff name any function to run; this form knows the product's one schedule only.
"""

import re
from datetime import time
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.dates import WEEKDAYS
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_q.models import Schedule
from unfold.admin import ModelAdmin
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminSingleTimeWidget, UnfoldBooleanSwitchWidget

from training import schedules
from training.admin import labels

EVERY_DAY = "*"
FOREVER = -1  # Schedule.repeats
# Cron counts the days from Sunday, Python from Monday.
DAYS = [
    (EVERY_DAY, gettext_lazy("every day")),
    *((str((day + 1) % 7), name) for day, name in WEEKDAYS.items()),
]
SIMPLE_CRON = re.compile(r"(\d{1,2}) (\d{1,2}) \* \* (\*|[0-6])")


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    day = forms.ChoiceField(label=gettext_lazy("Day"), choices=DAYS, widget=UnfoldAdminSelectWidget)
    at = forms.TimeField(label=gettext_lazy("Time (UTC)"), widget=UnfoldAdminSingleTimeWidget(format="%H:%M"))
    enabled = forms.BooleanField(
        label=gettext_lazy("Switched on"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = Schedule
        fields: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["enabled"] = self.instance.repeats != schedules.DISABLED
        if simple := SIMPLE_CRON.fullmatch(self.instance.cron or ""):
            self.initial["at"] = time(int(simple[2]), int(simple[1]))
            self.initial["day"] = simple[3]

    def apply(self, schedule: Schedule) -> None:
        at: time = self.cleaned_data["at"]
        schedule.schedule_type = Schedule.CRON
        schedule.cron = f"{at.minute} {at.hour} * * {self.cleaned_data['day']}"
        schedule.next_run = schedules.next_time(schedule.cron)
        schedule.repeats = FOREVER if self.cleaned_data["enabled"] else schedules.DISABLED


@admin.register(Schedule)
class TrainingScheduleAdmin(ModelAdmin):
    form = ScheduleForm
    list_display = ("what", "state", "next_time")
    fields = ("enabled", ("day", "at"), "next_time", "needs")
    readonly_fields = ("next_time", "needs")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Schedule | None = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Schedule]":
        ours: QuerySet[Schedule] = super().get_queryset(request)
        return ours.filter(func=schedules.TRAIN_ON_SCHEDULE)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        schedules.ensure_schedule()
        return super().changelist_view(request, extra_context)

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
        return _(
            "At least %(count)d newly approved anomalies; with fewer the training is skipped and says so."
        ) % {"count": settings.TRAINING_SCHEDULE_MINIMUM}

    def save_model(self, request: HttpRequest, obj: Schedule, form: ScheduleForm, change: bool) -> None:
        form.apply(obj)
        obj.save(update_fields=["schedule_type", "cron", "next_run", "repeats"])

    def response_change(self, request: HttpRequest, obj: Schedule) -> HttpResponse:
        if obj.repeats == schedules.DISABLED:
            messages.warning(request, _("Scheduled training is switched off."))
        else:
            messages.success(
                request, _("The next training starts on %(moment)s.") % {"moment": self.next_time(obj)}
            )
        response: HttpResponse = self.response_post_save_change(request, obj)
        return response
