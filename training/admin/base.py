"""What the admin's pages share: read-only lists, one confirmation page, refusals as messages."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.widgets import UnfoldAdminTextInputWidget

from training.admin.long_lists import LongListAdmin
from training.admin.refusals import in_words
from training.errors import (
    ChangedSinceError,
    FrozenError,
    GateRefusedError,
    NotAllowedNowError,
    NothingApprovedError,
    SessionActiveError,
    StorageError,
    TrainingError,
)
from training.review import MAX_REASON

Text = str | Promise

# Says that long work is under way, and keeps its button from being pressed twice.
WORKING = forms.Media(js=[forms.Script("training/working.js", defer=True)])  # type: ignore[list-item]  # Django 5.2's

# The domain's errors speak English; these have no details, so the page can say them in its own language.
REFUSALS: dict[type[Exception], Text] = {
    SessionActiveError: _("A training session is queued or running. Wait for its end, or cancel it."),
    NothingApprovedError: _("There is no approved anomaly to train on. Approve some first."),
    ChangedSinceError: _("The status or a score has changed since: undo that change first."),
    FrozenError: _("Nothing was changed: training and activation are frozen. Lift the freeze first."),
    GateRefusedError: _("Nothing was changed: to activate what the gate refused, give a reason."),
}


class ReadOnlyAdmin(LongListAdmin):
    """Rows that only the product itself writes."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Without Django's log of edits, since nobody edits here."""
        context = {"show_history": False, **(extra_context or {})}
        return super().changeform_view(request, object_id, form_url, context)


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """Rows to look at before something changes."""

    caption: Text
    columns: Sequence[Text]
    rows: Sequence[Sequence[Text]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """What a person reads before something changes: what will change, and what the way back is."""

    title: Text
    changes: Sequence[Text]
    button: Text
    way_back: Text = ""
    is_possible: bool = True
    is_destructive: bool = False
    form: forms.Form | None = None  # what is asked beside yes or no; sent along with it
    table: Table | None = None


class ReasonForm(forms.Form):
    """Why: kept with the change."""

    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=MAX_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("Kept in the history, beside what changes."),
    )


def reason_given(request: HttpRequest) -> str:
    """What was typed into the ReasonForm of a confirmation. Raises NotAllowedNowError when it is too long."""
    form = ReasonForm(request.POST)
    if not form.is_valid():
        words = _("A reason may have %(most)s characters. Nothing was changed.")
        raise NotAllowedNowError(words % {"most": number_format(MAX_REASON, force_grouping=True)})
    return str(form.cleaned_data["reason"])


def person(request: HttpRequest) -> User:
    """The user of an admin page, who is always logged in."""
    assert isinstance(request.user, User)  # noqa: S101 — narrows the type; admin_view let nobody else in
    return request.user


@contextmanager
def refusals_as_messages(request: HttpRequest) -> Iterator[None]:
    """What the domain refuses is said on the next page; nothing was changed then."""
    try:
        yield
    except (TrainingError, StorageError) as error:
        messages.error(request, str(REFUSALS.get(type(error)) or in_words(str(error))))


def confirmed(
    request: HttpRequest,
    *,
    admin: ModelAdmin,
    ask: Callable[[], Confirmation],
    act: Callable[[], str],
    then: str,
    done: Callable[[], str] | None = None,
    form: forms.Form | None = None,
) -> HttpResponse:
    """GET asks on a page of its own; POST acts, shows the sentence that `act` answers, and goes to `done()`.

    What `form` asks for is valid before `act` is called. Whoever turns back goes to `then`, and so does
    what `ask` or `act` refuse by a TrainingError, which becomes a message.
    """
    with refusals_as_messages(request):
        if request.method != "POST" or (form is not None and not form.is_valid()):
            question = ask()
            return confirmation_page(
                request, admin, question if form is None else replace(question, form=form), then
            )
        messages.success(request, act())
        then = done() if done else then
    return HttpResponseRedirect(then)


def confirmation_page(
    request: HttpRequest, admin: ModelAdmin, confirmation: Confirmation, cancel_url: str
) -> TemplateResponse:
    context: dict[str, Any] = {
        **admin.admin_site.each_context(request),
        "title": confirmation.title,
        "opts": admin.opts,
        "confirmation": confirmation,
        "cancel_url": cancel_url,
        "media": WORKING,
    }
    return TemplateResponse(request, "admin/training/confirmation.html", context)


def existing(admin: ModelAdmin, request: HttpRequest, object_id: str) -> Any:
    """The row that the address names, among those that the user may see; 404 for any other address."""
    row = admin.get_object(request, unquote(object_id))
    if row is None or not admin.has_view_permission(request, row):
        raise Http404
    return row
