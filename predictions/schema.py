"""The older service's routes in the OpenAPI description, told by examples."""

from typing import Any

from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    PolymorphicProxySerializer,
    extend_schema,
)

from predictions.explanations import LIMIT
from training.api.guide_schema import RUNNING, STATUS
from training.api.schema import FORBIDDEN, OPTIONAL_AUTH, UNKNOWN_CALLER, answer, describe
from training.api.v1.reports import ReportSerializer
from training.ml.records import TARGETS

NO_AUTH: list[Any] = [{}]
PREDICT, MODELS, OPERATION = ["predict"], ["models"], ["operation"]

ANOMALY = {
    "anomaly_id": "MAINT_001",
    "description": "Pump bearing overheating during high-load operation",
    "equipment_name": "Primary Circulation Pump",
    "equipment_id": "pump-uuid-123",
}
RESULT: dict[str, Any] = {
    "anomaly_id": "MAINT_001",
    "equipment_id": "pump-uuid-123",
    "equipment_name": "Primary Circulation Pump",
    "predictions": {
        "availability": {
            "score": 3,
            "description": "Noticeable effect on availability: reduced performance or redundancy",
            "distribution": [0.1, 0.25, 0.5, 0.1, 0.05],
            "expected": 2.75,
            "confidence": 0.5,
            "needs_attention": False,
        },
        "reliability": {
            "score": 2,
            "description": "Minor wear or defect: integrity is not at stake",
            "distribution": [0.4, 0.58, 0.02, 0.0, 0.0],
            "expected": 1.62,
            "confidence": 0.58,
            "needs_attention": False,
        },
        "process_safety": {
            "score": 1,
            "description": "No effect on process safety",
            "distribution": [0.87, 0.12, 0.01, 0.0, 0.0],
            "expected": 1.14,
            "confidence": 0.87,
            "needs_attention": False,
        },
    },
    "overall_score": 2.0,
    "total_sum": 6,
    "needs_attention": False,
    "risk_assessment": {
        "overall_risk_level": "LOW",
        "recommended_action": "Routine: handle within regular maintenance",
        "critical_factors": [],
        "weakest_aspect": "availability",
        "criticality": 6,
        "band": "normal",
    },
    "maintenance_recommendations": [
        "Handle the anomaly within regular maintenance and keep watching the equipment."
    ],
    "model_version": 12,
    "status": "success",
    "processing_time_seconds": 0.0043,
}
CONTRIBUTION = {"kind": "description", "text": "overheating", "value": 0.4, "usual": False}
EXPLAINED = RESULT | {
    "predictions": {
        name: {
            **suggestion,
            "explanation": {
                "base": round(suggestion["expected"] - CONTRIBUTION["value"], 2),
                "expected": suggestion["expected"],
                "contributions": [CONTRIBUTION],
            },
        }
        for name, suggestion in RESULT["predictions"].items()
    },
    "similar_anomalies": [
        {
            "id": 431,
            "anomaly_id": "MAINT_000",
            "similarity": 0.8143,
            "description": "Pump bearing overheating",
            "equipment_id": "pump-uuid-123",
            "equipment_name": "Primary Circulation Pump",
            "detected_at": "2026-01-11T06:30:00Z",
            "availability_score": 3.0,
            "fiability_score": 2.0,
            "process_safety_score": 1.0,
        }
    ],
}
BATCH = {
    "batch_info": {
        "total_anomalies": 1,
        "successful_predictions": 1,
        "failed_predictions": 0,
        "processing_time_seconds": 0.0043,
        "average_time_per_anomaly": 0.0043,
    },
    "results": [RESULT],
    "model_version": 12,
    "status": "completed",
}
NOT_SHOWN = EXPLAINED | {"similar_anomalies": None}
UNDATED = EXPLAINED | {"similar_anomalies": [EXPLAINED["similar_anomalies"][0] | {"detected_at": None}]}
# An explained list, and what may be null.
UNNAMED, NUMBERED = RESULT | {"anomaly_id": None}, RESULT | {"anomaly_id": 4711}
ALSO = [
    UNNAMED,
    NUMBERED,
    BATCH | {"results": [UNNAMED, NUMBERED]},
    BATCH | {"results": [EXPLAINED, NOT_SHOWN, UNDATED]},
    NOT_SHOWN,
    UNDATED,
]
EXPLAIN = (
    f"Gives the reasons, for up to {LIMIT} anomalies: in each prediction an `explanation`, whose base and"
    " contributions add up to the expected score, and beside them the approved anomalies that are most"
    " similar, null for who may not see anomalies (`training.view_anomaly`)."
)
ONE_WRONG = {"error": "Bad Request", "message": "Missing required fields: ['description']"}
SOME_WRONG = {
    "error": "Bad Request",
    "message": "Data validation failed",
    "validation_errors": ["Record 2: Missing required fields: ['description']"],
}
NO_MODEL = {
    "error": "Service Unavailable",
    "message": "No model is active: train one with POST /train, then activate it with POST /train/reload.",
}
HEALTHY = {
    "status": "healthy",
    "models_loaded": True,
    "message": "Version 12 serves.",
    "model_version": 12,
    "problems": [],
    "app_name": "Equipment Anomaly Training Pipeline",
    "version": "1.0.0",
}
NO_QUEUE = {
    "code": "queue_silent",
    "severity": "serious",
    "subject": "",
    "message": "No queue runs: nothing is trained and no notice is sent.",
    "action": "Start it: python manage.py qcluster, or systemctl restart anomalies-queue.",
    "since": "2026-03-01T02:00:12+00:00",
}
DEGRADED = HEALTHY | {
    "status": "degraded",
    "models_loaded": False,
    "message": NO_MODEL["message"],
    "model_version": None,
    "problems": [NO_QUEUE],
}
IN_SHORT = {name: HEALTHY[name] for name in HEALTHY.keys() - {"model_version", "problems"}} | {
    "message": "A model serves."
}
INFO = {
    "models_loaded": True,
    "models": {
        target: {
            "description": "What the score is about",
            "features": "What of a report the model reads",
            "target_range": "1-5 (5 is the most critical)",
        }
        for target in TARGETS
    },
    "usage": {
        "single_prediction": "POST /predict with one JSON object",
        "batch_prediction": "POST /predict with a JSON list of up to 6,000 objects",
        "required_fields": ["description", "equipment_id"],
        "optional_fields": ["anomaly_id", "equipment_name", "system", "section", "detected_at"],
    },
    "message": "Version 12 serves.",
    "model_version": 12,
}
NO_INFO = INFO | {"models_loaded": False, "message": NO_MODEL["message"], "model_version": None}
FIGURES = {
    "regression_metrics": {"mae": 0.25, "mse": 0.4, "rmse": 0.63, "r2_score": 0.61},
    "accuracy_metrics": {"accuracy_within_0.5": 0.8, "accuracy_within_1.0": 0.96},
    "exact": 0.8,
    "quadratic_weighted_kappa": 0.75,
    "macro_mae": 0.62,
    "recall_ge_4": 0.67,
    "precision_ge_4": 0.8,
    "attention_recall": 0.8,
    "attention_precision": 0.75,
    "expected_calibration_error": 0.03,
}
SCORES = {f"score_{score}": count for score, count in enumerate((460, 220, 200, 110, 10), start=1)}
HELD_OUT = FIGURES | {
    "prediction_statistics": {"mean": 1.9, "std": 1.0, "min": 1.0, "max": 5.0},
    "score_distribution": {"predicted": SCORES, "actual": SCORES},
}


