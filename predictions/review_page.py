"""The review screen: one anomaly at a time, decided by keys. Approve, reject, skip, undo; then the next one.

Without a script every decision is a POST that redirects to the whole page. The script says with each request
which anomalies it has already (`after`, the one on the screen first), and gets the one that follows them.
"""

from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from predictions import review_queue
from predictions.review_card import card_of
from predictions.review_queue import Order, Wanted
from predictions.services import CHUNK, refresh_priorities, suggest_for_page, suggest_for_queue
from training import double_review, review
from training.admin.anomalies import OUTCOMES
from training.admin.bands import WORDS
from training.admin.base import person
from training.double_review import Outcome
from training.errors import NotAllowedNowError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, disputed

UNDOABLE = 20  # decisions that can be taken back
SKIPPED = 500  # anomalies that a reviewer does not want to see again in this session
COUNTED = 1_000  # waiting anomalies: beyond, the page says "1000+"
STATE = "review"  # in the session
CHANGED = 200  # anomalies whose changed scores a step reckons with
AHEAD = 50  # anomalies that a browser may have at once: those on which a decision was taken back pile up
SCORE_CHOICES = [(score, score) for score in range(1, 6)]
ORDERS = {Order.PRIORITY: gettext_lazy("what matters first"), Order.NEWEST: gettext_lazy("newest first")}


class DecisionForm(forms.Form):
    anomaly = forms.IntegerField(min_value=0, max_value=2**63 - 1)
    decision = forms.ChoiceField(choices=[(name, name) for name in ("approve", "reject", "skip", "undo")])
    seen = forms.CharField(required=False)
    reason = forms.CharField(required=False, max_length=review.MAX_REASON)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for column in SCORE_COLUMNS:
            self.fields[column] = forms.TypedChoiceField(
                choices=SCORE_CHOICES, coerce=float, empty_value=None, required=False
            )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        decision = cleaned.get("decision")
        if decision == "approve" and None in self.scores.values():
            raise forms.ValidationError(_("An approved anomaly needs all three scores."))
        if decision == "reject" and not cleaned.get("reason"):
            raise forms.ValidationError(_("Say why it is rejected."))
        return cleaned

    @property
    def scores(self) -> dict[str, Any]:
        return {column: self.cleaned_data.get(column) for column in SCORE_COLUMNS}


class Place(StrEnum):
    """Where the script puts the card that it gets."""

    NEXT = "next"  # behind those that it has
    AGAIN = "again"  # before them, but never in the place of what is on the screen: the decision was refused
    NOW = "now"  # on the screen: its decision was undone


def review_page(request: HttpRequest, *, site: AdminSite) -> HttpResponse:
    """GET shows the anomaly that the reviewer has or gets, or the one after it; POST decides."""
    if not request.user.has_perm("training.review_anomaly"):
        raise PermissionDenied
    after = _after(request)
    place, anomaly = Place.NEXT, None
    if request.method == "POST":
        place, anomaly = _decide(request)
        if after is None:
            _note_shown(request, anomaly)
            return HttpResponseRedirect(request.get_full_path())
    elif after is None:
        suggest_for_queue()
    context = _context(request, after or [], place, anomaly)
    if after is None:
        return TemplateResponse(request, "admin/review/page.html", {**site.each_context(request), **context})
    if request.method != "POST":
        context["messages"] = []  # they wait for the answer to what they are about
    return TemplateResponse(request, "admin/review/answer.html", context)


# --- What is shown ---------------------------------------------------------------------------------


def _wanted(request: HttpRequest) -> Wanted:
    order, band = request.GET.get("order", ""), request.GET.get("band", "")
    return Wanted(
        order=Order(order) if order in set(Order) else Order.PRIORITY,
        section=request.GET.get("section", "").replace("\0", ""),  # which no database stores
        band=band if band in WORDS else "",
    )


def _after(request: HttpRequest) -> list[int] | None:
    """The keys of the anomalies that the script has; None when it is no script that asks."""
    if "after" not in request.GET:
        return None
    given = request.GET.getlist("after")[:AHEAD]
    return [int(key) for key in given if key.isdecimal() and len(key) < 19]


