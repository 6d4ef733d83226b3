"""The history page: who changed what, when and why, old beside new; and the newest decision taken back."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, NoReturn

from django.contrib.admin.utils import display_for_field, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Field
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.text import capfirst
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from simple_history.admin import SimpleHistoryAdmin
from simple_history.models import ModelDelta
from simple_history.template_utils import HistoricalRecordContextHelper

from training import double_review, review
from training.admin.base import Confirmation, ReasonForm, confirmed, existing, person, reason_given
from training.admin.refusals import in_words
from training.models import Anomaly

# The page's own columns say these already.
SAID = {"reviewed_by", "reviewed_at"}


def shown(field: "Field[Any, Any]", value: object) -> str:
    return display_for_field(value, field, "–")


class ChangesInWords(HistoricalRecordContextHelper):
    """Old and new values as the rest of the admin shows them: words, not codes."""

    def context_for_delta_changes(self, delta: ModelDelta) -> list[dict[str, Any]]:
        changes = [change for change in delta.changes if change.field not in SAID]
        told = [self.format_delta_change(change) for change in changes]
        return [{"field": change.field, "old": change.old, "new": change.new} for change in told]

    def prepare_delta_change_value(self, change: Any, value: Any) -> str:
        return shown(self.model._meta.get_field(change.field), value)  # noqa: SLF001 — Django documents _meta


class UndoableHistoryAdmin(SimpleHistoryAdmin):
    """The history of an anomaly, page by page, with a button at the change that can be undone."""

    object_history_list_template = "admin/training/anomaly_history.html"
    history_list_per_page = 25

    def get_urls(self) -> list[URLPattern]:
        undo = self.admin_site.admin_view(self.undo_view)
        address = "<path:object_id>/history/<int:history_id>/undo/"
        return [path(address, undo, name="training_anomaly_undo"), *super().get_urls()]

    def get_historical_record_context_helper(
        self, request: HttpRequest, historical_record: Any
    ) -> ChangesInWords:
        return ChangesInWords(self.model, historical_record)

    def set_history_delta_changes(
        self, request: HttpRequest, historical_records: Any, foreign_keys_are_objs: bool = True
    ) -> None:
        """As simple_history does; the last row of a page is compared with the first of the next one."""
        rows = list(historical_records)
        for row in rows:
            row.reason = in_words(row.history_change_reason or "")
        older = historical_records.paginator.object_list[historical_records.end_index() :][:1]
        super().set_history_delta_changes(request, [*rows, *older], foreign_keys_are_objs)
        if rows and request.user.has_perm("training.review_anomaly"):
            _mark_newest_decision(rows)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Find nothing under a key that no row can have: simple_history would ask the database for it."""
        try:
            self.opts.pk.to_python(unquote(object_id))
        except ValidationError:
            raise Http404 from None
        response: HttpResponse = super().history_view(request, object_id, extra_context)
        return response

    def history_form_view(self, request: HttpRequest, *args: object, **kwargs: object) -> NoReturn:
        """simple_history's way to write an old state back past the review: closed."""
        raise Http404

    def undo_view(self, request: HttpRequest, object_id: str, history_id: int) -> HttpResponse:
        if not request.user.has_perm("training.review_anomaly"):
            raise PermissionDenied
        anomaly = existing(self, request, object_id)
        change = Anomaly.history.filter(id=anomaly.pk, history_id=history_id).first()
        if change is None:
            raise Http404

        def act() -> str:
            reason = reason_given(request)
            double_review.undo(anomaly=anomaly, change=change, user=person(request), reason=reason)
            return _("The change of %(anomaly)s is undone.") % {"anomaly": anomaly}

        page = reverse("admin:training_anomaly_history", args=[anomaly.pk])
        return confirmed(request, admin=self, ask=lambda: _before_undo(anomaly, change), act=act, then=page)


def _mark_newest_decision(rows: list[Any]) -> None:
    """Give the row that can be undone the address where to."""
    for newest, _older in islice(review.decisions(Anomaly(pk=rows[0].id)), 1):
        for row in rows:
            if row.history_id == newest.history_id:
                row.undo_url = reverse("admin:training_anomaly_undo", args=[row.id, row.history_id])


def _before_undo(anomaly: Anomaly, change: Any) -> Confirmation:
    before = review.before_change(anomaly, change)
    made = _("Made by %(person)s, %(time)s.") % {
        "person": change.history_user or _("the product itself"),
        "time": date_format(localtime(change.history_date), "DATETIME_FORMAT"),
    }
    return Confirmation(
        title=_("Undo this change of %(anomaly)s?") % {"anomaly": anomaly},
        changes=[
            made,
            *(
                f"{capfirst(str(field.verbose_name))}: {shown(field, now)} → {shown(field, then)}"
                for field, now, then in _differing(anomaly, before)
            ),
        ],
        way_back=_("The undo is kept as a change of its own, and can be undone."),
        button=_("Undo the change"),
        form=ReasonForm(),
    )


def _differing(anomaly: Anomaly, before: dict[str, Any]) -> "Iterator[tuple[Field[Any, Any], Any, Any]]":
    for name, then in before.items():
        if getattr(anomaly, name) != then:
            field: Any = anomaly._meta.get_field(name)  # noqa: SLF001 — Django documents _meta
            yield field, getattr(anomaly, name), then
