"""What the backups weigh, and what they weighed at the end of each of the last twelve months."""

from dataclasses import dataclass

from django.db.models import Count, Q, Sum
from django.template.defaultfilters import filesizeformat
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from predictions.dashboard.charts import PRIMARY, Cell, Chart, Column, address, count_cells, grouped
from predictions.dashboard.counting import MONTHS, month_starts, stretch_of
from predictions.dashboard.trainings import list_of_month
from training.models import Backup

LIST = "admin:training_backup_changelist"
KEPT = {"pruned_at__isnull": "True"}
UNITS = (1024, 1024**2, 1024**3)  # bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """The backups whose files were kept at the end of each month, now in the place of this one's end."""

    sizes: list[int]
    counts: list[int]
    made: list[int]


def kept_backups() -> Kept:
    months = month_starts()
    found = (
        Backup.objects.filter(Q(pruned_at=None) | Q(pruned_at__gte=months[0]))
        .order_by()
        .values_list(stretch_of(Backup, "created_at", months), stretch_of(Backup, "pruned_at", months))
        .annotate(Count("pk"), Sum("size_bytes"))
    )
    kept = Kept([0] * MONTHS, [0] * MONTHS, [0] * MONTHS)
    for made, removed, count, size in found:  # removed -1: never
        if 0 <= made < MONTHS:
            kept.made[made] += count
        for month in range(max(made, 0), MONTHS if removed < 0 else min(removed, MONTHS)):
            kept.counts[month] += count
            kept.sizes[month] += size
    return kept


def backup_storage(kept: Kept) -> Chart:
    title = _("Backup storage")
    if not any(kept.counts):
        return Chart(name="storage", title=title, finding=_("There is no backup yet."))
    months = month_starts()
    divisor = max(unit for unit in UNITS if unit <= max(*kept.sizes, UNITS[0]))
    words = ngettext(
        "%(size)s in %(count)s backup; %(before)s a month ago.",
        "%(size)s in %(count)s backups; %(before)s a month ago.",
        kept.counts[-1],
    )
    return Chart(
        name="storage",
        title=title,
        finding=words
        % {
            "size": filesizeformat(kept.sizes[-1]),
            "count": grouped(kept.counts[-1]),
            "before": filesizeformat(kept.sizes[-2]),
        },
        across=_("end of"),
        unit=filesizeformat(divisor).split("\xa0")[-1],
        rows=[Cell(text=date_format(month, "YEAR_MONTH_FORMAT")) for month in months[:-1]],
        columns=[
            Column(
                label=_("kept"),
                values=[round(size / divisor, 2) for size in kept.sizes],
                cells=[Cell(text=filesizeformat(size)) for size in kept.sizes],
                colour=PRIMARY,
            ),
            Column(label=_("backups"), cells=_kept_cells(kept.counts)),
            Column(
                label=_("newly made"),
                cells=count_cells(kept.made, list_of_month(LIST, "created_at", months)),
            ),
        ],
        url=reverse(LIST),
        link=_("All backups"),
    )


def _kept_cells(counts: list[int]) -> list[Cell]:
    """The last one counts what is kept now: only that is a list."""
    *earlier, now = counts
    return [*count_cells(earlier), *count_cells([now], lambda _n: address(reverse(LIST), KEPT))]
