"""A version's held-out figures, laid out for reading: per score, the model beside champion and dummy."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.admin.labels import decimals, verdict
from training.ml.records import TARGETS
from training.models import ModelVersion

TARGET_WORDS: dict[str, Promise] = {
    "availability": _("availability"),
    "fiability": _("fiability"),
    "process_safety": _("process safety"),
}
# The few that decide come first; the others are folded.
DECIDING: dict[str, Promise] = {
    "mae": _("MAE"),
    "recall_ge_4": _("recall ≥ 4"),
    "precision_ge_4": _("precision ≥ 4"),
    "attention_recall": _("recall, needs attention"),
    "attention_precision": _("precision, needs attention"),
}
FOLDED: dict[str, Promise] = {
    "macro_mae": _("macro-averaged MAE"),
    "quadratic_weighted_kappa": _("quadratic weighted kappa"),
    "rmse": _("RMSE"),
    "r2": _("R²"),
    "exact": _("exact"),
    "within_0.5": _("within 0.5"),
    "within_1": _("within 1"),
    "expected_calibration_error": _("expected calibration error"),
}


def figures_of(version: ModelVersion) -> dict[str, Any]:
    """What version_figures.html shows; empty when nothing was held out."""
    if not version.metrics.get("rows"):
        return {}
    measured = version.metrics["model"]
    champions = version.comparison.get("champion_metrics") or {}
    dummies = version.metrics["dummy"]
    return {
        "rows": version.metrics["rows"],
        "verdict": verdict(version),
        "targets": [
            _target(target, measured[target], champions.get(target) or {}, dummies[target])
            for target in TARGETS
        ],
    }


def _target(
    target: str, model: Mapping[str, Any], champion: Mapping[str, Any], dummy: Mapping[str, Any]
) -> dict[str, Any]:
    columns = (model, champion, dummy)
    return {
        "name": TARGET_WORDS[target],
        "deciding": [_row(name, word, *columns) for name, word in DECIDING.items()],
        "folded": [_row(name, word, *columns) for name, word in FOLDED.items()],
        "confusion": model["confusion_matrix"],
    }


def _row(name: str, word: Promise, *columns: Mapping[str, Any]) -> dict[str, Any]:
    return {"word": word, "values": [decimals(column.get(name), 3) for column in columns]}
