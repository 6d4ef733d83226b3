"""How lists are filtered, searched and ordered: the same on both databases, and bounded."""

from datetime import UTC, datetime
from typing import Any

import django_filters
from django import forms
from django.db.models import F, Model, QuerySet
from django.db.models.expressions import OrderBy
from django_filters.fields import IsoDateTimeField
from rest_framework.exceptions import ValidationError
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request
from rest_framework.views import APIView

from training.models import (
    Anomaly,
    Backup,
    LabelFinding,
    ModelVersion,
    QualityCheck,
    QualityReport,
    TrainingSession,
)
from training.rules import text_problems

MAX_SEARCH = 200  # characters
MAX_TERMS = 10


class MomentField(IsoDateTimeField):
    """An ISO 8601 date or time that exists in UTC as well: databases hold no other."""

    def clean(self, value: Any) -> datetime | None:
        moment: datetime | None = super().clean(value)
        try:
            return moment and moment.astimezone(UTC)
        except OverflowError as error:
            raise forms.ValidationError("Date out of range.") from error


class MomentFilter(django_filters.IsoDateTimeFilter):
    field_class = MomentField


class ChoicesFilter(django_filters.MultipleChoiceFilter):
    """Any of several values of a column. Without its DISTINCT, which would read and sort all rows found."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(distinct=False, **kwargs)


class NumberField(forms.DecimalField):
    def clean(self, value: Any) -> Any:
        if "_" in str(value):  # Python's own spelling of a number, nobody else's
            raise forms.ValidationError(self.error_messages["invalid"], code="invalid")
        return super().clean(value)


class NumberFilter(django_filters.NumberFilter):
    field_class = NumberField


def since(field: str) -> MomentFilter:
    return MomentFilter(
        field, lookup_expr="gte", label="At this moment or later, ISO 8601; UTC when it has no offset."
    )


def until(field: str) -> MomentFilter:
    return MomentFilter(field, lookup_expr="lte", label="At this moment or earlier, ISO 8601.")


class AnomalyFilter(django_filters.FilterSet):
    status = ChoicesFilter(choices=Anomaly.Status.choices)
    source = ChoicesFilter(choices=Anomaly.Source.choices)
    criticality_min = NumberFilter("criticality", lookup_expr="gte", label="3 to 15")
    criticality_max = NumberFilter("criticality", lookup_expr="lte", label="3 to 15")
    detected_after = since("detected_at")
    detected_before = until("detected_at")
    created_after = since("created_at")
    created_before = until("created_at")
    reviewed_after = since("reviewed_at")
    reviewed_before = until("reviewed_at")

    class Meta:
        model = Anomaly
        fields = ["anomaly_id", "equipment_id", "system", "section"]


class SessionFilter(django_filters.FilterSet):
    status = ChoicesFilter(choices=TrainingSession.Status.choices)
    trigger = ChoicesFilter(choices=TrainingSession.Trigger.choices)
    queued_after = since("queued_at")
    queued_before = until("queued_at")

    class Meta:
        model = TrainingSession
        fields: list[str] = []


class StoredFilter(django_filters.FilterSet):
    """What versions and backups have in common."""

    available = django_filters.BooleanFilter(
        "pruned_at", lookup_expr="isnull", label="Whether the files are still kept."
    )
    created_after = since("created_at")
    created_before = until("created_at")


class VersionFilter(StoredFilter):
    class Meta:
        model = ModelVersion
        fields = ["is_active"]


class BackupFilter(StoredFilter):
    kind = ChoicesFilter(choices=Backup.Kind.choices)

    class Meta:
        model = Backup
        fields = ["model_version"]


class QualityReportFilter(django_filters.FilterSet):
    kind = ChoicesFilter(choices=QualityReport.Kind.choices)
    created_after = since("created_at")
    created_before = until("created_at")

    class Meta:
        model = QualityReport
        fields: list[str] = []


class QualityCheckFilter(django_filters.FilterSet):
    kind = ChoicesFilter(choices=QualityReport.Kind.choices)
    status = ChoicesFilter(choices=QualityCheck.Status.choices)
    trigger = ChoicesFilter(choices=QualityCheck.Trigger.choices)
    queued_after = since("queued_at")
    queued_before = until("queued_at")

    class Meta:
        model = QualityCheck
        fields: list[str] = []


class LabelFindingFilter(django_filters.FilterSet):
    kind = ChoicesFilter(choices=LabelFinding.Kind.choices)
    target = ChoicesFilter(choices=LabelFinding.Target.choices)
    anomaly_id = django_filters.CharFilter(
        "anomaly__anomaly_id", label="The reporting system's own identifier."
    )
    suspicion_min = NumberFilter("suspicion", lookup_expr="gte", label="0 to 1")

    class Meta:
        model = LabelFinding
        fields = ["anomaly"]


class BoundedSearchFilter(SearchFilter):
    """Each term is four comparisons in the statement, and databases bound a statement."""

    search_description = "Words that must all occur."

    def get_search_terms(self, request: Request) -> list[str]:
        text = request.query_params.get(self.search_param, "")
        if problems := list(text_problems(text, limit=MAX_SEARCH, blank=True)):
            raise ValidationError({self.search_param: problems})
        terms = super().get_search_terms(request)
        if len(terms) > MAX_TERMS:
            raise ValidationError({self.search_param: [f"must be at most {MAX_TERMS} words"]})
        return terms


class StableOrderingFilter(OrderingFilter):
    """Empty values last on either database, ties newest first: no page repeats or skips a row."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        names = dict.fromkeys(self.get_ordering(request, queryset, view) or ())
        return queryset.order_by(*(_order(queryset.model, name) for name in names), "-pk")


def _order(model: type[Model], name: str) -> OrderBy:
    """`nulls_last` only where there can be any: it keeps PostgreSQL from using an index."""
    column = name.removeprefix("-")
    field = getattr(model, column).field
    nulls_last = field.null or field.generated or None
    return F(column).desc(nulls_last=nulls_last) if column != name else F(column).asc(nulls_last=nulls_last)
