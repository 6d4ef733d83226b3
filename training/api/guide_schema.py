"""The guide's routes in the OpenAPI description, told by the guide's own examples."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from training.api import request_keys
from training.api.schema import FORBIDDEN, OPTIONAL_AUTH, UNKNOWN_CALLER, answer, describe
from training.api.v1.fields import ScoreField
from training.api.v1.reports import ReportSerializer
from training.errors import KeyReusedError
from training.ml.records import TARGETS
from training.validation import REQUIRED

TAGS = ["train"]

RECORD = {
    "anomaly_id": "MAINT_001",
    "description": "Pump bearing overheating during high-load operation",
    "equipment_name": "Primary Circulation Pump",
    "equipment_id": "pump-uuid-123",
    "availability_score": 2,
    "fiability_score": 1,
    "process_safety_score": 3,
}
RESULT = {
    "success": True,
    "message": "Incremental training completed successfully",
    "statistics": {
        "total_records_added": 1,
        "records_updated": 0,
        "records_unchanged": 0,
        "records_per_model": dict.fromkeys(TARGETS, 1),
        "training_time_seconds": 4.67,
        "models_retrained": dict.fromkeys(TARGETS, True),
        "backup_location": "model_backups/backup_20241205_143022",
    },
    "training_session_id": 5,
    "is_training": False,
}
ACCEPTED = {
    "success": True,
    "message": "Training session 5 is in progress. Ask /train/status?session=5 for its result.",
    "training_session_id": 5,
    "is_training": True,
    "status_url": "http://localhost:5000/train/status?session=5",
}
INVALID = {
    "success": False,
    "error": "Data validation failed",
    "validation_errors": [
        "Record 1: availability_score must be between 1 and 5, got 6",
        "Record 2: Missing required fields: ['equipment_id']",
    ],
}
INVALID_SESSION = {
    "success": False,
    "error": "Data validation failed",
    "validation_errors": ["session: A valid integer is required."],
}
BUSY = {
    "success": False,
    "error": "Training already in progress. Please wait and try again.",
    "is_training": True,
}
FAILED = {
    "success": False,
    "error": "The training timed out after 3600 s.",
    "training_session_id": 5,
    "is_training": False,
}
NO_WORKER = {
    "success": False,
    "error": "No queue worker took the training session within 10 s. "
    "Start one with: python manage.py qcluster. The records are kept.",
}
STATUS = {
    "is_training": False,
    "training_sessions_completed": 5,
    "available_backups": 8,
    "last_training": {
        "timestamp": "2024-12-05T14:30:22.123456",
        "records_added": 3,
        "training_time": 45.67,
        "models_retrained": 3,
        "backup_path": "model_backups/backup_20241205_143022",
        "success": True,
    },
}
FRESH = {
    "is_training": False,
    "training_sessions_completed": 0,
    "available_backups": 0,
    "last_training": None,
}
RUNNING = {
    "is_training": True,
    "training_sessions_completed": 0,
    "available_backups": 0,
    "last_training": {
        "timestamp": "2024-12-05T14:30:22.123456",
        "records_added": 3,
        "training_time": 0.0,
        "models_retrained": 0,
        "backup_path": None,
        "success": False,
    },
    "training_session_id": 6,
    "step": "fit",
    "progress": 70,
}
FOLLOWED = RUNNING | {
    "session": {
        "training_session_id": 6,
        "step": "fit",
        "progress": 70,
        "status": "running",
        "result": None,
    }
}
RELOADED = {"success": True, "message": "Models reloaded successfully", "models_loaded": True}
NOT_RELOADED = {
    "success": False,
    "message": "Failed to reload models",
    "models_loaded": False,
    "error": "No model has been trained yet.",
}
BACKUPS = {
    "backups": [
        {
            "name": "backup_20241205_143022",
            "created": "2024-12-05 14:30:22",
            "path": "model_backups/backup_20241205_143022",
        }
    ],
    "count": 1,
}
RESTORED = {
    "success": True,
    "message": "Successfully restored from backup backup_20241205_143022",
    "models_reloaded": True,
}


def refusal(sentence: str) -> dict[str, Any]:
    return {"success": False, "error": sentence}


NOT_JSON = refusal("The request body is not JSON: Expecting value: line 1 column 1 (char 0).")
REUSED = refusal(str(KeyReusedError()))
UNKNOWN = answer(UNKNOWN_CALLER, refusal("Invalid token."))


def denials(permission: str) -> dict[int, OpenApiResponse]:
    return {401: UNKNOWN, 403: answer(FORBIDDEN, refusal(f"This needs the permission {permission}."))}


class ScoredReportSerializer(ReportSerializer):
    """A report with an expert's scores: it becomes part of the training set."""

    availability_score = ScoreField()
    fiability_score = ScoreField()
    process_safety_score = ScoreField()

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for name in REQUIRED:
            fields[name].required = True
        return fields


