"""The five figures by which the guide follows the trainings."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import mean, median

from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from predictions.dashboard import storage
from predictions.dashboard.accuracy import exact_in_percent
from predictions.dashboard.charts import address, grouped
from predictions.dashboard.storage import Kept
from predictions.dashboard.trainings import ENDS, LIST, Trainings
from training.admin.labels import decimals, duration
from training.models import ModelVersion


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    title: str
    value: str
    detail: str
    url: str


def of_trainings(trainings: Trainings) -> Iterator[Figure]:
    newest, added, succeeded = (
        trainings.newest,
        trainings.added,
        address(reverse(LIST), {"status__exact": "succeeded"}),
    )
    yield Figure(
        title=_("Training frequency"),
        value=decimals(trainings.a_month, 1),
        detail=_("trainings a month, within a year"),
        url=address(
            reverse(LIST),
            {"queued_at__gte": trainings.months[0].isoformat(), "status__in": ",".join(ENDS)},
        ),
    )
    yield Figure(
        title=_("Records per training"),
        value=grouped(round(mean(added))) if added else "–",
        detail=_("added on average, by the last %(count)s trainings") % {"count": len(added)},
        url=succeeded,
    )
    yield Figure(
        title=_("Training time"),
        value=duration(median(each.seconds for each in newest)) if newest else "–",
        detail=_("median of the last %(count)s trainings") % {"count": len(newest)},
        url=succeeded,
    )


def of_accuracy(version: ModelVersion | None) -> Iterator[Figure]:
    if version is not None:
        rows = version.metrics.get("rows") or 0
        words = ngettext(
            "%% exact on %(count)s held-out record: availability, fiability, process safety",
            "%% exact on %(count)s held-out records: availability, fiability, process safety",
            rows,
        )
        yield Figure(
            title=_("Accuracy"),
            value=exact_in_percent(version),
            detail=words % {"count": grouped(rows)},
            url=reverse("admin:training_modelversion_change", args=[version.pk]),
        )


def of_storage(kept: Kept) -> Iterator[Figure]:
    count = kept.counts[-1]
    yield Figure(
        title=_("Backup storage"),
        value=filesizeformat(kept.sizes[-1]),
        detail=ngettext("in %(count)s backup", "in %(count)s backups", count) % {"count": grouped(count)},
        url=address(reverse(storage.LIST), storage.KEPT),
    )
