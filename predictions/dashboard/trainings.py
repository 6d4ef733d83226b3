"""The trainings: how often, how long they take, and what each adds."""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property
from statistics import mean, median
from typing import NamedTuple

from django.db.models import Count
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from predictions.dashboard.charts import (
    GREEN,
    GREY,
    PRIMARY,
    RED,
    Cell,
    Chart,
    Column,
    address,
    count_cells,
    grouped,
)
from predictions.dashboard.counting import MONTHS, between, month_starts, stretch_of
from training.admin.labels import decimals, duration
from training.models import TrainingSession

SESSIONS = 30  # the newest that succeeded
LIST = "admin:training_trainingsession_changelist"
ENDS = {"succeeded": GREEN, "failed": RED, "cancelled": GREY}
END_WORDS = {
    "succeeded": gettext_lazy("succeeded"),
    "failed": gettext_lazy("failed"),
    "cancelled": gettext_lazy("cancelled"),
}


class Trained(NamedTuple):
    """What one session that succeeded did."""

    number: int
    seconds: float
    records: int  # that its model learned from
    added: int | None  # more than the training before; None of the very first


class Trainings:
    """The sessions of the last twelve months, counted, and the newest ones that succeeded."""

    @cached_property
    def months(self) -> list[datetime]:
        return month_starts()

    @cached_property
    def by_month(self) -> dict[str, list[int]]:
        """How many sessions ended how, month by month."""
        found = (
            TrainingSession.objects.filter(queued_at__gte=self.months[0], status__in=ENDS)
            .order_by()
            .values_list(stretch_of(TrainingSession, "queued_at", self.months), "status")
            .annotate(Count("pk"))
        )
        counts = {end: [0] * MONTHS for end in ENDS}
        for month, status, count in found:
            if month < MONTHS:
                counts[status][month] = count
        return counts

    @cached_property
    def newest(self) -> list[Trained]:
        """The oldest of them first."""
        rows = list(
            TrainingSession.objects.succeeded().values_list(
                "pk", "started_at", "finished_at", "model_version__dataset_rows"
            )[: SESSIONS + 1]
        )[::-1]
        before = rows.pop(0)[-1] if len(rows) > SESSIONS else None
        found = []
        for pk, started, finished, records in rows:
            added = None if before is None else records - before
            found.append(Trained(pk, _seconds(started, finished), records, added))
            before = records
        return found

    @property
    def added(self) -> list[int]:
        """By each of the newest, without the very first, the records that the one before did not have."""
        return [each.added for each in self.newest if each.added is not None]

    @property
    def a_month(self) -> float:
        return sum(map(sum, self.by_month.values())) / MONTHS


def frequency(trainings: Trainings) -> Chart:
    title, counts, months = _("Trainings a month"), trainings.by_month, trainings.months
    if not trainings.a_month:
        return Chart(name="frequency", title=title, finding=_("Nothing was trained within a year."))
    this = sum(counts[end][-1] for end in ENDS)
    failed = sum(counts["failed"])
    words = ngettext(
        "%(count)s training this month, %(mean)s a month on average; %(failed)s failed within a year.",
        "%(count)s trainings this month, %(mean)s a month on average; %(failed)s failed within a year.",
        this,
    )
    return Chart(
        name="frequency",
        title=title,
        finding=words % {"count": this, "mean": decimals(trainings.a_month, 1), "failed": grouped(failed)},
        across=_("month"),
        unit=_("sessions"),
        rows=[Cell(text=date_format(month, "YEAR_MONTH_FORMAT")) for month in months[:-1]],
        columns=[
            Column(
                label=END_WORDS[end],
                values=counts[end],
                cells=count_cells(counts[end], list_of_month(LIST, "queued_at", months, status__exact=end)),
                colour=colour,
            )
            for end, colour in ENDS.items()
        ],
        url=reverse(LIST),
        link=_("All training sessions"),
        is_stacked=True,
        is_whole=True,
    )


def list_of_month(page: str, field: str, months: Sequence[datetime], **filters: str) -> Callable[[int], str]:
    """From the number of a month to the list of what `field` has in it."""
    url = reverse(page)
    return lambda n: address(url, filters | between(field, months[n], months[n + 1]))


def time_taken(trainings: Trainings) -> Chart:
    title, newest = _("Training time"), trainings.newest
    if not newest:
        return Chart(name="time", title=title, finding=_("No training has succeeded yet."))
    seconds = [each.seconds for each in newest]
    words = _("The last one took %(last)s for %(records)s records; half of them at most %(median)s.")
    return Chart(
        name="time",
        title=title,
        finding=words
        % {
            "last": duration(seconds[-1]),
            "records": grouped(newest[-1].records),
            "median": duration(median(seconds)),
        },
        across=_("session"),
        unit=_("seconds"),
        rows=_sessions(newest),
        columns=[
            Column(
                label=_("training time"),
                values=seconds,
                cells=[Cell(text=duration(each)) for each in seconds],
                colour=PRIMARY,
            ),
        ],
        url=address(reverse(LIST), {"status__exact": "succeeded"}),
        link=_("Trainings that succeeded"),
    )


def records_added(trainings: Trainings) -> Chart:
    title, newest = _("Records added by each training"), trainings.newest
    if not newest:
        return Chart(name="records", title=title, finding=_("No training has succeeded yet."))
    added = trainings.added
    if not added:
        first = _(
            "The first training learned from %(records)s records; what the next ones add is shown here."
        )
        return Chart(name="records", title=title, finding=first % {"records": grouped(newest[0].records)})
    newest = newest[-len(added) :]
    words = _("The last training had %(added)s records more than the one before, %(mean)s on average.")
    return Chart(
        name="records",
        title=title,
        finding=words % {"added": grouped(added[-1]), "mean": grouped(round(mean(added)))},
        across=_("session"),
        unit=_("records"),
        rows=_sessions(newest),
        columns=[
            Column(label=_("added"), values=added, cells=count_cells(added), colour=PRIMARY),
            Column(label=_("learned from"), cells=count_cells([each.records for each in newest])),
        ],
        url=address(reverse(LIST), {"status__exact": "succeeded"}),
        link=_("Trainings that succeeded"),
        is_whole=True,
    )


def _seconds(started: datetime | None, finished: datetime | None) -> float:
    return round((finished - started).total_seconds(), 1) if started and finished else 0.0


def _sessions(newest: list[Trained]) -> list[Cell]:
    url = reverse(LIST)
    return [Cell(text=str(each.number), url=f"{url}{each.number}/change/") for each in newest]
