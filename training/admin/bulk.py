"""Approve, reject and reopen many anomalies: first a page that says how many change and how many are left."""

from collections import Counter
from collections.abc import Callable

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from training import review
from training.admin.base import (
    Confirmation,
    ReasonForm,
    confirmation_page,
    person,
    reason_given,
    refusals_as_messages,
)
from training.admin.long_lists import LongListAdmin
from training.models import Anomaly
from training.policy import current_policy

Rows = QuerySet[Anomaly]
Kind = tuple[str, bool, bool]  # status, whether it has all three scores, whether two people review it
CONFIRMED, NEWEST = "_confirmed", "_newest"
APPROVED, REJECTED, PENDING = Anomaly.Status.APPROVED, Anomaly.Status.REJECTED, Anomaly.Status.PENDING


class BulkForm(ReasonForm):
    """The reason, and with it what was selected: the confirmation sends the list's own request once more."""

    def __init__(self, request: HttpRequest, newest: int) -> None:
        super().__init__()
        sent = {
            "action": request.POST["action"],
            "select_across": request.POST.get("select_across", "0"),
            CONFIRMED: "1",
            NEWEST: str(newest),  # what comes in meanwhile was not asked about
        }
        for name, value in sent.items():
            self.fields[name] = forms.CharField(initial=value, widget=forms.HiddenInput)
        selected = request.POST.getlist(ACTION_CHECKBOX_NAME)
        self.fields[ACTION_CHECKBOX_NAME] = forms.MultipleChoiceField(
            initial=selected, widget=forms.MultipleHiddenInput
        )


class BulkReviewAdmin(LongListAdmin):
    actions = ("approve_selected", "reject_selected", "reopen_selected")

    def has_review_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.review_anomaly")

    @admin.action(description=gettext_lazy("Approve the selected anomalies"), permissions=["review"])
    def approve_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        def act(rows: Rows, reason: str) -> str:
            count = review.approve(anomalies=rows, user=person(request), reason=reason)
            done = ngettext("%(count)d anomaly approved.", "%(count)d anomalies approved.", count)
            return done % {"count": count}

        return self._asked(request, queryset, _before_approving, act)

    @admin.action(description=gettext_lazy("Reject the selected anomalies"), permissions=["review"])
    def reject_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        def act(rows: Rows, reason: str) -> str:
            count = review.reject(anomalies=rows, user=person(request), reason=reason)
            done = ngettext("%(count)d anomaly rejected.", "%(count)d anomalies rejected.", count)
            return done % {"count": count}

        return self._asked(request, queryset, _before_rejecting, act)

    @admin.action(description=gettext_lazy("Reopen the selected anomalies"), permissions=["review"])
    def reopen_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        def act(rows: Rows, reason: str) -> str:
            count = review.reopen(anomalies=rows, user=person(request), reason=reason)
            done = ngettext(
                "%(count)d anomaly is back in the review queue.",
                "%(count)d anomalies are back in the review queue.",
                count,
            )
            return done % {"count": count}

        return self._asked(request, queryset, _before_reopening, act)

    def _asked(
        self,
        request: HttpRequest,
        queryset: Rows,
        ask: Callable[["Counter[Kind]", BulkForm], Confirmation],
        act: Callable[[Rows, str], str],
    ) -> HttpResponse:
        """The page that asks; once it is confirmed, act and say what was done."""
        back = request.get_full_path()
        if CONFIRMED not in request.POST:
            rows = queryset.order_by("-pk").values_list("pk", "anomaly_id", "status", "criticality")
            found = list(rows)
            form = BulkForm(request, newest=found[0][0] if found else 0)
            for_two = current_policy().share_for_two
            kinds = Counter(
                (status, total is not None, Anomaly(anomaly_id=name).needs_two(for_two))
                for _pk, name, status, total in found
            )
            return confirmation_page(request, self, ask(kinds, form), back)
        with refusals_as_messages(request):
            newest = request.POST.get(NEWEST, "")
            rows_then = queryset.filter(pk__lte=int(newest) if newest.isdecimal() else 0)
            messages.success(request, act(rows_then, reason_given(request)))
        return HttpResponseRedirect(back)