def _context(request: HttpRequest, after: list[int], place: Place, anomaly: Anomaly | None) -> dict[str, Any]:
    user, state, wanted = person(request), _state(request), _wanted(request)
    refresh_priorities(limit=CHANGED if "after" in request.GET else CHUNK)
    if after:
        review_queue.renew(anomaly_ids=after, user=user)
    if anomaly is None:
        anomaly = review_queue.next_anomaly(
            user=user, wanted=wanted, skipped=state["skipped"], after=after, shown=state.get("shown")
        )
    if anomaly is not None:
        suggest_for_page([anomaly])
    _note_shown(request, anomaly if place is Place.NOW or not after else after[0])
    left = review_queue.waiting_for(user, wanted).order_by().values("pk")[: COUNTED + 1].count()
    return {
        "title": _("Review"),
        "card": card_of(anomaly) if anomaly else None,
        "place": place.value,
        "lease": settings.REVIEW_LEASE,
        "address": _address(request),
        "done": state["done"],
        "number": format_html('<span class="rv-number">{}</span>', state["done"] + 1),  # the script counts on
        "total": f"{state['done'] + min(left, COUNTED)}{'+' if left > COUNTED else ''}",
        "skipped": len(state["skipped"]),
        "can_undo": bool(state["undo"]),
        "wanted": asdict(wanted),
        "orders": ORDERS.items(),
        "bands": WORDS.items(),
        "sections": Anomaly.objects.sections,  # asked for by the whole page alone
        "disputed": disputed().count() if request.user.has_perm("training.adjudicate_anomaly") else 0,
        "adjudication_url": reverse("admin:adjudication"),
    }


def _address(request: HttpRequest) -> str:
    """Of this page, with the order and the filters."""
    chosen = request.GET.copy()
    chosen.pop("after", None)
    return f"{request.path}?{chosen.urlencode()}" if chosen else request.path


def _state(request: HttpRequest) -> dict[str, Any]:
    state: dict[str, Any] = request.session.setdefault(STATE, {"done": 0, "undo": [], "skipped": []})
    return state


def _note_shown(request: HttpRequest, anomaly: Anomaly | int | None) -> None:
    """What the whole page shows when it is asked for again."""
    key = anomaly.pk if isinstance(anomaly, Anomaly) else anomaly
    state = _state(request)
    if key is not None and state.get("shown") != key:
        state["shown"] = key
        request.session.modified = True


# --- What is decided -------------------------------------------------------------------------------


def _decide(request: HttpRequest) -> tuple[Place, Anomaly | None]:
    """Do it, and say what was done or why not; the anomaly to show again, if it is not decided."""
    form, user = DecisionForm(request.POST), person(request)
    if not form.is_valid():
        sentences = [str(error) for errors in form.errors.values() for error in errors]
        anomaly = Anomaly.objects.filter(pk=form.cleaned_data.get("anomaly") or 0).first()
        return _refused(request, anomaly, " ".join(sentences), messages.ERROR)
    decision = form.cleaned_data["decision"]
    if decision == "undo":
        undone = _undo(request, user)
        return (Place.NOW if undone else Place.NEXT), undone
    anomaly = Anomaly.objects.filter(pk=form.cleaned_data["anomaly"]).first()
    if anomaly is None:
        return _refused(request, None, _("The anomaly is gone."), messages.ERROR)
    try:
        did = DECISIONS[decision](request, anomaly, form, user)
    except NotAllowedNowError as error:
        return _refused(request, anomaly, str(error), messages.WARNING)
    review_queue.release(anomaly_id=anomaly.pk, user=user)
    _remember(request, did, anomaly)
    return Place.NEXT, None


