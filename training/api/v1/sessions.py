"""Training sessions: started with what is approved, watched, cancelled."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from training import sessions
from training.api import request_keys
from training.api.schema import ErrorSerializer
from training.api.v1.base import ResourceViewSet, location
from training.api.v1.fields import UsernameField
from training.api.v1.filters import SessionFilter
from training.models import SessionLogEntry, TrainingSession
from training.session_log import log_of


class SessionSerializer(serializers.ModelSerializer[TrainingSession]):
    requested_by = UsernameField()
    seconds = serializers.FloatField(read_only=True, help_text="From the claim to the end, or to now.")
    backup = serializers.SlugRelatedField[Any](slug_field="name", read_only=True, allow_null=True)

    class Meta:
        model = TrainingSession
        fields = [
            "id",
            "status",
            "trigger",
            "requested_by",
            "step",
            "progress",
            "attempts",
            "cancel_requested",
            "reason",
            "queued_at",
            "started_at",
            "heartbeat_at",
            "finished_at",
            "seconds",
            "records_received",
            "records_created",
            "records_updated",
            "records_unchanged",
            "backup",
            "model_version",
        ]
        read_only_fields = fields


class LogEntrySerializer(serializers.ModelSerializer[SessionLogEntry]):
    step = serializers.ChoiceField(
        TrainingSession.Step.choices,
        source="at_step",
        allow_blank=True,
        read_only=True,
        help_text="Which began, or in which it was said; empty before the first.",
    )

    class Meta:
        model = SessionLogEntry
        fields = ["id", "at", "attempt", "kind", "step", "text"]
        read_only_fields = fields


class SessionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    permissions = {
        "list": "training.view_trainingsession",  # and its log
        "create": "training.train_models",
        "cancel": "training.cancel_trainingsession",
    }
    bodiless = frozenset({"create", "cancel"})
    queryset = TrainingSession.objects.select_related("requested_by", "backup")
    serializer_class = SessionSerializer
    filterset_class = SessionFilter
    search_fields = ["reason"]
    ordering = ["-id"]
    ordering_fields = ["id", "queued_at", "started_at", "finished_at", "status"]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Whoever looks at sessions first recovers one whose worker died."""
        super().initial(request, *args, **kwargs)
        sessions.recover_sessions()

    @extend_schema(
        request=None,
        parameters=[request_keys.PARAMETER],
        responses={202: SessionSerializer, 422: OpenApiResponse(ErrorSerializer, request_keys.TAKEN)},
    )
    def create(self, request: Request) -> Response:
        """Start a session with what is approved; the answer does not wait for its end."""
        session = sessions.start_session(
            trigger=TrainingSession.Trigger.API,
            user=self.caller,
            request=request_keys.request_key_of(request),
        )
        return Response(
            SessionSerializer(session).data,
            status=HTTPStatus.ACCEPTED,
            headers=location(request, "v1:session-detail", session.pk),
        )

    @extend_schema(request=None, responses={200: SessionSerializer, 202: SessionSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Cancel a queued session at once; a running one within seconds."""
        sessions.cancel_session(session=self.get_object(), user=self.caller)
        session = self.get_object()
        return Response(
            SessionSerializer(session).data,
            status=HTTPStatus.ACCEPTED if session.is_active else HTTPStatus.OK,
        )

    @extend_schema(responses=LogEntrySerializer(many=True))
    @action(detail=True, filter_backends=[])
    def log(self, request: Request, pk: str) -> Response:
        """Its steps, what was decided, and what its process said, oldest first."""
        page = self.paginate_queryset(log_of(self.get_object()))
        return self.get_paginated_response(LogEntrySerializer(page, many=True).data)
