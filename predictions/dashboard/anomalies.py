"""The anomalies: what waits for a reviewer, and all of them by status, criticality and week."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.db.models import Count, Q
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from predictions.admin import suggestions
from predictions.dashboard.charts import (
    BAND_COLOURS,
    GREY,
    PRIMARY,
    Cell,
    Chart,
    Column,
    address,
    count_cells,
    grouped,
)
from predictions.dashboard.counting import LONG, MOST, between, count_between, count_up_to, remembered
from predictions.services import LOOKED_AT, suggest_for_queue
from training.admin.bands import WORDS
from training.admin.labels import decimals
from training.admin.long_lists import AtLeast
from training.criticality import from_band, in_band
from training.models import Anomaly, disputed

Status = Anomaly.Status
WEEKS = 13
LIST = "admin:training_anomaly_changelist"
BANDS = tuple(reversed(settings.RISK_BANDS))  # the gravest first
ALL = ""  # beside the bands
Counts = dict[tuple[str, str], int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Anomalies by status, and by status and band: `counts[status, band]`."""

    counts: Counts

    @property
    def is_empty(self) -> bool:
        return not any(self.counts.values())

    @property
    def is_cut(self) -> bool:
        return any(isinstance(count, AtLeast) for count in self.counts.values())

    @property
    def is_remembered(self) -> bool:
        return _size(self.counts) > LONG

    @property
    def head(self) -> list[str]:
        return [capfirst(str(word)) for word in (_("status"), *(WORDS[band] for band in BANDS), _("all"))]

    @property
    def rows(self) -> list[tuple[str, list[Cell]]]:
        return [
            (
                capfirst(str(status.label)),
                [
                    Cell(text=count_text(self.counts[status, band]), url=list_of(status, band))
                    for band in (*BANDS, ALL)
                ],
            )
            for status in Status
        ]

    @property
    def covers(self) -> str:
        words = _("An anomaly that nobody has scored yet counts by its suggested scores.")
        if self.is_cut:
            cut = _(
                "A number with a + was not counted to its end: at %(most)s, or at %(looked)s suggestions."
            )
            words += " " + cut % {"most": count_text(MOST), "looked": count_text(LOOKED_AT)}
        if self.is_remembered:
            words += " " + _("What was approved or rejected was counted within the last minute.")
        return words


def totals() -> Totals:
    reviewed: Counts = remembered("start.reviewed", _reviewed, _size)
    return Totals(counts={**_pending(), **reviewed})


def _size(counts: Counts) -> int:
    return sum(counts.values())


def _pending() -> Counts:
    """The newest that lack a suggestion get it first, as the list behind the numbers would give it."""
    scored = {(Status.PENDING, band): Anomaly.objects.pending().filter(in_band(band)) for band in BANDS}
    unscored = {(Status.PENDING, ALL): Anomaly.objects.pending().filter(criticality=None)}
    found = count_up_to({**scored, **unscored})
    count, any_scored = found[Status.PENDING, ALL], any(found[name] for name in scored)
    suggested = _suggested(Status.PENDING, any_scored=any_scored)
    if sum(suggested.values()) < min(count, LOOKED_AT):
        suggest_for_queue()
        suggested = _suggested(Status.PENDING, any_scored=any_scored)
    return _added(found, Status.PENDING, suggested)


def _reviewed() -> Counts:
    statuses = (Status.APPROVED, Status.REJECTED)
    rows = Anomaly.objects.all()
    scored = {
        (status, band): rows.filter(in_band(band), status=status) for status in statuses for band in BANDS
    }
    unscored = {(status, ALL): rows.filter(status=status, criticality=None) for status in statuses}
    found = count_up_to({**scored, **unscored})
    suggested = _suggested(Status.REJECTED, any_scored=True) if found[Status.REJECTED, ALL] else {}
    return _added(_added(found, Status.APPROVED, {}), Status.REJECTED, suggested)


def _added(found: Counts, status: str, suggested: Mapping[str, int]) -> Counts:
    """With the suggested bands of the unscored, which stand under ALL, among the scored; ALL is all then."""
    unscored = found[status, ALL]
    everything = _sum(*(found[status, band] for band in BANDS), unscored)
    bands = {
        (status, band): _sum(found[status, band], suggested.get(band, 0), is_more=unscored > LOOKED_AT)
        for band in BANDS
    }
    return {**found, **bands, (status, ALL): everything}


def _sum(*counts: int, is_more: bool = False) -> int:
    total = sum(counts)
    return AtLeast(total) if is_more or any(isinstance(count, AtLeast) for count in counts) else total


def _suggested(status: str, *, any_scored: bool) -> dict[str, int]:
    """By band, what the active version suggests for those of the newest LOOKED_AT that nobody scored."""
    newest = Anomaly.objects.filter(status=status).order_by("-pk").values("pk")[:LOOKED_AT]
    made = suggestions().filter(anomaly__in=newest).order_by()
    if any_scored:  # to ask each of them takes as long again
        made = made.filter(anomaly__criticality=None)
    found: dict[str, int] = made.aggregate(**{band: Count("pk", filter=in_band(band)) for band in BANDS})
    return found


