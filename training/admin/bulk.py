"""Approve, reject and reopen many anomalies: first a page that says how many change and how many are left."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext_lazy

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
from training.models import Anomaly, Review
from training.policy import current_policy

Rows = QuerySet[Anomaly]
Kind = tuple[str, bool, bool]  # status, whether it has all three scores, whether two people review it
Applies = Callable[[str, bool, bool], bool]  # to anomalies of that kind
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Bulk:
    """What is done with many at once, and how that is said; each sentence of anomalies has their count."""

    verb: Callable[..., int]
    title: Promise
    button: Promise
    becomes: Promise
    left: dict[Applies, Promise]  # no anomaly is of two; those of none change
    besides: dict[Applies, Promise] = field(default_factory=dict)  # what is to be known of those that change
    done: Promise
    is_destructive: bool = False

    def ask(self, kinds: "Counter[Kind]", form: BulkForm) -> Confirmation:
        left = [(_count(kinds, applies), words) for applies, words in self.left.items()]
        besides = [(_count(kinds, applies), words) for applies, words in self.besides.items()]
        changing = kinds.total() - sum(count for count, _words in left)
        return Confirmation(
            title=self.title,
            changes=_in_words((changing, self.becomes), *besides, *left),
            way_back=_("Each can be undone on its page of changes."),
            button=self.button,
            is_possible=changing > 0,
            is_destructive=self.is_destructive,
            form=form if changing else None,
        )


def _count(kinds: "Counter[Kind]", applies: Applies) -> int:
    return sum(count for kind, count in kinds.items() if applies(*kind))


def _in_words(*sentences: tuple[int, Promise]) -> list[str]:
    said = [words % {"count": count} for count, words in sentences if count]
    return said or [_("Nothing is selected any more.")]


def _is(status: str) -> Applies:
    return lambda found, _scored, _for_two: found == status


def _for_two(status: str, _scored: bool, for_two: bool) -> bool:
    return status == PENDING and for_two


def _unscored(status: str, scored: bool, for_two: bool) -> bool:
    return status == PENDING and not for_two and not scored


APPROVE = Bulk(
    verb=review.approve,
    title=gettext_lazy("Approve the selected anomalies?"),
    button=gettext_lazy("Approve"),
    becomes=ngettext_lazy(
        "%(count)d anomaly is approved: models learn from it.",
        "%(count)d anomalies are approved: models learn from them.",
        "count",
    ),
    left={
        _unscored: ngettext_lazy(
            "%(count)d is left: a score is missing. Open it and give its scores.",
            "%(count)d are left: scores are missing. Open them and give their scores.",
            "count",
        ),
        _for_two: ngettext_lazy(
            "%(count)d is left: two people score it, one at a time, in the review.",
            "%(count)d are left: two people score them, one at a time, in the review.",
            "count",
        ),
        _is(APPROVED): ngettext_lazy(
            "%(count)d is left: it is approved already.",
            "%(count)d are left: they are approved already.",
            "count",
        ),
        _is(REJECTED): ngettext_lazy(
            "%(count)d is left: it is rejected. Reopen it first.",
            "%(count)d are left: they are rejected. Reopen them first.",
            "count",
        ),
    },
    done=ngettext_lazy("%(count)d anomaly approved.", "%(count)d anomalies approved.", "count"),
)
REJECT = Bulk(
    verb=review.reject,
    title=gettext_lazy("Reject the selected anomalies?"),
    button=gettext_lazy("Reject"),
    becomes=ngettext_lazy(
        "%(count)d anomaly is rejected: no model will learn from it. Its scores stay.",
        "%(count)d anomalies are rejected: no model will learn from them. Their scores stay.",
        "count",
    ),
    besides={
        _is(APPROVED): ngettext_lazy(
            "%(count)d of them is approved now.", "%(count)d of them are approved now.", "count"
        ),
    },
    left={
        _is(REJECTED): ngettext_lazy(
            "%(count)d is left: it is rejected already.",
            "%(count)d are left: they are rejected already.",
            "count",
        ),
    },
    done=ngettext_lazy("%(count)d anomaly rejected.", "%(count)d anomalies rejected.", "count"),
    is_destructive=True,
)
REOPEN = Bulk(
    verb=review.reopen,
    title=gettext_lazy("Reopen the selected anomalies?"),
    button=gettext_lazy("Reopen"),
    becomes=ngettext_lazy(
        "%(count)d anomaly goes back to the review queue. Its scores stay.",
        "%(count)d anomalies go back to the review queue. Their scores stay.",
        "count",
    ),
    left={
        _is(PENDING): ngettext_lazy(
            "%(count)d is left: it is in the review queue already.",
            "%(count)d are left: they are in the review queue already.",
            "count",
        ),
    },
    done=ngettext_lazy(
        "%(count)d anomaly is back in the review queue.",
        "%(count)d anomalies are back in the review queue.",
        "count",
    ),
)


class BulkReviewAdmin(LongListAdmin):
    actions = ("approve_selected", "reject_selected", "reopen_selected")

    def has_review_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.review_anomaly")

    @admin.action(description=gettext_lazy("Approve the selected anomalies"), permissions=["review"])
    def approve_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        return self._asked(request, queryset, APPROVE)

    @admin.action(description=gettext_lazy("Reject the selected anomalies"), permissions=["review"])
    def reject_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        return self._asked(request, queryset, REJECT)

    @admin.action(description=gettext_lazy("Reopen the selected anomalies"), permissions=["review"])
    def reopen_selected(self, request: HttpRequest, queryset: Rows) -> HttpResponse:
        return self._asked(request, queryset, REOPEN)

    def _asked(self, request: HttpRequest, queryset: Rows, bulk: Bulk) -> HttpResponse:
        """The page that asks; once it is confirmed, act and say what was done."""
        back = request.get_full_path()
        if CONFIRMED not in request.POST:
            rows = queryset.order_by("-pk").values_list("pk", "anomaly_id", "status", "criticality")
            found = list(rows)
            form = BulkForm(request, newest=found[0][0] if found else 0)
            for_two = current_policy().share_for_two
            begun = Review.objects.open().filter(anomaly__in=queryset.order_by().values("pk"))
            reviewed = set(begun.values_list("anomaly_id", flat=True))
            kinds = Counter(
                (status, total is not None, key in reviewed or Anomaly(anomaly_id=name).needs_two(for_two))
                for key, name, status, total in found
            )
            return confirmation_page(request, self, bulk.ask(kinds, form), back)
        with refusals_as_messages(request):
            newest = request.POST.get(NEWEST, "")
            rows_then = queryset.filter(pk__lte=int(newest) if newest.isdecimal() else 0)
            reason = reason_given(request)
            count = bulk.verb(anomalies=rows_then, user=person(request), reason=reason)
            messages.success(request, bulk.done % {"count": count})
        return HttpResponseRedirect(back)
