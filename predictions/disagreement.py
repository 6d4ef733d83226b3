"""Where the active version says otherwise than the reviewer: the filter of the anomalies' list."""

from collections.abc import Iterable
from functools import reduce
from operator import or_

from django.contrib.admin import ModelAdmin
from django.db.models import F, Q, QuerySet, Subquery
from django.db.models.functions import Abs, Coalesce
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter

from predictions.models import Prediction
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, ModelVersion

NEWEST = 100_000  # suggestions that are compared: of a million it would take longer than a page may


def disagreements(*, at_least: int) -> "QuerySet[Prediction]":
    """What the active version suggests otherwise, by as much in one score, for its NEWEST anomalies."""
    # A value and no join, lest SQLite begins with a million anomalies.
    active = Prediction.objects.filter(
        model_version=Subquery(ModelVersion.objects.filter(is_active=True).values("pk")[:1])
    )
    first = active.order_by("-anomaly_id").values("anomaly_id")[NEWEST : NEWEST + 1]
    distances = {f"{column}_distance": Abs(F(f"anomaly__{column}") - F(column)) for column in SCORE_COLUMNS}
    differs = _any(Q(**{f"{name}__gte": at_least}) for name in distances)
    return active.alias(**distances).filter(differs, anomaly__gt=Coalesce(Subquery(first), 0)).order_by()


def _any(conditions: Iterable[Q]) -> Q:
    return reduce(or_, conditions)


class DisagreementFilter(DropdownFilter):
    title = _("model disagrees")
    parameter_name = "disagrees"

    def lookups(
        self, request: HttpRequest, model_admin: "ModelAdmin[Anomaly]"
    ) -> list[tuple[str, str | Promise]]:
        return [("1", _("by 1 or more in a score")), ("2", _("by 2 or more in a score"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Anomaly]") -> "QuerySet[Anomaly]":
        if self.value() not in {"1", "2"}:
            return queryset
        differing = disagreements(at_least=int(self.value() or 0))
        return queryset.filter(pk__in=differing.values("anomaly"))
