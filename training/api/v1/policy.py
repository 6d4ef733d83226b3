"""The training policy: what happens by itself, when, and whether it is frozen."""

from datetime import datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from training import policy as policies
from training import schedules
from training.api.schema import ErrorSerializer
from training.api.v1.base import ResourceViewSet
from training.api.v1.fields import MomentField, StrictSerializer, TextField, UsernameField
from training.database import database_now
from training.models import TrainingPolicy

MOST = 1_000_000


class SwitchField(serializers.BooleanField):
    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class CountField(serializers.IntegerField):
    """A JSON whole number, from 1 on unless it says otherwise; null follows the setting."""

    def __init__(self, *, min_value: int = 1, max_value: int = MOST, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, allow_null=True, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return data


class CronField(TextField):
    """Five fields, UTC, due some day; empty follows the setting."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, allow_blank=True, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        if not isinstance(value, str):
            return value
        line = " ".join(value.split())
        if line and not schedules.is_cron_line(line):
            raise serializers.ValidationError("is no cron line of five fields, or it is never due")
        return line


class EffectiveSerializer(serializers.Serializer[TrainingPolicy]):
    """What holds: the choice, or else the setting's value."""

    cron = serializers.CharField(source="cron_line")
    minimum_new = serializers.IntegerField(source="minimum")
    keep_backups = serializers.IntegerField(source="backups_kept")
    keep_versions = serializers.IntegerField(source="versions_kept")
    double_review_percent = serializers.IntegerField(source="share_for_two")
    quality_cron = serializers.CharField(source="quality_cron_line")


class PolicySerializer(serializers.ModelSerializer[TrainingPolicy]):
    is_frozen = serializers.BooleanField(read_only=True)
    frozen_by = UsernameField()
    effective = EffectiveSerializer(source="*", read_only=True)
    next_training = serializers.SerializerMethodField(help_text="Null: switched off.")
    next_quality_reports = serializers.SerializerMethodField(help_text="Null: switched off.")

    class Meta:
        model = TrainingPolicy
        fields = [
            "enabled",
            "cron",
            "minimum_new",
            "activation",
            "keep_backups",
            "keep_versions",
            "double_review_percent",
            "quality_enabled",
            "quality_cron",
            "effective",
            "next_training",
            "next_quality_reports",
            "is_frozen",
            "frozen_at",
            "frozen_until",
            "frozen_by",
            "freeze_reason",
        ]
        read_only_fields = fields

    def get_next_training(self, policy: TrainingPolicy) -> datetime | None:
        return schedules.next_time(policy.cron_line) if policy.enabled else None

    def get_next_quality_reports(self, policy: TrainingPolicy) -> datetime | None:
        return schedules.next_time(policy.quality_cron_line) if policy.quality_enabled else None


class PolicyChangesSerializer(StrictSerializer):
    """What is not sent stays as it is; empty, or null for a number, follows the setting."""

    enabled = SwitchField(required=False)
    cron = CronField(required=False)
    minimum_new = CountField(required=False)
    activation = serializers.ChoiceField(TrainingPolicy.Activation.choices, required=False)
    keep_backups = CountField(required=False)
    keep_versions = CountField(required=False)
    double_review_percent = CountField(min_value=0, max_value=100, required=False)
    quality_enabled = SwitchField(required=False)
    quality_cron = CronField(required=False)


class FreezeSerializer(StrictSerializer):
    reason = TextField(max_length=500)
    until = MomentField(required=False, allow_null=True, default=None, help_text="Null: until it is lifted.")

    def validate_until(self, until: datetime | None) -> datetime | None:
        if until is not None and until <= database_now():
            raise serializers.ValidationError("must lie ahead")
        return until


class PolicyViewSet(ResourceViewSet):
    """One policy, at one address."""

    permissions = {
        "list": "django_q.view_schedule",
        "change": "django_q.change_schedule",
        "freeze": "django_q.change_schedule",
        "lift": "django_q.change_schedule",
    }
    bodiless = frozenset({"lift"})
    queryset = TrainingPolicy.objects.all()
    serializer_class = PolicySerializer
    filter_backends = []
    pagination_class = None

    @extend_schema(operation_id="training_policy", responses=PolicySerializer)
    def show(self, request: Request) -> Response:
        """What was chosen, what holds, when it is due next, and whether it is frozen."""
        return self._answer()

    @extend_schema(
        operation_id="training_policy_change", request=PolicyChangesSerializer, responses=PolicySerializer
    )
    def change(self, request: Request) -> Response:
        """Change some fields; kept with who and when, and followed by the queue's schedule."""
        body = PolicyChangesSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        schedules.plan_training(user=self.caller, changes=body.validated_data)
        return self._answer()

    @extend_schema(
        operation_id="training_policy_freeze",
        request=FreezeSerializer,
        responses={200: PolicySerializer, 409: ErrorSerializer},
    )
    def freeze(self, request: Request) -> Response:
        """Stop scheduled training and every activation. 409 when it is frozen already."""
        body = FreezeSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        policies.freeze(user=self.caller, **body.validated_data)
        return self._answer()

    @extend_schema(
        operation_id="training_policy_lift",
        request=None,
        responses={200: PolicySerializer, 409: ErrorSerializer},
    )
    def lift(self, request: Request) -> Response:
        """Lift the freeze. 409 when nothing is frozen."""
        policies.lift_freeze(user=self.caller)
        return self._answer()

    def _answer(self) -> Response:
        return Response(PolicySerializer(policies.current_policy()).data)