def metrics_with(
    rows: int, held_out: dict[str, Any], dummy: dict[str, Any], **summary: object
) -> dict[str, Any]:
    return {
        "model_performance": {
            target: {
                "test_samples": rows,
                **held_out,
                "dummy_baseline": dummy,
            }
            for target in TARGETS
        },
        "training_statistics": {
            target: {
                "total_records": 5000,
                "valid_target_records": 5000,
                "target_statistics": {"mean": 1.9, "std": 1.1},
                "target_distribution": SCORES,
                "data_quality": {
                    "missing_descriptions": 0,
                    "missing_equipment_ids": 0,
                    "duplicate_records": 3,
                },
            }
            for target in TARGETS
        },
        "model_files": {
            target: {
                "filename": f"{target}_model.pkl",
                "size_mb": 1.2,
                "last_modified": "2026-03-01T02:00:12+00:00",
                "exists": True,
                "problem": None,
            }
            for target in TARGETS
        },
        "training_history": {
            "total_training_sessions": 12,
            "last_training": STATUS["last_training"],
            "available_backups": 8,
            "is_currently_training": False,
        },
        "summary": {
            "total_training_records": 5000,
            "recommendations": ["The fiability model finds 20% of the scores of 4 and 5: review by hand."],
            **summary,
        },
        "model_version": 12,
        "protocol": "grouped_holdout" if rows else None,
    }


UNDEFINED = {
    name: dict.fromkeys(value) if isinstance(value, dict) else None for name, value in FIGURES.items()
}
MEASURED = metrics_with(
    1000, HELD_OUT, FIGURES, overall_model_health=0.58, health_status="good", models_evaluated=3
)
UNMEASURED = metrics_with(
    0,
    UNDEFINED | {"prediction_statistics": None, "score_distribution": None},
    UNDEFINED,
    overall_model_health=None,
    health_status="unknown",
    models_evaluated=0,
)
FAILED = {"training_history": {**MEASURED["training_history"], "last_training": RUNNING["last_training"]}}
RESTORED = {"training_history": {**MEASURED["training_history"], "last_training": None}}


