"""How reasons look in JSON, in /predict as in /api/v1/."""

from typing import Any

from rest_framework import serializers

from predictions.services import STATED
from training.ml.records import SCORE_COLUMNS, TARGETS


class ContributionSerializer(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(STATED, help_text="The field that it stands in.")
    text = serializers.CharField(help_text="A word, or the whole value, as the report has it.")
    value = serializers.FloatField(help_text="Points of the expected score that it adds, or takes.")
    usual = serializers.BooleanField(
        help_text="The report names no section or system that is known: its equipment usually has this one,"
        " or its words tell of it."
    )


class ExplanationSerializer(serializers.Serializer[Any]):
    """`expected` is `base` and the values of all contributions, added up."""

    base = serializers.FloatField(help_text="The expected score of an empty report.")
    expected = serializers.FloatField(help_text="The mean of the distribution.")
    contributions = ContributionSerializer(many=True, help_text="The largest first, whatever their sign.")


class SimilarAnomalySerializer(serializers.Serializer[Any]):
    """An approved anomaly that the version learned from, with the scores that it has today."""

    id = serializers.IntegerField(source="anomaly.pk")
    anomaly_id = serializers.CharField(source="anomaly.anomaly_id")
    similarity = serializers.FloatField(help_text="Cosine of the two reports' words, above 0, at most 1.")
    description = serializers.CharField(source="anomaly.description")
    equipment_id = serializers.CharField(source="anomaly.equipment_id")
    equipment_name = serializers.CharField(source="anomaly.equipment_name")
    detected_at = serializers.DateTimeField(source="anomaly.detected_at", allow_null=True)

    def get_fields(self) -> dict[str, Any]:
        scores = {name: serializers.FloatField(source=f"anomaly.{name}") for name in SCORE_COLUMNS}
        return super().get_fields() | scores


class ExplanationsSerializer(serializers.Serializer[Any]):
    def get_fields(self) -> dict[str, Any]:
        return {target: ExplanationSerializer() for target in TARGETS}


class ReasonsSerializer(serializers.Serializer[Any]):
    reasons = ExplanationsSerializer(source="explanations")
    similar_anomalies = SimilarAnomalySerializer(source="similar", many=True)
