"""Predictions, read-only; and beside each anomaly what the active version suggests for it."""

from typing import Any

from django.contrib import admin
from django.db.models import F, FloatField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import TabularInline
from unfold.contrib.filters.admin import RangeDateFilter, RelatedDropdownFilter
from unfold.decorators import display

from predictions.models import Prediction
from training.admin import bands
from training.admin.anomalies import AnomalyAdmin
from training.admin.base import ReadOnlyAdmin
from training.admin.filters import BandFilter
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly


class _Suggestion:
    """How a prediction is shown, in its own list and beside its anomaly."""

    @display(description=gettext_lazy("suggested scores: availability · fiability · safety"))
    def scores(self, prediction: Prediction) -> str:
        return " · ".join(str(getattr(prediction, column)) for column in SCORE_COLUMNS)

    @display(description=gettext_lazy("suggested criticality"), label=bands.COLOURS)
    def criticality_badge(self, prediction: Prediction) -> tuple[str, str] | None:
        return bands.badge(sum(getattr(prediction, column) for column in SCORE_COLUMNS))

    @display(description=gettext_lazy("confidence"), ordering="confidence")
    def confidence_in_percent(self, prediction: Prediction) -> str:
        return _("%(percent)s %%") % {"percent": number_format(100 * prediction.confidence, 0)}


@admin.register(Prediction)
class PredictionAdmin(_Suggestion, ReadOnlyAdmin):
    list_display = (
        "anomaly",
        "scores",
        "criticality_badge",
        "confidence_in_percent",
        "model_version",
        "created_at",
    )
    list_select_related = ("anomaly", "model_version")
    list_filter = (("model_version", RelatedDropdownFilter), ("created_at", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("anomaly__anomaly_id", "anomaly__description")
    fields = (
        "anomaly",
        ("scores", "criticality_badge", "confidence_in_percent"),
        "model_version",
        "created_at",
        "distributions",
    )


class SuggestionInline(_Suggestion, TabularInline):  # type: ignore[misc]  # unfold carries no types
    model = Prediction
    verbose_name_plural = gettext_lazy("suggestions")
    fields = readonly_fields = (
        "scores",
        "criticality_badge",
        "confidence_in_percent",
        "model_version",
        "created_at",
    )
    extra = max_num = 0
    can_delete = False
    show_change_link = True

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Prediction]":
        suggestions: QuerySet[Prediction] = super().get_queryset(request)
        return suggestions.select_related("model_version")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class SuggestedBandFilter(BandFilter):
    """By the band of what is known: the reviewed criticality, or else the suggested one."""

    title = gettext_lazy("reviewed or suggested criticality")
    parameter_name = "known_band"
    field = "known_criticality"


def with_known_criticality(anomalies: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
    """Annotated: what the active version `suggested`; `known_criticality`, the reviewed one or else that."""
    suggestion = Prediction.objects.filter(anomaly=OuterRef("pk"), model_version__is_active=True)
    total = F("availability_score") + F("fiability_score") + F("process_safety_score")
    suggested = Subquery(suggestion.annotate(total=Cast(total, FloatField())).values("total"))
    return anomalies.annotate(suggested=suggested).annotate(
        known_criticality=Coalesce("criticality", "suggested")
    )


admin.site.unregister(Anomaly)


@admin.register(Anomaly)
class SuggestedAnomalyAdmin(AnomalyAdmin):
    """The anomalies' admin, with the suggestions: training knows nothing of predictions."""

    list_display = (*AnomalyAdmin.list_display[:-1], "suggested_badge", AnomalyAdmin.list_display[-1])
    list_filter = (*AnomalyAdmin.list_filter[:1], SuggestedBandFilter, *AnomalyAdmin.list_filter[1:])
    inlines = (SuggestionInline,)

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Anomaly]":
        return with_known_criticality(super().get_queryset(request))

    def get_inlines(self, request: HttpRequest, obj: Anomaly | None) -> tuple[Any, ...]:
        return () if obj is None else self.inlines

    @display(description=gettext_lazy("suggested"), ordering="suggested", label=bands.COLOURS)
    def suggested_badge(self, anomaly: Any) -> tuple[str, str] | None:
        return bands.badge(anomaly.suggested)
