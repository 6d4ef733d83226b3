"""Model versions: how good each one is, and which one serves."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from training import versions
from training.api.v1.base import ResourceViewSet
from training.api.v1.fields import StrictSerializer, TextField
from training.api.v1.filters import VersionFilter
from training.ml.records import TARGETS
from training.models import ModelVersion


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    training_session = serializers.PrimaryKeyRelatedField[Any](
        source="session", read_only=True, allow_null=True, default=None
    )
    mae = serializers.SerializerMethodField(help_text="Held-out mean absolute error; null: not measured.")

    class Meta:
        model = ModelVersion
        fields = [
            "id",
            "name",
            "path",
            "is_active",
            "is_usable",
            "training_session",
            "dataset_rows",
            "dataset_fingerprint",
            "dataset_read_at",
            "mae",
            "libraries",
            "digest",
            "size_bytes",
            "created_at",
            "verified_at",
            "verification_error",
            "pruned_at",
        ]
        read_only_fields = fields

    def get_mae(self, version: ModelVersion) -> dict[str, float | None]:
        measured = version.metrics.get("model", {})
        return {target: measured.get(target, {}).get("mae") for target in TARGETS}


class MetricsSerializer(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = ["id", "name", "metrics", "statistics", "comparison"]
        read_only_fields = fields


class ActivationSerializer(StrictSerializer):
    reason = TextField(
        max_length=500,
        required=False,
        allow_blank=True,
        default="",
        help_text="Kept on the time line; needed for a version that the gate refused.",
    )


class VersionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    permissions = {
        "list": "training.view_modelversion",
        "activate": "training.activate_modelversion",
        "roll_back": "training.activate_modelversion",
    }
    bodiless = frozenset({"roll_back"})
    queryset = ModelVersion.objects.select_related("session")
    serializer_class = VersionSerializer
    filterset_class = VersionFilter
    search_fields = ["name", "dataset_fingerprint"]
    ordering = ["-id"]
    ordering_fields = ["id", "created_at", "dataset_rows", "size_bytes"]

    @action(detail=True, serializer_class=MetricsSerializer)
    def metrics(self, request: Request, pk: str) -> Response:
        """All that was measured on held-out rows, the training set's statistics, and the gate's verdict."""
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ActivationSerializer, responses=VersionSerializer)
    @action(detail=True, methods=["post"])
    def activate(self, request: Request, pk: str) -> Response:
        """Verify, load and try it, then let it serve in every web process.

        409 while activation is frozen, and for a version that the gate refused without a `reason`.
        """
        body = ActivationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        note = body.validated_data["reason"]
        versions.activate_version(version=self.get_object(), user=self.caller, note=note)
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], url_path="roll-back")
    def roll_back(self, request: Request, pk: str) -> Response:
        """Let it serve again: the version that served before the one that serves. 409 for any other."""
        versions.roll_back(version=self.get_object(), user=self.caller)
        return Response(self.get_serializer(self.get_object()).data)
