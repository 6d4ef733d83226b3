"""Whether what the model learned can be trusted: the plant's drift over time, and doubtful labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db.models import Count
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from predictions.dashboard.charts import (
    GREY,
    TARGET_LINES,
    Cell,
    Chart,
    Column,
    address,
    decimal_cells,
    grouped,
)
from predictions.dashboard.counting import between
from training.admin.figures import TARGET_WORDS
from training.admin.labels import age
from training.ml.records import TARGETS
from training.models import LabelFinding, QualityReport

MOVED = 0.5  # points: training.ml.shift.MIN_DISTANCE, which would bring SciPy with it
PERIODS = 24  # the newest of the drift report
REPORTS = "admin:training_anomaly_changelist"
LOOKED_AT = {"status__in": "pending,approved"}  # what the report reads
FINDINGS = "admin:training_labelfinding_changelist"
VERDICTS: dict[str, Promise] = {
    "ok": gettext_lazy("ok"),
    "look": gettext_lazy("look"),
    "retrain": gettext_lazy("retrain"),
    "too few": gettext_lazy("too few reports"),
}
TONES = {"ok": "good", "look": "watch", "retrain": "bad"}
KINDS: dict[str, Promise] = {
    "term": gettext_lazy("new or more frequent words"),
    "scores": gettext_lazy("moved scores"),
    "uniform": gettext_lazy("uniform reviews"),
    "novelty": gettext_lazy("unknown words or equipment"),
    "error": gettext_lazy("larger errors"),
    "recall": gettext_lazy("serious reports missed"),
    "calibration": gettext_lazy("surer than right"),
}
Period = Mapping[str, Any]
Checks = Mapping[str, tuple[str, str]]  # by kind, training.admin.quality_checks.check_links


def newest_drift() -> QualityReport | None:
    return QualityReport.objects.filter(kind=QualityReport.Kind.DRIFT).first()


def drift(report: QualityReport | None, checks: Checks) -> Chart:
    """How far the scores moved from what was usual, period by period, and what else alarmed."""
    title = _("Drift over time")
    link, url = checks.get(QualityReport.Kind.DRIFT, ("", ""))
    if report is None:
        finding = _("Nobody has looked for drift yet.")
        return Chart(name="drift", title=title, finding=finding, url=url, link=link)
    periods = (report.content.get("periods") or [])[-PERIODS:]
    return Chart(
        name="drift",
        title=title,
        finding=drift_in_words(report),
        kind="line",
        across=_("detected in"),
        unit=_("points moved"),
        rows=[_period(period) for period in periods],
        columns=[
            *(_moved(target, periods) for target in TARGETS),
            Column(
                label=_("looked at from"),
                values=[MOVED] * len(periods),
                cells=decimal_cells([MOVED] * len(periods), 1),
                colour=GREY,
                dash=(1, 4),
                mark="line",
            ),
            Column(label=_("reports"), cells=[Cell(text=grouped(each["reports"])) for each in periods]),
            Column(label=_("verdict"), cells=[_verdict(each) for each in periods]),
            Column(label=_("because of"), cells=[Cell(text=reasons(each)) for each in periods]),
        ],
        url=url,
        link=link,
    )


def drift_in_words(report: QualityReport) -> str:
    """The verdict on what the serving version has not learned, or else on the newest period."""
    judged = judged_period(report)
    facts = {"age": age(report.created_at), "reports": 0, "verdict": "", "reasons": ""}
    if judged is None:
        return _("There are too few dated reports to judge (%(age)s).") % facts
    facts |= {
        "reports": grouped(judged["reports"]),
        "verdict": VERDICTS.get(judged["verdict"], judged["verdict"]),
        "reasons": reasons(judged) or _("nothing unusual"),
    }
    if report.content.get("since_version"):
        words = _(
            "%(reports)s reports not learned by the serving version: %(verdict)s, %(reasons)s (%(age)s)."
        )
        return words % facts
    facts["period"] = _label(judged)
    return _("%(reports)s reports of %(period)s: %(verdict)s, %(reasons)s (%(age)s).") % facts


def judged_period(report: QualityReport) -> Period | None:
    periods = report.content.get("periods") or [None]
    judged: Period | None = report.content.get("since_version") or periods[-1]
    return judged


def reasons(period: Period) -> str:
    """What alarmed, in a few words of the page's language; the report's sentences are English."""
    terms = [term for found in period.get("terms") or [] for term in found["terms"][:1]]
    kinds = dict.fromkeys(finding["kind"] for finding in period["findings"])
    return "; ".join(
        f"{KINDS[kind]}: {', '.join(terms)}" if kind == "term" and terms else str(KINDS.get(kind, kind))
        for kind in kinds
    )


def _moved(target: str, periods: list[Period]) -> Column:
    moved = [(period.get("scores") or {}).get(target, {}).get("distance") for period in periods]
    return Column(
        label=TARGET_WORDS[target], values=moved, cells=decimal_cells(moved, 2), **TARGET_LINES[target]
    )


def _verdict(period: Period) -> Cell:
    verdict = period["verdict"]
    return Cell(text=str(VERDICTS.get(verdict, verdict)), mark=TONES.get(verdict, ""))


def _period(period: Period) -> Cell:
    start, stop = _bounds(period["label"])
    filters = LOOKED_AT | between("detected_at", start, stop)
    return Cell(text=_label(period), url=address(reverse(REPORTS), filters))


def _label(period: Period) -> str:
    start, stop = _bounds(period["label"])
    if stop.month - start.month in {1, -11}:
        return date_format(start, "YEAR_MONTH_FORMAT")
    return _("quarter %(number)d, %(year)d") % {"number": (start.month + 2) // 3, "year": start.year}


def _bounds(label: str) -> tuple[datetime, datetime]:
    """Of a month, 2023-06, or a quarter, 2023Q2."""
    year, number = int(label[:4]), int(label[5:])
    months = 3 if label[4] == "Q" else 1
    first = 12 * year + months * (number - 1)
    start, stop = (datetime(n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in (first, first + months))
    return start, stop


# --- Labels ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelAlerts:
    """What the newest look at the approved scores found and nobody has settled since."""

    finding: str
    rows: list[Cell]
    check: tuple[str, str] | None = None  # words and address
    url: str = ""


def label_alerts(checks: Checks) -> LabelAlerts:
    report = QualityReport.objects.filter(kind=QualityReport.Kind.LABELS).first()
    check = checks.get(QualityReport.Kind.LABELS)
    if report is None:
        words = _("Nobody has looked for doubtful labels yet.")
        return LabelAlerts(finding=words, rows=[], check=check)
    found = dict(LabelFinding.objects.current().order_by().values_list("kind").annotate(Count("pk")))
    return LabelAlerts(
        finding=_alerts_in_words(report, sum(found.values())),
        url=reverse(FINDINGS) if found else "",
        rows=[
            Cell(
                text=f"{grouped(found[kind])} × {kind.label}",
                url=address(reverse(FINDINGS), {"kind__exact": kind.value}),
            )
            for kind in LabelFinding.Kind
            if kind in found
        ],
        check=check,
    )


def _alerts_in_words(report: QualityReport, count: int) -> str:
    facts = {"age": age(report.created_at), "records": grouped(report.record_count), "count": grouped(count)}
    if not count:
        return _("No approved score is in doubt, of %(records)s records examined %(age)s.") % facts
    words = ngettext(
        "%(count)s approved score deserves a second look, of %(records)s records examined %(age)s.",
        "%(count)s approved scores deserve a second look, of %(records)s records examined %(age)s.",
        count,
    )
    return words % facts
