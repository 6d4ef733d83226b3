"""Anomalies: reported as pending, then approved, rejected, reopened or corrected by a reviewer."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiExample, PolymorphicProxySerializer, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from training import review
from training.api.throttles import charge_stored
from training.api.v1.base import ResourceViewSet, location
from training.api.v1.fields import ScoreField, StrictSerializer, TextField, UsernameField
from training.api.v1.filters import AnomalyFilter
from training.api.v1.history import ChangeSerializer, changes_of
from training.api.v1.reports import ReportSerializer, store_reports, validated_reports
from training.double_review import Outcome, give_scores
from training.errors import NotAllowedNowError
from training.ml.records import SCORE_COLUMNS, TEXT_COLUMNS
from training.models import Anomaly


class AnomalySerializer(serializers.ModelSerializer[Anomaly]):
    criticality = serializers.FloatField(read_only=True, allow_null=True)
    reviewed_by = UsernameField()

    class Meta:
        model = Anomaly
        fields = [
            "id",
            *TEXT_COLUMNS,
            "detected_at",
            "status",
            *SCORE_COLUMNS,
            "criticality",
            "source",
            "reviewed_by",
            "reviewed_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = fields


class ReasonSerializer(StrictSerializer):
    reason = TextField(max_length=review.MAX_REASON)


class OptionalReasonSerializer(StrictSerializer):
    reason = TextField(max_length=review.MAX_REASON, required=False, allow_blank=True, default="")


class ScoresSerializer(StrictSerializer):
    availability_score = ScoreField(required=False)
    fiability_score = ScoreField(required=False)
    process_safety_score = ScoreField(required=False)


class ApprovalSerializer(OptionalReasonSerializer):
    scores = ScoresSerializer(required=False)


class CorrectionSerializer(ReasonSerializer):
    scores = ScoresSerializer()

    def validate_scores(self, scores: dict[str, float]) -> dict[str, float]:
        if not scores:
            raise serializers.ValidationError("Give at least one score.")
        return scores


REPORT = {
    "anomaly_id": "MAINT_001",
    "description": "Pump bearing overheating during high-load operation",
    "equipment_id": "pump-uuid-123",
    "equipment_name": "Primary Circulation Pump",
    "system": "Circulation",
    "section": "Mechanics",
    "detected_at": "2026-03-01T06:30:00Z",
}


def one_or_many(name: str, serializer: type[serializers.Serializer[Any]]) -> PolymorphicProxySerializer:
    return PolymorphicProxySerializer(
        component_name=name,
        serializers=[serializer, serializer(many=True)],
        resource_type_field_name=None,
        many=False,
    )


class AnomalyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Addressed by `id`: the client's own `anomaly_id` may hold any character, `?anomaly_id=` finds it."""

    permissions = {
        "list": "training.view_anomaly",
        "create": "training.add_anomaly",
        "approve": "training.review_anomaly",
        "reject": "training.review_anomaly",
        "reopen": "training.review_anomaly",
        "correct": "training.review_anomaly",
    }
    queryset = Anomaly.objects.select_related("reviewed_by")
    serializer_class = AnomalySerializer
    filterset_class = AnomalyFilter

    @property
    def takes_records(self) -> bool:  # type: ignore[override]  # a constant of the others
        return self.action == "create"

    search_fields = ["description", "equipment_name", "equipment_id", "anomaly_id"]
    ordering = ["-id"]
    ordering_fields = [
        "id",
        "anomaly_id",
        "equipment_id",
        "system",
        "section",
        "status",
        "criticality",
        *SCORE_COLUMNS,
        "detected_at",
        "created_at",
        "reviewed_at",
    ]

    @extend_schema(
        request=one_or_many("ReportOrReports", ReportSerializer),
        responses={201: one_or_many("AnomalyOrAnomalies", AnomalySerializer)},
        examples=[OpenApiExample("A report", value=REPORT, request_only=True)],
    )
    def create(self, request: Request) -> Response:
        """Report one anomaly, or up to 1,000 in a list; they are stored as pending, all or none."""
        records = request.data if isinstance(request.data, list) else [request.data]
        reports = validated_reports(records)
        charge_stored(request, [report["description"] for report in reports])
        anomalies = store_reports(reports=reports, user=self.caller)
        if records is request.data:
            return Response(AnomalySerializer(anomalies, many=True).data, status=HTTPStatus.CREATED)
        headers = location(request, "v1:anomaly-detail", anomalies[0].pk)
        return Response(AnomalySerializer(anomalies[0]).data, status=HTTPStatus.CREATED, headers=headers)

    @extend_schema(responses={200: AnomalySerializer, 202: AnomalySerializer})
    @action(detail=True, methods=["post"], serializer_class=ApprovalSerializer)
    def approve(self, request: Request, pk: str) -> Response:
        """Make it part of the training set. Scores must be given, or be there already.

        202, and still pending, when it is one that two reviewers score: it is approved once they agree.
        409 when it is not pending: scores of an approved one are corrected, a rejected one is reopened.
        """
        anomaly, data = self.get_object(), self.checked_data()
        scores, reason = data.get("scores", {}), data["reason"]
        missing = [name for name, score in (anomaly.scores | scores).items() if score is None]
        if missing and anomaly.status == Anomaly.Status.PENDING:
            raise serializers.ValidationError({"scores": {name: ["not given yet"] for name in missing}})
        outcome = give_scores(anomaly=anomaly, scores=scores, user=self.caller, reason=reason, as_seen=False)
        status = HTTPStatus.OK if outcome is Outcome.APPROVED else HTTPStatus.ACCEPTED
        return Response(AnomalySerializer(self.get_object()).data, status=status)

    @extend_schema(responses=AnomalySerializer)
    @action(detail=True, methods=["post"], serializer_class=ReasonSerializer)
    def reject(self, request: Request, pk: str) -> Response:
        """Take it out of the review queue and of the training set; its scores stay."""
        changed = review.reject(anomalies=[self.get_object()], user=self.caller, **self.checked_data())
        return self._reviewed(self.get_object(), changed)

    @extend_schema(responses=AnomalySerializer)
    @action(detail=True, methods=["post"], serializer_class=OptionalReasonSerializer)
    def reopen(self, request: Request, pk: str) -> Response:
        """Put it back in the review queue; its scores stay."""
        changed = review.reopen(anomalies=[self.get_object()], user=self.caller, **self.checked_data())
        return self._reviewed(self.get_object(), changed)

    @extend_schema(responses=AnomalySerializer)
    @action(detail=True, methods=["post"], serializer_class=CorrectionSerializer)
    def correct(self, request: Request, pk: str) -> Response:
        """Change some scores or all, whatever the status; the old ones stay in the history."""
        review.correct(anomaly=self.get_object(), user=self.caller, **self.checked_data())
        return Response(AnomalySerializer(self.get_object()).data)

    @extend_schema(responses=ChangeSerializer(many=True))
    @action(detail=True, filter_backends=[])
    def history(self, request: Request, pk: str) -> Response:
        """Who changed what, when and why, newest first; only what changed."""
        page = self.paginate_queryset(changes_of(anomaly=self.get_object()))
        return self.get_paginated_response(ChangeSerializer(page, many=True).data)

    def _reviewed(self, anomaly: Anomaly, changed: int) -> Response:
        if not changed:
            raise NotAllowedNowError(f"The anomaly is {anomaly.status} already.")
        return Response(AnomalySerializer(anomaly).data)
