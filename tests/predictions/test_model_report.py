import json
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from predictions.model_report import metrics_of
from tests.factories import BackupFactory, SessionFactory, VersionFactory
from training import artifacts
from training.ml.records import TARGETS
from training.models import ModelVersion, TrainingSession

pytestmark = pytest.mark.django_db


def metrics(client: Client) -> dict[str, Any]:
    response = client.get("/models/metrics")
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def measured(**changes: Any) -> dict[str, Any]:
    """The held-out figures of a version whose three models are alike, 1,000 rows each."""
    model = {"rows": 1_000, "mae": 0.3, "recall_ge_4": 0.6} | changes
    dummy = {"rows": model["rows"], "mae": 0.6, "recall_ge_4": 0.0}
    return {
        "protocol": "grouped_holdout",
        "model": alike(model),
        "dummy": alike(dummy),
    }


def alike(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {target: {**figures} for target in TARGETS}


def summary_of(**changes: Any) -> dict[str, Any]:
    version = VersionFactory.create(dataset_rows=5_000, metrics=measured(**changes))
    summary: dict[str, Any] = metrics_of(version)["summary"]
    return summary


def test_info_field_by_field(client: Client, version: ModelVersion) -> None:
    body = client.get("/models/info").json()
    features = (
        "Words, word pairs, character sequences and the opening word of the description, words of the"
        " equipment name, equipment ID, section and system, in one matrix for the three models"
    )
    assert body == {
        "models_loaded": True,
        "models": {
            "availability": {
                "description": "Equipment uptime and operational readiness",
                "features": features,
                "target_range": "1-5 (5 is the most critical)",
            },
            "fiability": {
                "description": "Equipment reliability, integrity and dependability",
                "features": features,
                "target_range": "1-5 (5 is the most critical)",
            },
            "process_safety": {
                "description": "Safety risk assessment and hazard identification",
                "features": features,
                "target_range": "1-5 (5 is the most critical)",
            },
        },
        "usage": {
            "single_prediction": "POST /predict with one JSON object",
            "batch_prediction": "POST /predict with a JSON list of up to 6,000",
            "required_fields": ["description", "equipment_id"],
            "optional_fields": ["anomaly_id", "equipment_name", "system", "section", "detected_at"],
        },
        "message": f"Version {version.pk} serves.",
        "model_version": version.pk,
    }


def test_info_names_the_direction_of_the_scale(client: Client, settings: Settings) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"
    models = client.get("/models/info").json()["models"]
    assert models["availability"]["target_range"] == "1-5 (1 is the most critical)"


def test_info_before_the_first_model(client: Client) -> None:
    body = client.get("/models/info").json()
    assert body["models_loaded"] is False
    assert body["model_version"] is None
    assert set(body["models"]) == set(TARGETS)


def test_metrics_are_the_held_out_ones_of_the_version_that_serves(
    client: Client, version: ModelVersion
) -> None:
    body = metrics(client)
    assert list(body) == [
        "model_performance",
        "training_statistics",
        "model_files",
        "training_history",
        "summary",
        "model_version",
        "protocol",
    ]
    assert body["model_version"] == version.pk
    assert body["protocol"] == "grouped_holdout"
    assert list(body["model_performance"]) == ["availability", "fiability", "process_safety"]
    for target, performance in body["model_performance"].items():
        model = version.metrics["model"][target]
        dummy = version.metrics["dummy"][target]
        assert performance == {
            "test_samples": model["rows"],
            **figures(model),
            "prediction_statistics": model["prediction"],
            "score_distribution": model["score_distribution"],
            "dummy_baseline": figures(dummy),
        }
    assert body["model_performance"]["availability"]["test_samples"] == 8
    assert set(body["model_performance"]["availability"]["prediction_statistics"]) == {
        "mean",
        "std",
        "min",
        "max",
    }


def figures(stored: dict[str, Any]) -> dict[str, Any]:
    return {
        "regression_metrics": {
            "mae": stored["mae"],
            "mse": stored["mse"],
            "rmse": stored["rmse"],
            "r2_score": stored["r2"],
        },
        "accuracy_metrics": {
            "accuracy_within_0.5": stored["within_0.5"],
            "accuracy_within_1.0": stored["within_1"],
        },
        "exact": stored["exact"],
        "quadratic_weighted_kappa": stored["quadratic_weighted_kappa"],
        "macro_mae": stored["macro_mae"],
        "recall_ge_4": stored["recall_ge_4"],
        "precision_ge_4": stored["precision_ge_4"],
        "attention_recall": stored["attention_recall"],
        "attention_precision": stored["attention_precision"],
        "expected_calibration_error": stored["expected_calibration_error"],
    }


def test_training_statistics_are_those_of_the_training_set(client: Client, version: ModelVersion) -> None:
    assert metrics(client)["training_statistics"]["fiability"] == {
        "total_records": 36,
        "valid_target_records": 36,
        "target_statistics": {"mean": pytest.approx(4 / 3), "std": pytest.approx((2 / 9) ** 0.5)},
        "target_distribution": {"score_1": 24, "score_2": 12, "score_3": 0, "score_4": 0, "score_5": 0},
        "data_quality": {"missing_descriptions": 0, "missing_equipment_ids": 0, "duplicate_records": 0},
    }


def test_model_files(client: Client, version: ModelVersion) -> None:
    client.get("/health")  # loads the version while it is whole
    (artifacts.directory_of(version) / "fiability_model.pkl").unlink()
    files = metrics(client)["model_files"]
    assert list(files) == ["availability", "fiability", "process_safety"]
    there = files["availability"]
    assert there["filename"] == "availability_model.pkl"
    assert there["exists"] is True
    size = (artifacts.directory_of(version) / "availability_model.pkl").stat().st_size
    assert there["size_mb"] == round(size / 1024**2, 3)
    assert there["last_modified"].endswith("+00:00")
    assert files["fiability"] == {
        "filename": "fiability_model.pkl",
        "size_mb": 0.0,
        "last_modified": None,
        "exists": False,
        "problem": None,
    }


def test_training_history(client: Client, version: ModelVersion) -> None:
    history = metrics(client)["training_history"]
    assert history == {
        "total_training_sessions": 0,
        "last_training": None,
        "available_backups": 0,
        "is_currently_training": False,
    }
    SessionFactory.create(status=TrainingSession.Status.SUCCEEDED, model_version=version, records_created=3)
    SessionFactory.create(status=TrainingSession.Status.RUNNING)
    BackupFactory.create()
    history = metrics(client)["training_history"]
    assert history["last_training"].pop("timestamp")
    assert history == {
        "total_training_sessions": 1,
        "last_training": {
            "records_added": 3,
            "training_time": 0.0,
            "models_retrained": 3,
            "backup_path": None,
            "success": True,
        },
        "available_backups": 1,
        "is_currently_training": True,
    }


def test_metrics_cost_a_fixed_number_of_queries(
    client: Client, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    metrics(client)
    # The pointer, the version, the active session, the last one, counts of sessions and of backups.
    with django_assert_num_queries(6):
        metrics(client)
    BackupFactory.create_batch(3)
    VersionFactory.create_batch(3)
    with django_assert_num_queries(6):
        metrics(client)


# --- The rules of health -----------------------------------------------------------------------


def test_a_good_version_needs_nothing() -> None:
    assert summary_of() == {
        "overall_model_health": 0.5,
        "health_status": "good",
        "models_evaluated": 3,
        "total_training_records": 5_000,
        "recommendations": [],
    }


@pytest.mark.parametrize(
    ("mae", "health", "status"),
    [(0.45, 0.25, "good"), (0.48, 0.2, "fair"), (0.6, 0.0, "poor"), (0.9, -0.5, "poor"), (0.0, 1.0, "good")],
)
def test_health_is_the_gain_over_the_dummy(mae: float, health: float, status: str) -> None:
    summary = summary_of(mae=mae)
    assert summary["overall_model_health"] == health
    assert summary["health_status"] == status


def test_the_worst_model_decides_the_status() -> None:
    stored = measured()
    stored["model"] = stored["model"] | {"fiability": stored["model"]["fiability"] | {"mae": 0.75}}
    summary = metrics_of(VersionFactory.create(metrics=stored))["summary"]
    assert summary["overall_model_health"] == 0.25
    assert summary["health_status"] == "poor"
    assert summary["recommendations"] == [
        "The fiability model is no better than its baseline: review its scores, train again."
    ]


def test_a_perfect_dummy_leaves_nothing_to_gain() -> None:
    stored = measured(mae=0.0)
    stored["dummy"] = alike({"rows": 1_000, "mae": 0.0})
    assert metrics_of(VersionFactory.create(metrics=stored))["summary"]["overall_model_health"] == 1.0
    stored["model"] = alike({"rows": 1_000, "mae": 0.1, "recall_ge_4": None})
    assert metrics_of(VersionFactory.create(metrics=stored))["summary"]["overall_model_health"] == 0.0


def test_missed_serious_scores_are_told() -> None:
    assert summary_of(recall_ge_4=0.2)["recommendations"] == [
        "The availability model finds 20% of the scores of 4 and 5: review by hand.",
        "The fiability model finds 20% of the scores of 4 and 5: review by hand.",
        "The process_safety model finds 20% of the scores of 4 and 5: review by hand.",
    ]
    assert summary_of(recall_ge_4=0.5)["recommendations"] == []
    assert summary_of(recall_ge_4=None)["recommendations"] == []


def test_few_held_out_reports_are_told() -> None:
    assert summary_of(rows=199)["recommendations"] == [
        "Only 199 reports were held out: approve more anomalies, the figures are uncertain."
    ]
    assert summary_of(rows=200)["recommendations"] == []


def test_without_held_out_reports_nothing_is_claimed() -> None:
    version = VersionFactory.create(metrics=measured(rows=0, mae=None, recall_ge_4=None))
    body = metrics_of(version)
    assert body["summary"] == {
        "overall_model_health": None,
        "health_status": "unknown",
        "models_evaluated": 0,
        "total_training_records": 1,
        "recommendations": [
            "Nothing could be held out, so nothing was measured: approve more anomalies and train again."
        ],
    }
    assert body["model_performance"]["availability"]["regression_metrics"] == {
        "mae": None,
        "mse": None,
        "rmse": None,
        "r2_score": None,
    }


def test_a_version_without_any_metrics_is_still_reported() -> None:
    body = metrics_of(VersionFactory.create())
    assert body["protocol"] is None
    assert body["model_performance"]["availability"]["test_samples"] == 0
    assert json.loads(json.dumps(body))["summary"]["health_status"] == "unknown"
