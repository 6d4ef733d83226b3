"""Freeze and lift: the pages that ask, and the banner that says so where somebody might wonder."""

from datetime import datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_q.models import Schedule
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from training import schedules
from training.admin.base import Confirmation
from training.models import TrainingPolicy
from training.policy import current_policy


class FreezeForm(forms.Form):
    reason = forms.CharField(
        label=gettext_lazy("Why"), max_length=500, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )
    last_day = forms.DateField(
        label=gettext_lazy("Last day (UTC)"),
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}),
        help_text=gettext_lazy("Empty: until somebody lifts it."),
    )

    @property
    def until(self) -> datetime | None:
        """The moment after the last day."""
        last_day = self.cleaned_data["last_day"]
        if last_day is None:
            return None
        return datetime.combine(last_day + timedelta(days=1), time(), tzinfo=timezone.get_default_timezone())

    def clean_last_day(self) -> Any:
        last_day = self.cleaned_data["last_day"]
        if last_day is not None and last_day < timezone.now().date():
            raise forms.ValidationError(_("This day has passed."))
        return last_day


def before_freeze() -> Confirmation:
    return Confirmation(
        title=_("Freeze training and activation?"),
        changes=[
            _("No training starts by itself, and no version is activated, by itself or by hand."),
            _("What serves goes on serving. Training by hand, rolling back and restoring stay possible."),
        ],
        way_back=_("The freeze can be lifted at any time."),
        button=_("Freeze"),
    )


def before_lift() -> Confirmation:
    return Confirmation(
        title=_("Lift the freeze?"),
        changes=[
            freeze_in_words(current_policy()),
            _("Scheduled training goes on at its next time; versions can be activated again."),
        ],
        button=_("Lift the freeze"),
    )


def freeze_in_words(policy: TrainingPolicy) -> str:
    """Who froze it, since when, until when, and why."""
    values = {
        "who": policy.frozen_by or _("the product itself"),
        "since": date_format(policy.frozen_at, "DATE_FORMAT") if policy.frozen_at else "",
        "until": date_format(policy.frozen_until, "DATETIME_FORMAT") if policy.frozen_until else "",
        "reason": policy.freeze_reason,
    }
    if policy.frozen_until:
        return _("Frozen by %(who)s since %(since)s, until %(until)s UTC: %(reason)s") % values
    return _("Frozen by %(who)s since %(since)s, until somebody lifts it: %(reason)s") % values


def frozen_in_words() -> list[str]:
    """One sentence for a list of what to know; none when nothing is frozen."""
    policy = current_policy()
    return [freeze_in_words(policy)] if policy.is_frozen else []


def freeze_context(request: HttpRequest) -> dict[str, Any]:
    """What freeze.html shows; empty when nothing is frozen."""
    policy = current_policy()
    if not policy.is_frozen:
        return {}
    freeze = {"words": freeze_in_words(policy)}
    schedule = Schedule.objects.filter(func=schedules.TRAIN_ON_SCHEDULE).first()
    if schedule is not None and request.user.has_perm("django_q.change_schedule"):
        freeze["lift_url"] = reverse("admin:django_q_schedule_lift", args=[schedule.pk])
    return {"freeze": freeze}