describe(
    "training.api.guide.TrainView",
    post=extend_schema(
        summary="Train models with new anomaly data",
        description=(
            "Stores a batch of 1 to 1,000 scored records as approved, trains on everything approved, and "
            "answers with the result. A known `anomaly_id` is updated, an identical record is left alone. "
            "One bad record stores nothing. "
            "Needs `training.train_models`; in the open development mode no credentials."
        ),
        tags=TAGS,
        auth=OPTIONAL_AUTH,
        request={"application/json": ScoredReportSerializer(many=True)},
        parameters=[
            OpenApiParameter(
                "Prefer",
                OpenApiTypes.STR,
                OpenApiParameter.HEADER,
                description="`respond-async`, or `wait=N` seconds: 202 when the training goes on longer.",
            ),
            request_keys.PARAMETER,
        ],
        examples=[OpenApiExample("One record", value=RECORD, request_only=True)],
        responses={
            200: answer("Trained.", RESULT),
            202: answer("The training goes on; `Location` is where to ask for its result.", ACCEPTED),
            **denials("training.train_models"),
            400: answer("The batch breaks the contract. Nothing was stored.", INVALID, NOT_JSON),
            409: answer("Another session is queued or running. Nothing was stored.", BUSY),
            422: answer(request_keys.TAKEN, REUSED),
            500: answer("The training failed. The records are kept.", FAILED),
            503: answer("No worker took the session. The records are kept.", NO_WORKER),
        },
    ),
)
describe(
    "training.api.guide.StatusView",
    get=extend_schema(
        summary="Check current training status and history",
        tags=TAGS,
        auth=OPTIONAL_AUTH,
        parameters=[
            OpenApiParameter(
                "session",
                OpenApiTypes.INT,
                description="Adds this session; its `result`, once it ended, is what POST /train answers.",
            )
        ],
        responses={
            200: answer(
                "Idle, before the first training, during one after a failed one, and with `?session=`.",
                STATUS,
                FRESH,
                RUNNING,
                FOLLOWED,
            ),
            400: answer("`session` is no number of a session.", INVALID_SESSION),
            401: UNKNOWN,
            404: answer("There is no such session.", refusal("There is no training session 7.")),
        },
    ),
)
describe(
    "training.api.guide.ReloadView",
    post=extend_schema(
        summary="Reload models after training to use updated versions",
        description="The newest version serves in every web process. Needs `training.activate_modelversion`.",
        tags=TAGS,
        auth=OPTIONAL_AUTH,
        request=None,
        responses={
            200: answer("The newest version serves.", RELOADED),
            **denials("training.activate_modelversion"),
            500: answer("It cannot be loaded; what served keeps serving.", NOT_RELOADED),
        },
    ),
)
describe(
    "training.api.guide.BackupsView",
    get=extend_schema(
        summary="List available model backups",
        tags=TAGS,
        auth=OPTIONAL_AUTH,
        responses={200: answer("The backups, newest first.", BACKUPS), 401: UNKNOWN},
    ),
)
describe(
    "training.api.guide.RestoreView",
    post=extend_schema(
        summary="Restore models and training set from a backup",
        description="The present is backed up first. Needs `training.restore_backup`.",
        tags=TAGS,
        auth=OPTIONAL_AUTH,
        request=None,
        responses={
            200: answer("Restored.", RESTORED),
            **denials("training.restore_backup"),
            404: answer(
                "There is no such backup.", refusal("There is no backup named backup_20200101_000000.")
            ),
            409: answer("A session is queued or running.", BUSY),
            500: answer("The backup does not verify.", refusal("A file of the backup was altered.")),
        },
    ),
)