class PredictionRequestSerializer(ReportSerializer):
    """An anomaly to score; nothing of it is stored."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        fields["anomaly_id"].required = False
        return fields


UNKNOWN = answer(UNKNOWN_CALLER, {"error": "Unauthorized", "message": "Invalid token."})
NO_CSRF_TOKEN = answer(FORBIDDEN, {"error": "Forbidden", "message": "CSRF Failed: CSRF cookie not set."})


def no_model() -> OpenApiResponse:
    return answer("No model serves.", NO_MODEL)


describe(
    "predictions.api.PredictView",
    post=extend_schema(
        summary="Score one anomaly, or up to 6,000 in a list",
        description="Answers in the form of the request. Nothing is stored.",
        tags=PREDICT,
        auth=OPTIONAL_AUTH,
        parameters=[OpenApiParameter("explain", bool, default=False, description=EXPLAIN)],
        request=PolymorphicProxySerializer(
            component_name="AnomalyOrList",
            serializers=[PredictionRequestSerializer, PredictionRequestSerializer(many=True)],
            resource_type_field_name=None,
            many=False,
        ),
        examples=[OpenApiExample("One anomaly", value=ANOMALY, request_only=True)],
        responses={
            200: answer("The scores of one anomaly, or of a list.", RESULT, BATCH, EXPLAINED, also=ALSO),
            400: answer("Something is wrong; of a list, each record is named.", ONE_WRONG, SOME_WRONG),
            401: UNKNOWN,
            403: NO_CSRF_TOKEN,
            503: no_model(),
        },
    ),
)
describe(
    "predictions.api.HealthView",
    get=extend_schema(
        summary="Whether a model serves, and what is wrong",
        description="Answers 200 whatever is wrong; `status` tells whether predictions are answered, "
        "`problems` what else is wrong. Open to everybody: who may not read is told no reasons.",
        tags=MODELS,
        auth=OPTIONAL_AUTH,
        responses={200: answer("Healthy, or degraded.", HEALTHY, DEGRADED, IN_SHORT), 401: UNKNOWN},
    ),
)
describe(
    "predictions.probes.LiveView",
    get=extend_schema(
        summary="Whether the process lives",
        description="Always open, never throttled. It asks neither database nor disk.",
        tags=OPERATION,
        auth=NO_AUTH,
        responses={200: answer("It does.", {"status": "alive"})},
    ),
)
describe(
    "predictions.probes.ReadyView",
    get=extend_schema(
        summary="Whether requests may come",
        description="Always open, never throttled. Database, migrations, storage and model are there.",
        tags=OPERATION,
        auth=NO_AUTH,
        responses={
            200: answer("They may.", {"status": "ready", "reasons": []}),
            503: answer(
                "Not yet, or not any more: `database`, `migrations`, `model`, `storage`.",
                {"status": "not ready", "reasons": ["database"]},
            ),
        },
    ),
)
describe(
    "predictions.metrics_api.MetricsView",
    get=extend_schema(
        summary="Metrics for Prometheus",
        description="Open to `METRICS_ALLOWED_NETWORKS`; from elsewhere it needs `training.view_finding`.",
        tags=OPERATION,
        auth=OPTIONAL_AUTH,
        responses={
            (200, "text/plain"): OpenApiResponse(str, "Prometheus' text format."),
            401: answer(UNKNOWN_CALLER, {"success": False, "error": "Invalid token."}),
            403: answer(
                FORBIDDEN, {"success": False, "error": "This needs the permission training.view_finding."}
            ),
        },
    ),
)
describe(
    "predictions.api.ModelsInfoView",
    get=extend_schema(
        summary="What the models are and how to ask them",
        tags=MODELS,
        auth=OPTIONAL_AUTH,
        responses={200: answer("The three models.", INFO, NO_INFO), 401: UNKNOWN},
    ),
)
describe(
    "predictions.api.ModelsMetricsView",
    get=extend_schema(
        summary="How good the serving version is",
        description="Figures are of reports held out of training; null where one is not defined.",
        tags=MODELS,
        auth=OPTIONAL_AUTH,
        responses={
            200: answer(
                "Figures of the three models.",
                MEASURED,
                also=[UNMEASURED, MEASURED | FAILED, MEASURED | RESTORED],
            ),
            401: UNKNOWN,
            503: no_model(),
        },
    ),
)
