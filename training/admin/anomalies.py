"""Anomalies: read what was reported, give or correct scores, approve, reject, reopen.

Every change of a score or status goes through `training.review`, so history, reviewer and time are right.
"""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.contrib.import_export.forms import ExportForm
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminTextInputWidget

from training import review
from training.admin import bands, labels
from training.admin.base import person, refusals_as_messages
from training.admin.bulk import BulkReviewAdmin
from training.admin.equipment import EquipmentFilter, equipment_view
from training.admin.export import StreamedExportMixin
from training.admin.filters import BandFilter, DoubtFilter, SectionFilter
from training.admin.history import UndoableHistoryAdmin
from training.admin.imports import may_import
from training.double_review import Outcome, give_scores
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly

APPROVE, REJECT, REOPEN = "_approve", "_reject", "_reopen"  # the buttons of the form
_APPROVE = (APPROVE, gettext_lazy("Approve"), "check")
_REJECT = (REJECT, gettext_lazy("Reject"), "close")
_REOPEN = (REOPEN, gettext_lazy("Reopen"), "undo")
BUTTONS = {
    Anomaly.Status.PENDING: (_APPROVE, _REJECT),
    Anomaly.Status.APPROVED: (_REJECT, _REOPEN),
    Anomaly.Status.REJECTED: (_REOPEN,),
}
STATUS_COLOURS = {"pending": "warning", "approved": "success", "rejected": "danger"}
REPORTED = (
    "anomaly_id",
    "description",
    "equipment_id",
    "equipment_name",
    "system",
    "section",
    "detected_at",
)


class ReviewForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    """The three scores and the reason of their change."""

    reason = forms.CharField(
        label=gettext_lazy("Reason"),
        required=False,
        max_length=review.MAX_REASON,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Kept in the history, beside the old and the new scores."),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in set(SCORE_COLUMNS) & self.fields.keys():
            # What the reviewer saw goes along, so a change is told from a colleague's of a moment ago.
            self.fields[name].show_hidden_initial = True

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        for column in set(SCORE_COLUMNS) & cleaned.keys():
            if cleaned[column] is not None:
                continue
            if APPROVE in self.data:
                self.add_error(column, _("An approved anomaly needs all three scores."))
            elif self.initial.get(column) is not None:
                self.add_error(column, _("A score cannot be taken back: reject or reopen the anomaly."))
        return cleaned

    @property
    def changed_scores(self) -> dict[str, float]:
        return {name: self.cleaned_data[name] for name in self.changed_data if name in SCORE_COLUMNS}


@admin.register(Anomaly)
class AnomalyAdmin(StreamedExportMixin, UndoableHistoryAdmin, BulkReviewAdmin):
    export_form_class = ExportForm

    list_display: tuple[str, ...] = (
        "report",
        "equipment",
        "detected_on",
        "scores",
        "criticality_badge",
        "status_badge",
    )
    list_more = ("system", "section", "source", "created_at", "reviewed_at", "reviewed_by")
    list_display_links = ("report",)
    list_filter: tuple[Any, ...] = (
        ("status", ChoicesCheckboxFilter),
        BandFilter,
        EquipmentFilter,
        ("section", SectionFilter),
        DoubtFilter,
        ("source", ChoicesCheckboxFilter),
        ("detected_at", RangeDateFilter),
    )
    list_filter_submit = True
    actions_list = ("import_files",)
    search_fields = ("anomaly_id", "description", "equipment_id", "equipment_name", "system")

    def get_urls(self) -> list[URLPattern]:
        equipment = self.admin_site.admin_view(equipment_view)
        return [path("equipment/", equipment, name="training_anomaly_equipment"), *super().get_urls()]

    # --- Who may what --------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.has_review_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Nobody: a report that is wrong is rejected, and its history stays."""
        return False

    def get_list_select_related(self, request: HttpRequest) -> list[str]:
        return [name for name in self.get_list_display(request) if name == "reviewed_by"]

    # --- The list ------------------------------------------------------------------------------

    @display(description=gettext_lazy("report"), ordering="anomaly_id", header=True)
    def report(self, anomaly: Anomaly) -> list[str]:
        return [Truncator(anomaly.description).chars(90), anomaly.anomaly_id]

    @display(description=gettext_lazy("equipment"), ordering="equipment_name", header=True)
    def equipment(self, anomaly: Anomaly) -> list[str]:
        return [anomaly.equipment_name.strip() or anomaly.equipment_id, anomaly.section]

    @display(description=gettext_lazy("detected"), ordering="detected_at")
    def detected_on(self, anomaly: Anomaly) -> str:
        return date_format(anomaly.detected_at, "SHORT_DATE_FORMAT") if anomaly.detected_at else "–"

    @display(description=gettext_lazy("scores (A · F · S)"))
    def scores(self, anomaly: Anomaly) -> str:
        return " · ".join(labels.number(score) for score in anomaly.scores.values())

    @display(description=gettext_lazy("criticality"), ordering="criticality")
    def criticality_badge(self, anomaly: Anomaly) -> SafeString | None:
        return bands.badge(anomaly.criticality)

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, anomaly: Anomaly) -> SafeString:
        return labels.badge(anomaly.get_status_display(), STATUS_COLOURS[anomaly.status])

    def has_import_permission(self, request: HttpRequest) -> bool:
        return may_import(request)

    @action(description=gettext_lazy("Import"), permissions=["import"], icon="upload", url_path="import")
    def import_files(self, request: HttpRequest) -> HttpResponseRedirect:
        return HttpResponseRedirect(reverse("admin:training_fileimport_add"))

    # --- One anomaly ---------------------------------------------------------------------------

    def get_fieldsets(self, request: HttpRequest, obj: Anomaly | None = None) -> list[tuple[Any, Any]]:
        if obj is None:
            return [(None, {"fields": REPORTED})]
        review_fields: tuple[object, ...] = (SCORE_COLUMNS,)
        if self.has_review_permission(request):
            review_fields += ("reason",)
        return [
            (
                gettext_lazy("Report"),
                {
                    "fields": (
                        "description",
                        ("equipment_name", "equipment_id"),
                        ("system", "section"),
                        ("detected_at", "anomaly_id", "source"),
                    )
                },
            ),
            (
                gettext_lazy("Review"),
                {
                    "description": _scale_in_words(),
                    "fields": (
                        *review_fields,
                        ("criticality_badge", "status_badge"),
                        ("reviewed_by", "reviewed_at"),
                    ),
                },
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Anomaly | None = None) -> tuple[str, ...]:
        """What was reported stays as it was reported."""
        if obj is None:
            return ()
        return (*REPORTED, "source", "criticality_badge", "status_badge", "reviewed_by", "reviewed_at")

    def get_form(
        self, request: HttpRequest, obj: Anomaly | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None and self.has_review_permission(request):
            kwargs["form"] = ReviewForm
        return super().get_form(request, obj, change=change, **kwargs)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        buttons = {"show_save_and_continue": False, "show_save_and_add_another": object_id is None}
        return super().changeform_view(request, object_id, form_url, {**buttons, **(extra_context or {})})

    def get_actions_submit_line(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        """The buttons beside Save: what the anomaly's status allows."""
        anomaly = self.get_object(request, str(object_id))
        if anomaly is None or not self.has_review_permission(request):
            return []
        return [
            UnfoldAction(action_name=name, description=label, icon=icon, method=None, path="")
            for name, label, icon in BUTTONS[anomaly.status]
        ]

    def save_model(self, request: HttpRequest, obj: Anomaly, form: Any, change: bool) -> None:
        if not change:
            obj.source = Anomaly.Source.ADMIN
            obj.save()
            return
        with refusals_as_messages(request):
            messages.success(request, _review(request, obj, form))

    def response_change(self, request: HttpRequest, obj: Anomaly) -> HttpResponse:
        """Back to the list; what happened was said already."""
        response: HttpResponse = self.response_post_save_change(request, obj)
        return response


def _scale_in_words() -> str:
    if settings.SCORE_DIRECTION == "1_is_most_critical":
        return _("Each score is a number from 1 (most serious) to 5 (harmless); decimals are allowed.")
    return _("Each score is a number from 1 (harmless) to 5 (most serious); decimals are allowed.")


def _review(request: HttpRequest, anomaly: Anomaly, form: ReviewForm) -> str:
    """Call the verb of the button that was pressed; what it did, in a sentence.

    Only the scores that were typed are passed on: what a colleague changed meanwhile stays.
    """
    scores, reason, user = form.changed_scores, form.cleaned_data["reason"], person(request)
    if APPROVE in request.POST:
        return _approve(anomaly, scores, user, reason)
    if scores:
        review.correct(anomaly=anomaly, scores=scores, user=user, reason=reason)
    if REJECT in request.POST:
        review.reject(anomalies=[anomaly], user=user, reason=reason)
        return _("%(anomaly)s is rejected: no model will learn from it.") % {"anomaly": anomaly}
    if REOPEN in request.POST:
        review.reopen(anomalies=[anomaly], user=user, reason=reason)
        return _("%(anomaly)s is back in the review queue.") % {"anomaly": anomaly}
    if scores:
        return _("The scores of %(anomaly)s are corrected.") % {"anomaly": anomaly}
    return _("Nothing was changed.")


# What is said of an anomaly whose scores were given.
OUTCOMES = {
    Outcome.APPROVED: gettext_lazy("%(anomaly)s is approved."),
    Outcome.SECOND_NEEDED: gettext_lazy("Your scores of %(anomaly)s are kept; a second reviewer is asked."),
    Outcome.DISPUTED: gettext_lazy("The two reviewers of %(anomaly)s disagree: it goes to adjudication."),
}


def _approve(anomaly: Anomaly, scores: dict[str, float], user: User, reason: str) -> str:
    outcome = give_scores(anomaly=anomaly, scores=scores, user=user, reason=reason, as_seen=False)
    return str(OUTCOMES[outcome]) % {"anomaly": anomaly}
