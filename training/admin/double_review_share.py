"""How many anomalies two people score: shown beside adjudication, set by who sets the training policy."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.admin.base import person
from training.models import TrainingPolicy
from training.policy import change_policy, current_policy

MAY_SET = "django_q.change_schedule"  # whose form sets the rest of the policy
FIELD = "double_review_percent"
READ = 500  # newest changes of the policy, among which those of the share are looked for
SHOWN = 5


class ShareForm(forms.Form):
    double_review_percent = forms.IntegerField(
        label=gettext_lazy("Per cent of the anomalies"), required=False, min_value=0, max_value=100
    )


def set_share(request: HttpRequest) -> None:
    """Store what was sent, and say so. Raises PermissionDenied."""
    if not request.user.has_perm(MAY_SET):
        raise PermissionDenied
    form = ShareForm(request.POST)
    if not form.is_valid():
        messages.error(request, _("Give a whole number from 0 to 100, or nothing."))
        return
    policy = change_policy(user=person(request), changes={FIELD: form.cleaned_data[FIELD]})
    text = _("From now on two people score %(percent)d %% of the anomalies.")
    messages.success(request, text % {"percent": policy.share_for_two})


def share_context(request: HttpRequest) -> dict[str, Any]:
    policy = current_policy()
    return {
        "share": policy.share_for_two,
        "share_set": policy.double_review_percent,
        "share_default": settings.DOUBLE_REVIEW_PERCENT,
        "share_changes": list(_changes())[:SHOWN],
        "may_set_share": request.user.has_perm(MAY_SET),
    }


def _changes() -> Iterator[dict[str, Any]]:
    """Who set which share when, the newest first; None: back to the setting."""
    history = TrainingPolicy.history.select_related("history_user")
    rows = list(history.only(FIELD, "history_date", "history_user__username")[:READ])
    for newer, older in pairwise([*rows, None] if len(rows) < READ else rows):
        before = older.double_review_percent if older else None
        if newer and newer.double_review_percent != before:
            who = newer.history_user or _("the product itself")
            yield {"at": newer.history_date, "who": who, "share": newer.double_review_percent}
