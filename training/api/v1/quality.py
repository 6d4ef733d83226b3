"""Quality reports, the checks that make them, and the doubtful labels that the newest one found."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response

from training import quality_checks
from training.api.schema import ErrorSerializer
from training.api.v1.base import ResourceViewSet, location
from training.api.v1.fields import StrictSerializer, UsernameField
from training.api.v1.filters import LabelFindingFilter, QualityCheckFilter, QualityReportFilter
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.models import Anomaly, LabelFinding, QualityCheck, QualityReport


class QualityReportSerializer(serializers.ModelSerializer[QualityReport]):
    content = serializers.DictField(read_only=True, help_text="What was found, by the report's kind.")
    created_by = UsernameField()

    class Meta:
        model = QualityReport
        fields = ["id", "kind", "record_count", "seconds", "created_at", "created_by", "content"]
        read_only_fields = fields


class QualityCheckSerializer(serializers.ModelSerializer[QualityCheck]):
    requested_by = UsernameField()
    seconds = serializers.FloatField(read_only=True, help_text="From the claim to the end, or to now.")

    class Meta:
        model = QualityCheck
        fields = [
            "id",
            "kind",
            "status",
            "trigger",
            "requested_by",
            "progress",
            "attempts",
            "reason",
            "queued_at",
            "started_at",
            "finished_at",
            "seconds",
            "report",
        ]
        read_only_fields = fields


class CheckRequestSerializer(StrictSerializer):
    kind = serializers.ChoiceField(QualityReport.Kind.choices)


class ReportedSerializer(serializers.Serializer[Any]):
    """A report as it was examined."""

    anomaly_id = serializers.CharField()
    equipment_id = serializers.CharField()
    detected_at = serializers.DateTimeField(allow_null=True)
    availability_score = serializers.FloatField()
    fiability_score = serializers.FloatField()
    process_safety_score = serializers.FloatField()


class ImplausibleSerializer(serializers.Serializer[Any]):
    """What a model says that has seen neither the anomaly nor its text."""

    reviewed = serializers.FloatField()
    suggested = serializers.IntegerField(help_text="The median of the distribution.")
    expected = serializers.FloatField(help_text="Its mean.")
    probability = serializers.FloatField(
        help_text="Of the reviewed score; between whole scores interpolated."
    )
    distribution = serializers.ListField(
        child=serializers.FloatField(), min_length=5, max_length=5, help_text="P(1), …, P(5)."
    )


class ConflictSerializer(serializers.Serializer[Any]):
    """The other reports with the same text."""

    same_equipment = serializers.BooleanField(
        help_text="Whether they are on the same equipment, or on others."
    )
    reviewed = serializers.FloatField()
    others = serializers.IntegerField(help_text="How many there are.")
    others_by_score = serializers.DictField(
        child=serializers.IntegerField(), help_text="How many of them have which score."
    )
    spread = serializers.DictField(
        child=serializers.FloatField(), help_text="By target, the highest less the lowest score of all."
    )
    reports = ReportedSerializer(many=True, help_text="Up to ten of the others, the furthest score first.")


class NearDuplicateSerializer(serializers.Serializer[Any]):
    """The likest earlier report on the same equipment."""

    similarity = serializers.FloatField(help_text="1: the same words.")
    days_apart = serializers.FloatField(allow_null=True)
    differing = serializers.ListField(
        child=serializers.ChoiceField(choices=TARGETS), help_text="The scores that conflict."
    )
    reports = ReportedSerializer(many=True, help_text="The anomaly, then the other.")


@extend_schema_field(
    PolymorphicProxySerializer(
        component_name="Evidence",
        serializers=[ImplausibleSerializer, ConflictSerializer, NearDuplicateSerializer],
        resource_type_field_name=None,
    )
)
class EvidenceField(serializers.JSONField):
    """As it was stored."""


class ExaminedSerializer(serializers.ModelSerializer[Anomaly]):
    class Meta:
        model = Anomaly
        fields = [
            "id",
            "anomaly_id",
            "description",
            "equipment_id",
            "equipment_name",
            "detected_at",
            *SCORE_COLUMNS,
        ]
        read_only_fields = fields


class LabelFindingSerializer(serializers.ModelSerializer[LabelFinding]):
    anomaly = ExaminedSerializer(read_only=True)
    other = ExaminedSerializer(
        read_only=True, allow_null=True, help_text="Which it is at odds with; null: a model judged it."
    )
    target = serializers.ChoiceField(
        LabelFinding.Target.choices,
        allow_blank=True,
        read_only=True,
        help_text="The score in doubt; empty for near-duplicates.",
    )
    evidence = EvidenceField(read_only=True)

    class Meta:
        model = LabelFinding
        fields = ["id", "report", "kind", "target", "rank", "suspicion", "anomaly", "other", "evidence"]
        read_only_fields = fields


class QualityReportViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Made by quality checks, `manage.py check_labels` and `report_drift`; the newest of a kind counts."""

    permissions = {"list": "training.view_qualityreport", "create": "training.add_qualitycheck"}
    queryset = QualityReport.objects.select_related("created_by")
    serializer_class = QualityReportSerializer
    filterset_class = QualityReportFilter
    search_fields = ["created_by__username"]
    ordering = ["-id"]
    ordering_fields = ["id", "created_at", "record_count", "seconds"]

    @extend_schema(
        request=CheckRequestSerializer,
        responses={202: QualityCheckSerializer, 400: ErrorSerializer, 409: ErrorSerializer},
    )
    def create(self, request: Request) -> Response:
        """Have a report made, beside trainings; the answer does not wait. 409 while one is being made."""
        body = CheckRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        check = quality_checks.request_check(
            kind=body.validated_data["kind"], trigger=QualityCheck.Trigger.API, user=self.caller
        )
        return Response(
            QualityCheckSerializer(check).data,
            status=HTTPStatus.ACCEPTED,
            headers=location(request, "v1:check-detail", check.pk),
        )


class QualityCheckViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Asked for by POST /api/v1/quality-reports/ or in the admin, or due by themselves."""

    permissions = {"list": "training.view_qualitycheck"}
    queryset = QualityCheck.objects.select_related("requested_by")
    serializer_class = QualityCheckSerializer
    filterset_class = QualityCheckFilter
    search_fields = ["reason", "requested_by__username"]
    ordering = ["-id"]
    ordering_fields = ["id", "queued_at", "started_at", "finished_at", "status"]


class LabelFindingViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Of the newest report, which `manage.py check_labels` makes; none before the first.

    Those whose anomaly, or the other one, has changed since or is no longer approved are left out.
    """

    permissions = {"list": "training.view_anomaly"}
    serializer_class = LabelFindingSerializer
    filterset_class = LabelFindingFilter
    search_fields = ["anomaly__anomaly_id", "anomaly__description", "anomaly__equipment_id"]
    ordering = ["kind", "rank"]
    ordering_fields = ["id", "kind", "rank", "suspicion", "target"]
    queryset = LabelFinding.objects.current().select_related("anomaly", "other")
