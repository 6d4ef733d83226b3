"""The older service's answers to POST /predict, field by field, with ours added.

`processing_time_seconds` of a result within a list is the batch's average: one pass scores them all.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from predictions.explanations import Reasons
from predictions.risk import ASPECTS, assess
from predictions.serializers import ExplanationSerializer, SimilarAnomalySerializer
from predictions.services import SuggestedScores
from predictions.validation import Report
from training.ml.records import TARGETS

ASPECT_NAMES = tuple(ASPECTS[target] for target in TARGETS)


def single(
    *, report: Report, scores: SuggestedScores, reasons: Reasons | None, version_id: int, seconds: float
) -> dict[str, Any]:
    result = _result(report, scores, version_id, round(seconds, 4))
    return result if reasons is None else _with_reasons(result, reasons)


def batch(
    *,
    reports: Sequence[Report],
    scores: Iterable[SuggestedScores],
    reasons: Sequence[Reasons] | None,
    version_id: int,
    seconds: float,
) -> dict[str, Any]:
    """The results are made while they are written: 6,000 of them would take tens of megabytes."""
    average = round(seconds / len(reports), 6)
    results = (_result(*row, version_id, average) for row in zip(reports, scores, strict=True))
    return {
        "batch_info": {
            "total_anomalies": len(reports),
            "successful_predictions": len(reports),
            "failed_predictions": 0,  # a list is answered as a whole or refused as a whole
            "processing_time_seconds": round(seconds, 4),
            "average_time_per_anomaly": average,
        },
        "results": results if reasons is None else map(_with_reasons, results, reasons),
        "model_version": version_id,
        "status": "completed",
    }


def _with_reasons(result: dict[str, Any], why: Reasons) -> dict[str, Any]:
    """Why, beside each suggestion; `similar_anomalies` is null for who may not see anomalies."""
    for target, name in ASPECTS.items():
        result["predictions"][name]["explanation"] = ExplanationSerializer(why.explanations[target]).data
    similar = why.similar
    shown = None if similar is None else SimilarAnomalySerializer(similar, many=True).data
    return {**result, "similar_anomalies": shown}


def _result(report: Report, scores: SuggestedScores, version_id: int, seconds: float) -> dict[str, Any]:
    availability, fiability, process_safety = scores
    assessment = assess(availability.score, fiability.score, process_safety.score)
    aspects = zip(ASPECT_NAMES, scores, assessment.descriptions, strict=True)
    return {
        "anomaly_id": report.anomaly_id,
        "equipment_id": report.equipment_id,
        "equipment_name": report.equipment_name,
        "predictions": {
            name: {
                "score": suggestion.score,
                "description": description,
                "distribution": suggestion.distribution,
                "expected": suggestion.expected,
                "confidence": suggestion.confidence,
                "needs_attention": suggestion.needs_attention,
            }
            for name, suggestion, description in aspects
        },
        "overall_score": assessment.overall_score,
        "total_sum": assessment.total_sum,
        "needs_attention": any(suggestion.needs_attention for suggestion in scores),
        "risk_assessment": assessment.risk,
        "maintenance_recommendations": assessment.recommendations,
        "model_version": version_id,
        "status": "success",
        "processing_time_seconds": seconds,
    }
