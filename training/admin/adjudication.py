"""Adjudication: two reviewers' scores side by side; only what they disagree on is asked."""

from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from training import double_review, review
from training.admin import labels
from training.admin.base import person, refusals_as_messages
from training.admin.double_review_share import FIELD as SHARE
from training.admin.double_review_share import set_share, share_context
from training.admin.figures import TARGET_WORDS
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, Review, disputed

SCORES = range(1, 6)


def adjudication_page(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """GET shows the oldest disputed anomaly; POST settles it, or sets the share that two people score."""
    if not request.user.has_perm("training.adjudicate_anomaly"):
        raise PermissionDenied
    if request.method == "POST":
        with refusals_as_messages(request):
            set_share(request) if SHARE in request.POST else _settle(request)
        return HttpResponseRedirect(request.path)
    anomaly = disputed().first()
    context = {
        **site.each_context(request),
        "title": _("Adjudication"),
        "anomaly": anomaly,
        "rows": _rows(anomaly) if anomaly else [],
        "reviewers": [given.reviewer for given in anomaly.reviews.open()] if anomaly else [],
        "left": disputed().count(),
        "agreement": _agreement(),
        **share_context(request),
    }
    return TemplateResponse(request, "admin/review/adjudication.html", context)


def _settle(request: HttpRequest) -> None:
    key = request.POST.get("anomaly", "")
    anomaly = disputed().filter(pk=key).first() if key.isdecimal() and len(key) < 19 else None
    if anomaly is None:
        messages.error(request, _("The anomaly is not disputed."))
        return
    given = {name: request.POST.get(name, "") for name in SCORE_COLUMNS}
    scores = {name: float(score) for name, score in given.items() if score in set(map(str, SCORES))}
    try:
        double_review.adjudicate(
            anomaly=anomaly,
            scores=scores,
            user=person(request),
            reason=request.POST.get("reason", "")[: review.MAX_REASON] or _("adjudicated"),
        )
    except ValueError:
        messages.error(request, _("Give each score on which the two disagree."))
        return
    messages.success(request, _("%(anomaly)s is settled and approved.") % {"anomaly": anomaly})


def _rows(anomaly: Anomaly) -> list[dict[str, Any]]:
    given: list[Review] = list(anomaly.reviews.open())
    return [
        {
            "column": column,
            "label": label,
            "scores": [labels.number(one.scores[column]) for one in given],
            "is_disputed": len({one.scores[column] for one in given}) > 1,
            "keys": SCORES,
        }
        for column, label in zip(SCORE_COLUMNS, TARGET_WORDS.values(), strict=True)
    ]


def _agreement() -> list[dict[str, Any]]:
    found = double_review.agreement()
    return [
        {
            "label": label,
            "pairs": found[column].pairs,
            "equal": found[column].equal,
            "kappa": labels.decimals(found[column].kappa, 2),
        }
        for column, label in zip(SCORE_COLUMNS, TARGET_WORDS.values(), strict=True)
    ]
