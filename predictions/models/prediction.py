"""Suggestions that were made for the anomalies of the review queue: kept, so that quality can be measured."""

from django.db import models
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, ModelVersion


class Prediction(models.Model):
    """What one model version suggested for one anomaly. Never written to the reviewed columns."""

    anomaly = models.ForeignKey(
        Anomaly, verbose_name=_("anomaly"), on_delete=models.CASCADE, related_name="predictions"
    )
    model_version = models.ForeignKey(
        ModelVersion, verbose_name=_("model version"), on_delete=models.PROTECT, related_name="predictions"
    )
    availability_score = models.PositiveSmallIntegerField(_("availability"))
    fiability_score = models.PositiveSmallIntegerField(_("fiability"))
    process_safety_score = models.PositiveSmallIntegerField(_("process safety"))
    criticality = models.GeneratedField(
        verbose_name=_("criticality"),
        expression=F("availability_score") + F("fiability_score") + F("process_safety_score"),
        output_field=models.FloatField(),
        db_persist=True,
    )
    # {target: [P(1), …, P(5)]}
    distributions = models.JSONField(_("distributions"))
    # The least certain of the three: the probability of the suggested score.
    confidence = models.FloatField(_("confidence"))
    # P(score ≥ 4) is at least ¼ for one of the three: training.ml.scorer
    needs_attention = models.BooleanField(_("needs attention"), default=False)
    # How soon a person should look: criticality × uncertainty × disagreement, predictions.services
    priority = models.FloatField(_("priority"), default=0)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)

    class Meta:
        verbose_name = _("prediction")
        verbose_name_plural = _("predictions")
        ordering = ["-created_at", "-id"]
        indexes = [
            models.Index(fields=["model_version", "criticality"], name="prediction_version_criticality"),
            # What lists are filtered and ordered by, in the order of the list.
            models.Index(fields=["created_at", "id", "criticality"], name="prediction_created_band"),
            models.Index(fields=["criticality"], name="prediction_criticality"),
            models.Index(fields=["model_version", "created_at", "id"], name="prediction_version_created"),
            models.Index(fields=["needs_attention", "created_at", "id"], name="prediction_needs_attention"),
            models.Index(fields=["confidence", "-id"], name="prediction_confidence"),
            models.Index(fields=["model_version", "-priority", "-id"], name="prediction_version_priority"),
            # All that is compared with the reviewed scores, without reading the rows.
            models.Index(
                fields=["model_version", "-anomaly", *SCORE_COLUMNS], name="prediction_version_scores"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["anomaly", "model_version"], name="one_prediction_per_anomaly_and_version"
            )
        ]

    def __str__(self) -> str:
        return f"{self.anomaly} · {self.model_version}"
