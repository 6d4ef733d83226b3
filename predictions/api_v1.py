"""/api/v1/predictions/: the suggestions that were stored for the review queue."""

from typing import Any

import django_filters
from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from predictions.explanations import explain_prediction
from predictions.models import Prediction
from predictions.serializers import ReasonsSerializer
from predictions.services import serving_model, suggest_pending, unsuggested
from training.api.permissions import requires
from training.api.schema import ErrorSerializer
from training.api.v1.base import ResourceViewSet
from training.api.v1.filters import since, until
from training.criticality import band_of, criticality_of
from training.ml.records import SCORE_COLUMNS


class PredictionSerializer(serializers.ModelSerializer[Prediction]):
    anomaly_id = serializers.CharField(source="anomaly.anomaly_id", read_only=True)
    criticality = serializers.SerializerMethodField(help_text="3 to 15, 15 the most critical.")
    band = serializers.SerializerMethodField(help_text="The band of risk of the criticality.")

    class Meta:
        model = Prediction
        fields = [
            "id",
            "anomaly",
            "anomaly_id",
            "model_version",
            *SCORE_COLUMNS,
            "criticality",
            "band",
            "distributions",
            "confidence",
            "needs_attention",
            "created_at",
        ]
        read_only_fields = fields

    def get_criticality(self, prediction: Prediction) -> float:
        return criticality_of(sum(getattr(prediction, column) for column in SCORE_COLUMNS))

    def get_band(self, prediction: Prediction) -> str:
        return band_of(self.get_criticality(prediction))


class SuggestedSerializer(serializers.Serializer[Any]):
    model_version = serializers.IntegerField(help_text="The version that made the suggestions.")
    suggested = serializers.IntegerField(help_text="How many suggestions were stored.")
    remaining = serializers.IntegerField(help_text="Pending anomalies that still have none: ask again.")


class PredictionFilter(django_filters.FilterSet):
    anomaly_id = django_filters.CharFilter(
        "anomaly__anomaly_id", label="The reporting system's own identifier."
    )
    created_after = since("created_at")
    created_before = until("created_at")

    class Meta:
        model = Prediction
        fields = ["anomaly", "model_version", "needs_attention"]


class PredictionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    permissions = {"list": "predictions.view_prediction", "suggest": "training.review_anomaly"}
    bodiless = frozenset({"suggest"})
    queryset = Prediction.objects.select_related("anomaly")
    serializer_class = PredictionSerializer
    filterset_class = PredictionFilter
    search_fields = ["anomaly__anomaly_id", "anomaly__description"]
    ordering = ["-created_at"]
    ordering_fields = ["id", "confidence", "created_at"]

    def get_permissions(self) -> list[BasePermission]:
        """The reasons show the report and others like it."""
        also = [requires("training.view_anomaly")()] if self.action == "reasons" else []
        return [*super().get_permissions(), *also]

    @extend_schema(responses={200: ReasonsSerializer, 409: ErrorSerializer, 503: ErrorSerializer})
    @action(detail=True, serializer_class=ReasonsSerializer)
    def reasons(self, request: Request, pk: str) -> Response:
        """What moved each score, adding up to the expected one; and the approved anomalies most like it.

        Needs `training.view_anomaly` too. 409 when another version than the serving one made the suggestion,
        or the report has changed since.
        """
        return Response(self.get_serializer(explain_prediction(prediction=self.get_object())).data)

    @extend_schema(request=None, responses={200: SuggestedSerializer, 503: ErrorSerializer})
    @action(detail=False, methods=["post"], filter_backends=[], pagination_class=None)
    def suggest(self, request: Request) -> Response:
        """Store suggestions of the serving version for pending anomalies without one, up to 6,000 at once."""
        suggested = suggest_pending(limit=settings.PREDICTION_BATCH_LIMIT)
        model = serving_model()
        return Response(
            {
                "model_version": model.version_id,
                "suggested": suggested,
                "remaining": unsuggested(model).count(),
            }
        )