def waiting(counts: Counts, *, may: Callable[[str], bool]) -> dict[str, Any]:
    """The first line of the page."""
    count, critical = counts[Status.PENDING, ALL], counts[Status.PENDING, "critical"]
    disagreed = disputed().count() if may("training.adjudicate_anomaly") else 0
    words = ngettext("%(count)s of them critical", "%(count)s of them critical", critical)
    return {
        "count": count,
        "number": count_text(count),
        "words": ngettext("anomaly to review", "anomalies to review", count),
        "critical": critical,
        "critical_words": words % {"count": count_text(critical)},
        "disputed": disagreed,
        "disputed_words": ngettext("%(disputed)s disputed", "%(disputed)s disputed", disagreed)
        % {"disputed": count_text(disagreed)},
        "url": list_of(Status.PENDING),
        "critical_url": list_of(Status.PENDING, "critical"),
        "disputed_url": reverse("admin:adjudication"),
        "review_url": reverse("admin:review") if may("training.review_anomaly") else list_of(Status.PENDING),
    }


def list_of(status: str, band: str = ALL) -> str:
    return address(reverse(LIST), {"status__exact": status} | ({"band": band} if band else {}))


def count_text(count: int) -> str:
    """1,234 in the language of the page; with a + when more were not counted."""
    return grouped(int(count)) + ("+" if isinstance(count, AtLeast) else "")


# --- By week ---------------------------------------------------------------------------------------


def weeks() -> Chart:
    """A quarter up to the newest report, by the week in which it was detected."""
    title = _("Criticality by week of detection")
    newest = (
        Anomaly.objects.filter(detected_at__lte=timezone.now())
        .order_by("-detected_at")
        .values_list("detected_at", flat=True)
        .first()
    )
    if newest is None:
        return Chart(name="weeks", title=title, finding=_("No anomaly says when it was detected."))
    mondays = _mondays(newest)
    counts = remembered(
        f"start.weeks.{mondays[0]:%Y%m%d}",
        lambda: _by_week(mondays),
        lambda found: sum(map(sum, found.values())),
    )
    stretches = [urlencode(between("detected_at", *stretch)) for stretch in pairwise(mondays)]
    return Chart(
        name="weeks",
        title=title,
        finding=_weeks_in_words(mondays[-2], counts),
        across=_("week from"),
        unit=_("anomalies"),
        rows=[Cell(text=date_format(monday, "j M y")) for monday in mondays[:-1]],
        columns=[_week_column(name, counts[name], stretches) for name in WEEK_WORDS],
        url=reverse(LIST),
        link=_("All anomalies"),
        is_stacked=True,
        is_whole=True,
    )


WEEK_WORDS = {
    **{band: WORDS[band] for band in BANDS},
    "pending": gettext_lazy("to review"),
    "rejected": gettext_lazy("rejected"),
}
WEEK_COLOURS = {**BAND_COLOURS, "pending": PRIMARY, "rejected": GREY}


def _by_week(mondays: list[datetime]) -> dict[str, list[int]]:
    """The approved ones by band, the others by status."""
    approved, lowest = Q(status=Status.APPROVED), BANDS[-1]
    parts = {
        **{band: approved & from_band(band) for band in BANDS if band != lowest},
        lowest: approved,  # all approved ones have scores
        "pending": Q(status=Status.PENDING),
        "rejected": Q(status=Status.REJECTED),
    }
    counts = count_between(Anomaly.objects.all(), "detected_at", mondays, parts)
    for graver, band in reversed(list(pairwise(BANDS))):
        counts[band] = [count - less for count, less in zip(counts[band], counts[graver], strict=True)]
    return counts


def _week_column(name: str, values: list[int], stretches: list[str]) -> Column:
    url = list_of(Status.APPROVED, name) if name in BANDS else list_of(name)
    return Column(
        label=WEEK_WORDS[name],
        values=values,
        cells=count_cells(values, lambda week: f"{url}&{stretches[week]}"),
        colour=WEEK_COLOURS[name],
    )


def _mondays(newest: datetime) -> list[datetime]:
    """The beginnings of the weeks, and the end of the last."""
    day = timezone.localtime(newest).replace(hour=0, minute=0, second=0, microsecond=0)
    last = day - timedelta(days=day.weekday())
    return [last + timedelta(weeks=n) for n in range(1 - WEEKS, 2)]


def _weeks_in_words(monday: datetime, counts: dict[str, list[int]]) -> str:
    words = _(
        "Newest week, from %(day)s: %(count)s anomalies, %(critical)s of them approved as critical, "
        "%(pending)s to review; %(mean)s a week on average."
    )
    return words % {
        "day": date_format(monday, "DATE_FORMAT"),
        "count": count_text(sum(values[-1] for values in counts.values())),
        "critical": count_text(counts["critical"][-1]),
        "pending": count_text(counts["pending"][-1]),
        "mean": decimals(sum(map(sum, counts.values())) / WEEKS, 1),
    }
