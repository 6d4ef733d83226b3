"""Filters of the lists."""

from typing import Any

from django.contrib.admin import ModelAdmin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, DropdownFilter

from training.admin.bands import WORDS
from training.criticality import in_band
from training.models import Anomaly, LabelFinding


class BandFilter(DropdownFilter):
    """By the band of the reviewed criticality."""

    title = _("criticality")
    parameter_name = "band"
    field = "criticality"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Anomaly]"
    ) -> list[tuple[str, str | Promise]]:
        return list(WORDS.items())

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
        return queryset.filter(in_band(self.value(), self.field)) if self.value() in WORDS else queryset


class SectionFilter(AllValuesCheckboxFilter):
    """By the owner section."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lookup_choices = Anomaly.objects.sections()


class DoubtFilter(DropdownFilter):
    """Those whose label the newest label quality report found doubtful."""

    title = _("doubtful label")
    parameter_name = "doubt"
    ANY = "any"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Anomaly]"
    ) -> list[tuple[str, str | Promise]]:
        return [(self.ANY, _("any doubt")), *LabelFinding.Kind.choices]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
        findings = LabelFinding.objects.current()
        if self.value() in LabelFinding.Kind.values:
            findings = findings.filter(kind=self.value())
        elif self.value() != self.ANY:
            return queryset
        return queryset.filter(pk__in=findings.order_by().values("anomaly"))
