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


def single(*, report: Report, scores: SuggestedScores, version_id: int, seconds: float) -> dict[str, Any]:
    return _result(report, scores, version_id, round(seconds, 4))


def batch(
    *, reports: Sequence[Report], scores: Sequence[SuggestedScores], version_id: int, seconds: float
) -> dict[str, Any]:
    average = round(seconds / len(reports), 6)
    return {
        "batch_info": {
            "total_anomalies": len(reports),
            "successful_predictions": len(reports),
            "failed_predictions": 0,  # a list is answered as a whole or refused as a whole
            "processing_time_seconds": round(seconds, 4),
            "average_time_per_anomaly": average,
        },
        "results": [_result(*row, version_id, average) for row in zip(reports, scores, strict=True)],
        "model_version": version_id,
        "status": "completed",
    }


def add_reasons(results: Iterable[dict[str, Any]], reasons: Iterable[Reasons]) -> None:
    """Why, beside each suggestion; `similar_anomalies` is null for who may not see anomalies."""
    for result, why in zip(results, reasons, strict=True):
        for target, name in ASPECTS.items():
            explanation = ExplanationSerializer(why.explanations[target]).data
            result["predictions"][name]["explanation"] = explanation
        similar = why.similar
        result["similar_anomalies"] = (
            None if similar is None else SimilarAnomalySerializer(similar, many=True).data
        )


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
