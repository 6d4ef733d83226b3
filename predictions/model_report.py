"""GET /models/info and /models/metrics: what the models are, and how good the serving version is.

Every figure was measured on reports that were held out of training (`protocol` says how) and is null
where it is not defined. The health of a version is judged by rules, never by hand:

- the *skill* of a model is 1 - MAE / MAE of the dummy that always answers the median of its training
  scores: 1 is perfect, 0 is as good as not looking at the report;
- `overall_model_health` is the mean skill of the three models;
- `health_status` goes by the worst of them: good from GOOD_SKILL, fair above 0, else poor; unknown when
  nothing could be held out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from predictions.predictor import State
from predictions.services import explain
from training import artifacts
from training.api.guide import status_of_training
from training.errors import UnservableVersionError
from training.ml.records import TARGETS
from training.models import ModelVersion
from training.shelves import StoredFile

Metrics = Mapping[str, Any]

GOOD_SKILL = 0.25
LOW_RECALL = 0.5  # of the scores of 4 and 5
FEW_REPORTS = 200  # held out: below, a MAE is known to about ±0.05 only

DESCRIPTIONS = {
    "availability": "Equipment uptime and operational readiness",
    "fiability": "Equipment reliability, integrity and dependability",
    "process_safety": "Safety risk assessment and hazard identification",
}
FEATURES = (
    "Words, word pairs, character sequences and the opening word of the description, words of the"
    " equipment name, equipment ID, section and system, in one matrix for the three models"
)
HONEST = (
    "exact",
    "quadratic_weighted_kappa",
    "macro_mae",
    "recall_ge_4",
    "precision_ge_4",
    "attention_recall",
    "attention_precision",
    "expected_calibration_error",
)
USAGE = {
    "single_prediction": "POST /predict with one JSON object",
    "batch_prediction": f"POST /predict with a JSON list of up to {settings.PREDICTION_BATCH_LIMIT:,}",
    "required_fields": ["description", "equipment_id"],
    "optional_fields": ["anomaly_id", "equipment_name", "system", "section", "detected_at"],
}


def info_of(state: State) -> dict[str, Any]:
    worst = settings.SCORE_DIRECTION[0]
    return {
        "models_loaded": state.loaded is not None,
        "models": {
            target: {
                "description": DESCRIPTIONS[target],
                "features": FEATURES,
                "target_range": f"1-5 ({worst} is the most critical)",
            }
            for target in TARGETS
        },
        "usage": USAGE,
        "message": explain(state),
        "model_version": state.loaded and state.loaded.version_id,
    }


def metrics_of(version: ModelVersion) -> dict[str, Any]:
    """Of one version: its held-out figures, its training set, its files, and how it came to be."""
    model = {target: version.metrics.get("model", {}).get(target, {}) for target in TARGETS}
    dummy = {target: version.metrics.get("dummy", {}).get(target, {}) for target in TARGETS}
    return {
        "model_performance": {target: _performance(model[target], dummy[target]) for target in TARGETS},
        "training_statistics": version.statistics,
        "model_files": _files(version),
        "training_history": _history(),
        "summary": _summary(version, model, dummy),
        "model_version": version.pk,
        "protocol": version.metrics.get("protocol"),
    }


def _performance(model: Metrics, dummy: Metrics) -> dict[str, Any]:
    return {
        "test_samples": model.get("rows", 0),
        "regression_metrics": _regression(model),
        "accuracy_metrics": _accuracy(model),
        "prediction_statistics": model.get("prediction"),
        "score_distribution": model.get("score_distribution"),
        **{name: model.get(name) for name in HONEST},
        "dummy_baseline": {
            "regression_metrics": _regression(dummy),
            "accuracy_metrics": _accuracy(dummy),
            **{name: dummy.get(name) for name in HONEST},
        },
    }


def _regression(metrics: Metrics) -> dict[str, float | None]:
    return {name: metrics.get(name) for name in ("mae", "mse", "rmse")} | {"r2_score": metrics.get("r2")}


def _accuracy(metrics: Metrics) -> dict[str, float | None]:
    """As shares, 0 to 1."""
    return {
        "accuracy_within_0.5": metrics.get("within_0.5"),
        "accuracy_within_1.0": metrics.get("within_1"),
    }


def _files(version: ModelVersion) -> dict[str, dict[str, Any]]:
    """Each model's file; `problem` says why it cannot be looked at now, `exists` is false then."""
    stored: Mapping[str, StoredFile] = {}
    problem = None
    try:
        stored = artifacts.files_of(version)
    except (UnservableVersionError, OSError) as error:
        problem = f"The files cannot be read now: {error}"
    names = {target: f"{target}_model.pkl" for target in TARGETS}
    return {target: {**_file(name, stored.get(name)), "problem": problem} for target, name in names.items()}


def _file(filename: str, facts: StoredFile | None) -> dict[str, Any]:
    if facts is None:
        return {"filename": filename, "size_mb": 0.0, "last_modified": None, "exists": False}
    return {
        "filename": filename,
        "size_mb": round(facts.size / 1024**2, 3),
        "last_modified": datetime.fromtimestamp(facts.modified, tz=UTC).isoformat(timespec="seconds"),
        "exists": True,
    }


def _history() -> dict[str, Any]:
    training = status_of_training()
    return {
        "total_training_sessions": training["training_sessions_completed"],
        "last_training": training["last_training"],
        "available_backups": training["available_backups"],
        "is_currently_training": training["is_training"],
    }


def _summary(
    version: ModelVersion, model: Mapping[str, Metrics], dummy: Mapping[str, Metrics]
) -> dict[str, Any]:
    measured = {target: metrics for target, metrics in model.items() if metrics.get("rows")}
    skills = {target: _skill(metrics, dummy[target]) for target, metrics in measured.items()}
    return {
        "overall_model_health": round(sum(skills.values()) / len(skills), 3) if skills else None,
        "health_status": _status(skills),
        "models_evaluated": len(measured),
        "total_training_records": version.dataset_rows,
        "recommendations": _recommendations(measured, skills),
    }


def _skill(model: Metrics, dummy: Metrics) -> float:
    """Where the dummy is perfect there is nothing to gain: 1 when the model is perfect too, else 0."""
    if not dummy["mae"]:
        return float(not model["mae"])
    return float(1 - model["mae"] / dummy["mae"])


def _status(skills: Mapping[str, float]) -> str:
    if not skills:
        return "unknown"
    worst = min(skills.values())
    return "good" if worst >= GOOD_SKILL else "fair" if worst > 0 else "poor"


def _recommendations(measured: Mapping[str, Metrics], skills: Mapping[str, float]) -> list[str]:
    """A sentence for each finding; none when there is nothing to do."""
    if not measured:
        return ["Nothing could be held out, so nothing was measured: approve more anomalies and train again."]
    rows = min(metrics["rows"] for metrics in measured.values())
    found = []
    if rows < FEW_REPORTS:
        found.append(f"Only {rows} reports were held out: approve more anomalies, the figures are uncertain.")
    for target, metrics in measured.items():
        if skills[target] <= 0:
            found.append(
                f"The {target} model is no better than its baseline: review its scores, train again."
            )
        recall = metrics["recall_ge_4"]
        if recall is not None and recall < LOW_RECALL:
            found.append(f"The {target} model finds {recall:.0%} of the scores of 4 and 5: review by hand.")
    return found