def _refused(
    request: HttpRequest, anomaly: Anomaly | None, sentence: str, level: int
) -> tuple[Place, Anomaly | None]:
    """Say which decision was refused and why; the anomaly comes again if this reviewer may decide on it."""
    if anomaly is None:
        messages.add_message(request, level, sentence)
        return Place.NEXT, None
    again = review_queue.take_again(anomaly_id=anomaly.pk, user=person(request))
    if again is None:
        review_queue.release(anomaly_id=anomaly.pk, user=person(request))
    elif _after(request):
        sentence = f"{sentence} {_('It comes again after this one.')}"
    page = reverse("admin:training_anomaly_change", args=[anomaly.pk])
    messages.add_message(request, level, format_html('<a href="{}">{}</a>: {}', page, anomaly, sentence))
    return (Place.AGAIN if again else Place.NEXT), again


def _refuse_when_changed(anomaly: Anomaly, form: DecisionForm) -> None:
    """What a colleague decided meanwhile stays: the reviewer looks again. Raises NotAllowedNowError."""
    if form.cleaned_data["seen"] != anomaly.updated_at.isoformat():
        raise NotAllowedNowError(_("The anomaly was changed since you saw it: look again."))


def _approve(request: HttpRequest, anomaly: Anomaly, form: DecisionForm, user: User) -> str:
    _refuse_when_changed(anomaly, form)
    outcome = double_review.give_scores(
        anomaly=anomaly, scores=form.scores, user=user, reason=form.cleaned_data["reason"]
    )
    messages.success(request, str(OUTCOMES[outcome]) % {"anomaly": anomaly})
    return "change" if outcome is Outcome.APPROVED else "review"


def _reject(request: HttpRequest, anomaly: Anomaly, form: DecisionForm, user: User) -> str:
    _refuse_when_changed(anomaly, form)
    if not review.reject(anomalies=[anomaly], user=user, reason=form.cleaned_data["reason"]):
        raise NotAllowedNowError(
            _("The anomaly is %(status)s already.") % {"status": anomaly.get_status_display()}
        )
    text = _("%(anomaly)s is rejected: no model will learn from it.")
    messages.success(request, text % {"anomaly": anomaly})
    return "change"


DECISIONS: dict[str, Callable[[HttpRequest, Anomaly, DecisionForm, User], str]] = {
    "approve": _approve,
    "reject": _reject,
    "skip": lambda *_: "skip",
}


def _remember(request: HttpRequest, did: str, anomaly: Anomaly) -> None:
    state = _state(request)
    state["undo"] = [*state["undo"], [did, anomaly.pk]][-UNDOABLE:]
    if did == "skip":
        state["skipped"] = [*state["skipped"], anomaly.pk][-SKIPPED:]
    else:
        state["done"] += 1
    request.session.modified = True


def _undo(request: HttpRequest, user: User) -> Anomaly | None:
    """Take back the newest decision and show its anomaly again."""
    state = _state(request)
    if not state["undo"]:
        messages.warning(request, _("There is nothing to undo."))
        return None
    did, key = state["undo"].pop()
    state["skipped"] = [skipped for skipped in state["skipped"] if skipped != key]
    state["done"] -= did != "skip"
    request.session.modified = True
    anomaly = Anomaly.objects.get(pk=key)
    try:
        _take_back(did, anomaly, user)
    except NotAllowedNowError as error:
        messages.warning(request, str(error))
        return None
    messages.success(request, _("Undone: %(anomaly)s waits again.") % {"anomaly": anomaly})
    return Anomaly.objects.get(pk=key) if review_queue.take(anomaly_id=key, user=user) else None


def _take_back(did: str, anomaly: Anomaly, user: User) -> None:
    if did == "review" and not double_review.take_back(anomaly=anomaly, user=user):
        raise NotAllowedNowError(_("%(anomaly)s was settled meanwhile.") % {"anomaly": anomaly})
    if did == "change":
        change = anomaly.history.order_by("-history_id")[0]
        if change.history_user_id != user.pk:
            raise NotAllowedNowError(_("Somebody changed %(anomaly)s meanwhile.") % {"anomaly": anomaly})
        double_review.undo(anomaly=anomaly, change=change, user=user, reason=_("undone in the review"))
