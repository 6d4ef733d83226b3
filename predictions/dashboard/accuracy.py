"""How good the models are on held-out records: the active one's confusions, and version by version."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import mean
from typing import Any

from django.urls import reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _

from predictions.dashboard.charts import TARGET_LINES, Cell, Chart, Column, decimal_cells, grouped
from training.admin.confusions import Count, confusion_rows, held_out_url
from training.admin.figures import TARGET_WORDS
from training.admin.labels import decimals
from training.ml.records import TARGETS
from training.models import ModelVersion

VERSIONS = 30  # the newest that were measured
LIST = "admin:training_modelversion_changelist"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confusion:
    """How often each score was suggested where the experts gave each score."""

    name: str
    finding: str
    rows: list[tuple[int, list[Count]]]  # the experts' score, and how often each was suggested


def confusions(version: ModelVersion | None, *, may: Callable[[str], bool]) -> list[Confusion]:
    if version is None:
        return []
    url = held_out_url(version, may=may)
    return [
        Confusion(
            name=capfirst(str(TARGET_WORDS[target])),
            finding=_confused_in_words(figures),
            rows=confusion_rows(figures["confusion_matrix"], target=target, url=url),
        )
        for target, figures in (version.metrics.get("model") or {}).items()
        if target in TARGET_WORDS and figures.get("confusion_matrix") and figures.get("rows")
    ]


def _confused_in_words(figures: Mapping[str, Any]) -> str:
    words = _(
        "%(exact)s %% exact, %(near)s %% within one point; of the scores of 4 and 5, %(found)s are found."
    )
    recall = figures.get("recall_ge_4")
    return words % {
        "exact": _percent(figures.get("exact")),
        "near": _percent(figures.get("within_1")),
        "found": "–" if recall is None else f"{_percent(recall)} %",
    }


def _percent(share: float | None) -> str:
    return "–" if share is None else decimals(100 * share, 0)


def exact_in_percent(version: ModelVersion) -> str:
    """Of the three scores, in their order; a dash where nothing was held out."""
    measured = version.metrics.get("model") or {}
    return " · ".join(_percent(measured.get(target, {}).get("exact")) for target in TARGETS)


# --- Version by version ------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One version's figures by score."""

    version: ModelVersion
    rows: int
    model: Mapping[str, Mapping[str, Any]]

    @property
    def number(self) -> int:
        return self.version.pk

    def figure(self, name: str, target: str) -> float | None:
        return (self.model.get(target) or {}).get(name)

    def each(self, name: str) -> str:
        """In percent, in the order of the scores."""
        return " · ".join(_percent(self.figure(name, target)) for target in TARGETS)

    @property
    def error(self) -> float:
        """The mean of the three MAEs."""
        return mean(figure for target in TARGETS if (figure := self.figure("mae", target)) is not None)


def measured_versions() -> list[Measured]:
    """The newest ones, the oldest of them first."""
    found = ModelVersion.objects.only("name", "pruned_at", "metrics")[:VERSIONS]
    return [
        Measured(version=version, rows=version.metrics["rows"], model=version.metrics["model"])
        for version in reversed(found)
        if version.metrics.get("rows") and version.metrics.get("model")
    ]


def by_version(versions: list[Measured], *, may: Callable[[str], bool]) -> Chart:
    title, url = _("Accuracy by version"), reverse(LIST)
    if not versions:
        return Chart(
            name="accuracy", title=title, finding=_("No version was measured on held-out records yet.")
        )
    return Chart(
        name="accuracy",
        title=title,
        finding=_versions_in_words(versions),
        kind="line",
        across=_("version"),
        unit=_("MAE, points"),
        rows=[Cell(text=str(each.number), url=f"{url}{each.number}/change/") for each in versions],
        columns=[
            *(_error_column(target, versions) for target in TARGETS),
            Column(
                label=_("exact, % (A · F · S)"), cells=[Cell(text=each.each("exact")) for each in versions]
            ),
            Column(
                label=_("recall ≥ 4, % (A · F · S)"),
                cells=[Cell(text=each.each("recall_ge_4")) for each in versions],
            ),
            Column(
                label=_("held out"),
                cells=[
                    Cell(text=grouped(each.rows), url=held_out_url(each.version, may=may))
                    for each in versions
                ],
            ),
        ],
        url=url,
        link=_("All model versions"),
    )


def _error_column(target: str, versions: list[Measured]) -> Column:
    errors = [each.figure("mae", target) for each in versions]
    return Column(
        label=TARGET_WORDS[target],
        values=[None if error is None else round(error, 4) for error in errors],
        cells=decimal_cells(errors, 3),
        **TARGET_LINES[target],
    )


def _versions_in_words(versions: list[Measured]) -> str:
    newest = versions[-1]
    facts = {"version": newest.number, "error": decimals(newest.error, 3)}
    if len(versions) == 1:
        return _("Version %(version)s errs by %(error)s points on average; it is the first.") % facts
    difference = newest.error - versions[-2].error
    facts |= {"before": versions[-2].number, "difference": decimals(abs(difference), 3)}
    more = _("Version %(version)s errs by %(error)s points on average, %(difference)s more than %(before)s.")
    less = _("Version %(version)s errs by %(error)s points on average, %(difference)s less than %(before)s.")
    return (more if difference > 0 else less) % facts
