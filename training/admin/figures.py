"""A version's held-out figures, laid out for reading: per score, the model beside champion and dummy."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.admin.confusions import confusion_rows, given, held_out_url
from training.admin.labels import TARGET_WORDS, decimals, gate, verdict
from training.ml.records import TARGETS
from training.models import ModelVersion

__all__ = ["TARGET_WORDS", "figures_of"]

# The few that decide come first; the others are folded.
DECIDING: dict[str, Promise] = {
    "mae": _("MAE"),
    "recall_ge_4": _("recall ≥ 4"),
}
FOLDED: dict[str, Promise] = {
    "precision_ge_4": _("precision ≥ 4"),
    "attention_recall": _("recall, needs attention"),
    "attention_precision": _("precision, needs attention"),
    "macro_mae": _("macro-averaged MAE"),
    "quadratic_weighted_kappa": _("quadratic weighted kappa"),
    "rmse": _("RMSE"),
    "r2": _("R²"),
    "exact": _("exact"),
    "within_0.5": _("within 0.5"),
    "within_1": _("within 1"),
    "expected_calibration_error": _("expected calibration error"),
}


def figures_of(version: ModelVersion, *, may: Callable[[str], bool]) -> dict[str, Any]:
    """What version_figures.html shows; empty when nothing was held out. `may`: has_perm of who looks."""
    if not version.metrics.get("rows"):
        return {}
    measured = version.metrics["model"]
    champions = version.comparison.get("champion_metrics") or {}
    dummies = version.metrics["dummy"]
    url = held_out_url(version, may=may)
    return {
        "rows": version.metrics["rows"],
        "held_out_url": url,
        "verdict": verdict(version),
        "gate": gate(version),
        "version": version,
        "champion": _champion_of(version),
        "short": [f"v{version.pk}", f"v{version.comparison.get('champion_version') or '–'}"],
        "targets": [
            _target(target, measured[target], champions.get(target) or {}, dummies[target], url)
            for target in TARGETS
        ],
    }


def _champion_of(version: ModelVersion) -> str:
    """By its number, which is its key: the comparison outlives what it was made with."""
    champion = version.comparison.get("champion_version")
    return str(ModelVersion(pk=champion)) if champion else str(_("champion"))


def _target(
    target: str, model: Mapping[str, Any], champion: Mapping[str, Any], dummy: Mapping[str, Any], url: str
) -> dict[str, Any]:
    columns = (model, champion, dummy)
    return {
        "name": TARGET_WORDS[target],
        "deciding": [_row(name, word, *columns) for name, word in DECIDING.items()],
        "folded": [_row(name, word, *columns) for name, word in FOLDED.items()],
        "classes": _classes(model["confusion_matrix"], champion.get("confusion_matrix") or [], target, url),
        "confusion": confusion_rows(model["confusion_matrix"], target=target, url=url),
    }


def _classes(
    model: Sequence[Sequence[int]], champion: Sequence[Sequence[int]], target: str, url: str
) -> list[dict[str, Any]]:
    """Per score: the held-out rows that have it, and of model and champion recall and precision."""
    return [
        {
            "score": at + 1,
            "rows": given(sum(counts), actual=at + 1, target=target, url=url),
            "values": [
                decimals(figure, 2)
                for found in (_recall, _precision)
                for figure in (found(model, at), found(champion, at))
            ],
        }
        for at, counts in enumerate(model)
    ]


def _recall(confusion: Sequence[Sequence[int]], at: int) -> float | None:
    """Of the rows with that score, the share that was given it; None without any."""
    rows = sum(confusion[at]) if confusion else 0
    return confusion[at][at] / rows if rows else None


def _precision(confusion: Sequence[Sequence[int]], at: int) -> float | None:
    """Of the rows that were given that score, the share that has it; None without any."""
    given = sum(counts[at] for counts in confusion)
    return confusion[at][at] / given if given else None


def _row(name: str, word: Promise, *columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"word": word, "values": [decimals(column.get(name), 3) for column in columns]}
