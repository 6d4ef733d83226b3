"""GET /api/v1/drift/: the newest drift report."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from training.api.schema import ErrorSerializer, answer
from training.api.v1.base import ResourceViewSet
from training.ml.records import TARGETS
from training.models import QualityReport

SHIFT = {"mean": 2.24, "reference_mean": 1.74, "distance": 0.5031, "p_value": 0.00064}
EFFECT = {"difference": 3.315, "p_value": 7.6e-06}
SHARE: dict[str, Any] = {"share": 0.0412, "usual": 0.0438, "p_value": 0.56}
TERM: dict[str, Any] = {
    "terms": ["safety", "safety …"],
    "reports": 7,
    "mentions": 5,
    "share": 0.0781,
    "mentions_before": 0,
    "share_before": 0.0,
    "p_value": 9.1e-10,
    "is_new": True,
    "since": "2023-06-08",
    "effects": dict.fromkeys(TARGETS, EFFECT),
}
EXPECTED: dict[str, Any] = {
    "rows": 924,
    "mae": 0.28,
    "mse": 0.57,
    "expected_calibration_error": 0.025,
    "attention_recall": 0.87,
    "serious": 104,
}
ACCURACY: dict[str, Any] = {
    "rows": 64,
    "mae": 0.61,
    "mae_interval": [0.36, 0.86],
    "expected_calibration_error": 0.21,
    "overconfidence": 0.2,
    "serious": 15,
    "attention_recall": 0.27,
    "attention_recall_interval": [0.11, 0.52],
    "expected": EXPECTED,
    "error_p_value": 0.006,
    "calibration_p_value": 1.2e-06,
    "recall_p_value": 1.4e-06,
}
NOT_JUDGED = ACCURACY | dict.fromkeys(
    (
        "mae_interval",
        "attention_recall",
        "attention_recall_interval",
        "expected",
        "error_p_value",
        "calibration_p_value",
        "recall_p_value",
    )
)
PERIOD: dict[str, Any] = {
    "label": "2023-06",
    "reports": 67,
    "distinct_texts": 64,
    "reviewed": 64,
    "distinct_texts_before": 3419,
    "verdict": "retrain",
    "findings": [
        {
            "kind": "term",
            "verdict": "retrain",
            "sentence": 'New: "safety", "safety …", 5 mentions, 7.8% of the reports; 0, 0.0%, before. '
            "Such reports score 3.3 points higher on process safety.",
        }
    ],
    "terms": [TERM],
    "scores": dict.fromkeys(TARGETS, SHIFT),
    "uniform": {"scores": [1, 1, 1], "share": 0.25, "reference_share": 0.27, "p_value": 0.7},
    "novelty": {"words": SHARE, "equipment": SHARE, "mostly_unknown": 0.0},
    "accuracy": [{"by": "version 12", "targets": dict.fromkeys(TARGETS, ACCURACY)}],
}
REPORT: dict[str, Any] = {
    "created_at": "2023-07-01T02:00:00Z",
    "record_count": 3486,
    "seconds": 1.9,
    "model_version": 12,
    "verdict": "retrain",
    "period_length": "month",
    "records": 3502,
    "undated": 0,
    "alpha": 0.01,
    "since_version": PERIOD | {"label": "version 12"},
    "periods": [PERIOD],
}
# What stands where there was too little to compare.
BARE: dict[str, Any] = PERIOD | {
    "terms": [TERM | {"since": None, "effects": None}],
    "scores": None,
    "uniform": None,
    "novelty": {
        "words": SHARE | {"usual": None, "p_value": None},
        "equipment": SHARE | {"usual": None, "p_value": None},
        "mostly_unknown": 0.0,
    },
    "accuracy": [{"by": "version 12", "targets": dict.fromkeys(TARGETS, NOT_JUDGED)}],
}
UNEXPECTED = BARE | {
    "novelty": None,
    "accuracy": [
        {
            "by": "version 12",
            "targets": dict.fromkeys(TARGETS, ACCURACY | {"expected": EXPECTED | {"attention_recall": None}}),
        }
    ],
}
OTHERS = [
    REPORT | {"since_version": BARE, "periods": [BARE, UNEXPECTED]},
    REPORT | {"since_version": UNEXPECTED},
    REPORT | {"since_version": None, "model_version": None},
]


class DriftViewSet(ResourceViewSet):
    permissions = {"list": "training.view_qualityreport"}
    queryset = QualityReport.objects.filter(kind=QualityReport.Kind.DRIFT)
    filter_backends = []
    pagination_class = None

    @extend_schema(
        operation_id="drift",
        responses={
            200: answer("docs/drift.md tells what it measures.", REPORT, also=OTHERS),
            404: ErrorSerializer,
        },
    )
    def newest(self, request: Request) -> Response:
        """The newest drift report. 404 before the first one was made."""
        report = self.get_queryset().first()
        if report is None:
            raise NotFound("There is no drift report yet: make one with manage.py report_drift.")
        facts = {name: getattr(report, name) for name in ("created_at", "record_count", "seconds")}
        return Response(facts | report.content)
