"""Predictions, read-only; and beside each anomaly what the active version suggests for it."""

from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import (
    AutocompleteSelectFilter,
    ChoicesCheckboxFilter,
    RangeDateFilter,
)
from unfold.decorators import display
from unfold.views import ChangeList

from predictions import jobs_admin  # noqa: F401  # registers its pages
from predictions.disagreement import DisagreementFilter
from predictions.models import Prediction
from predictions.review_page import review_page
from predictions.services import suggest_for_page
from training.admin import bands
from training.admin.adjudication import adjudication_page
from training.admin.anomalies import AnomalyAdmin
from training.admin.bands import WORDS
from training.admin.base import ReadOnlyAdmin
from training.admin.columns import LaidOutChangeList
from training.admin.equipment import EquipmentFilter
from training.admin.filters import BandFilter, SectionFilter
from training.admin.labels import decimals
from training.admin.long_lists import MOST
from training.criticality import in_band
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly

PENDING = Anomaly.Status.PENDING


class ReportedEquipmentFilter(EquipmentFilter):
    """By the equipment of the anomaly: found first, and then what was suggested for it."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any]":
        if not self.value():
            return queryset
        anomalies = Anomaly.objects.filter(equipment_id=self.value()).order_by("-pk")
        return queryset.filter(anomaly__in=list(anomalies.values_list("pk", flat=True)[:MOST]))


@admin.register(Prediction)
class PredictionAdmin(ReadOnlyAdmin):
    list_display = (
        "report",
        "scores",
        "criticality_badge",
        "confidence_in_percent",
        "version",
        "created_at",
    )
    list_more = ("needs_attention", "priority")
    list_filter = (
        ("model_version", AutocompleteSelectFilter),
        BandFilter,
        ReportedEquipmentFilter,
        ("anomaly__section", SectionFilter),
        ("anomaly__status", ChoicesCheckboxFilter),
        "needs_attention",
        ("created_at", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("anomaly__anomaly_id", "anomaly__description")
    fields = (
        "anomaly",
        ("scores", "criticality_badge", "confidence_in_percent"),
        ("model_version", "created_at"),
        "distributions",
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Prediction]":
        """With the page's anomalies and versions fetched after it: joined, the databases sort all rows."""
        rows: QuerySet[Prediction] = super().get_queryset(request)
        return rows.prefetch_related("anomaly", "model_version")

    @display(description=gettext_lazy("report"), header=True)
    def report(self, prediction: Prediction) -> list[str]:
        return [Truncator(prediction.anomaly.description).chars(90), prediction.anomaly.anomaly_id]

    @display(description=gettext_lazy("suggested scores (A · F · S)"))
    def scores(self, prediction: Prediction) -> str:
        return _scores(prediction)

    @display(description=gettext_lazy("suggested criticality"))
    def criticality_badge(self, prediction: Prediction) -> SafeString | None:
        return _criticality(prediction)

    @display(description=gettext_lazy("confidence"), ordering="confidence")
    def confidence_in_percent(self, prediction: Prediction) -> str:
        return _percent(prediction)

    @display(description=gettext_lazy("model version"), ordering="model_version_id")
    def version(self, prediction: Prediction) -> str:
        return str(prediction.model_version)


def _scores(prediction: Prediction) -> str:
    return " · ".join(str(getattr(prediction, column)) for column in SCORE_COLUMNS)


def _criticality(prediction: Prediction) -> SafeString | None:
    total = sum(getattr(prediction, column) for column in SCORE_COLUMNS)
    return _marked(total, needs_attention=prediction.needs_attention)


def _marked(total: float | None, *, needs_attention: bool) -> SafeString | None:
    """The criticality's badge, with a flag where a person should look whatever its band."""
    badge = bands.badge(total)
    if not needs_attention:
        return badge
    words = _("Needs attention: the chance of a serious score is at least one in four.")
    flag = format_html('<span class="tp-attention" role="img" title="{0}" aria-label="{0}">⚑</span>', words)
    return format_html("{} {}", badge, flag)


def _percent(prediction: Prediction) -> str:
    return f"{decimals(100 * prediction.confidence, 0)} %"


class SuggestedBandFilter(BandFilter):
    """By the band of what is known: the reviewed criticality, or else the suggested one."""

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
        band = self.value()
        if band not in WORDS:
            return queryset
        return queryset.filter(in_band(band) | Q(criticality=None) & suggested_in_band(band))


def suggestions() -> "QuerySet[Prediction]":
    """What the active version suggested."""
    return Prediction.objects.filter(model_version__is_active=True)


def suggested_in_band(band: str) -> Exists:
    """The condition on an anomaly that the active version suggested that band."""
    return Exists(suggestions().filter(in_band(band), anomaly=OuterRef("pk")))


def with_suggestions(anomalies: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
    """Annotated: the criticality that the active version `suggested`, and whether it `needs_attention`."""
    suggestion = suggestions().filter(anomaly=OuterRef("pk")).order_by()
    return anomalies.annotate(
        suggested=Subquery(suggestion.values("criticality")),
        needs_attention=Exists(suggestion.filter(needs_attention=True)),
    )


class SuggestedChangeList(LaidOutChangeList):
    """A page of anomalies; the pending ones that lack a suggestion get it before they are shown."""

    result_list: "QuerySet[Any]"

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        missing = [row for row in self.result_list if row.suggested is None and row.status == PENDING]
        if missing and suggest_for_page(missing):
            self.result_list = self.result_list.all()  # once more, with what was stored


admin.site.unregister(Anomaly)


@admin.register(Anomaly)
class SuggestedAnomalyAdmin(AnomalyAdmin):
    """The anomalies' admin, with the suggestions: training knows nothing of predictions."""

    list_display = (*AnomalyAdmin.list_display[:-1], "suggested_badge", AnomalyAdmin.list_display[-1])
    list_filter = (
        *(SuggestedBandFilter if f is BandFilter else f for f in AnomalyAdmin.list_filter[:-2]),
        DisagreementFilter,
        *AnomalyAdmin.list_filter[-2:],
    )

    def get_urls(self) -> list[URLPattern]:
        """With the review screen and adjudication: `admin:review`, `admin:adjudication`."""
        site, urls = self.admin_site, list[URLPattern](super().get_urls())
        pages = {"review": review_page, "adjudication": adjudication_page}
        own = [
            path(f"{name}/", site.admin_view(partial(page, site=site)), name=name)
            for name, page in pages.items()
        ]
        return own + urls

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return SuggestedChangeList

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Anomaly]":
        return with_suggestions(super().get_queryset(request))

    def get_fieldsets(self, request: HttpRequest, obj: Anomaly | None = None) -> list[tuple[Any, Any]]:
        """The suggestion stands above the scores that the reviewer gives."""
        fieldsets = super().get_fieldsets(request, obj)
        if obj is not None:
            review = fieldsets[-1][1]
            review["fields"] = ("suggestion", *review["fields"])
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Anomaly | None = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), "suggestion")

    @display(description=gettext_lazy("suggested"))
    def suggested_badge(self, anomaly: Any) -> SafeString | None:
        return _marked(anomaly.suggested, needs_attention=anomaly.needs_attention)

    @display(description=gettext_lazy("suggested scores (A · F · S)"))
    def suggestion(self, anomaly: Anomaly) -> str | SafeString:
        newest = anomaly.predictions.select_related("model_version").first()
        if newest is None:
            return _("none yet")
        return format_html(
            "{} {} {}",
            _scores(newest),
            _criticality(newest),
            _("confidence %(percent)s, %(version)s")
            % {"percent": _percent(newest), "version": newest.model_version},
        )