def _before_approving(kinds: "Counter[Kind]", form: BulkForm) -> Confirmation:
    approved = _sum(kinds, status=APPROVED)
    others = [(kind, count) for kind, count in kinds.items() if kind[0] != APPROVED]
    for_two = sum(count for (*_, two), count in others if two)
    unscored = sum(count for (_status, scored, two), count in others if not scored and not two)
    changing = kinds.total() - approved - for_two - unscored
    becomes = ngettext(
        "%(count)d anomaly is approved: models learn from it.",
        "%(count)d anomalies are approved: models learn from them.",
        changing,
    )
    missing = ngettext(
        "%(count)d is left: a score is missing. Open it and give its scores.",
        "%(count)d are left: scores are missing. Open them and give their scores.",
        unscored,
    )
    double = ngettext(
        "%(count)d is left: two people score it, one at a time, in the review.",
        "%(count)d are left: two people score them, one at a time, in the review.",
        for_two,
    )
    settled = ngettext(
        "%(count)d is left: it is approved already.",
        "%(count)d are left: they are approved already.",
        approved,
    )
    return Confirmation(
        title=_("Approve the selected anomalies?"),
        changes=_in_words((changing, becomes), (unscored, missing), (for_two, double), (approved, settled)),
        way_back=_("Each can be undone on its page of changes."),
        button=_("Approve"),
        is_possible=changing > 0,
        form=form if changing else None,
    )


def _before_rejecting(kinds: "Counter[Kind]", form: BulkForm) -> Confirmation:
    rejected = _sum(kinds, status=REJECTED)
    changing = kinds.total() - rejected
    becomes = ngettext(
        "%(count)d anomaly is rejected: no model will learn from it. Its scores stay.",
        "%(count)d anomalies are rejected: no model will learn from them. Their scores stay.",
        changing,
    )
    learned = ngettext(
        "%(count)d of them is approved now.",
        "%(count)d of them are approved now.",
        _sum(kinds, status=APPROVED),
    )
    settled = ngettext(
        "%(count)d is left: it is rejected already.",
        "%(count)d are left: they are rejected already.",
        rejected,
    )
    return Confirmation(
        title=_("Reject the selected anomalies?"),
        changes=_in_words((changing, becomes), (_sum(kinds, status=APPROVED), learned), (rejected, settled)),
        way_back=_("Each can be undone on its page of changes."),
        button=_("Reject"),
        is_possible=changing > 0,
        is_destructive=True,
        form=form if changing else None,
    )


def _before_reopening(kinds: "Counter[Kind]", form: BulkForm) -> Confirmation:
    pending = _sum(kinds, status=PENDING)
    changing = kinds.total() - pending
    becomes = ngettext(
        "%(count)d anomaly goes back to the review queue. Its scores stay.",
        "%(count)d anomalies go back to the review queue. Their scores stay.",
        changing,
    )
    settled = ngettext(
        "%(count)d is left: it is in the review queue already.",
        "%(count)d are left: they are in the review queue already.",
        pending,
    )
    return Confirmation(
        title=_("Reopen the selected anomalies?"),
        changes=_in_words((changing, becomes), (pending, settled)),
        way_back=_("Each can be undone on its page of changes."),
        button=_("Reopen"),
        is_possible=changing > 0,
        form=form if changing else None,
    )


def _sum(kinds: "Counter[Kind]", *, status: str) -> int:
    return sum(count for (found, *_), count in kinds.items() if found == status)


def _in_words(*sentences: tuple[int, str]) -> list[str]:
    said = [words % {"count": count} for count, words in sentences if count]
    return said or [_("Nothing is selected any more.")]
