"""/api/v1/prediction-jobs/: long files of reports, scored by all nodes together."""

from functools import partial
from hashlib import file_digest
from http import HTTPStatus
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.files.uploadhandler import TemporaryFileUploadHandler
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_field
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from predictions.jobs import cancel_job, receive_job, result_of, seconds_left
from predictions.models import PredictionJob
from training.admin.upload_limit import BoundedUploadHandler
from training.api import request_keys
from training.api.schema import ErrorSerializer
from training.api.v1.base import ResourceViewSet, location
from training.api.v1.fields import UsernameField


class JobUploadHandler(BoundedUploadHandler):
    @property
    def most(self) -> int:
        return settings.PREDICTION_JOB_LIMIT


class JobSerializer(serializers.ModelSerializer[PredictionJob]):
    requested_by = UsernameField()
    progress = serializers.IntegerField(read_only=True, help_text="Percent of the rows.")
    seconds_left = serializers.SerializerMethodField(
        help_text="At the pace so far; null while nothing tells."
    )
    result_url = serializers.SerializerMethodField(
        help_text="Once it has succeeded, and until it is removed."
    )

    class Meta:
        model = PredictionJob
        fields = [
            "id",
            "status",
            "file_name",
            "model_version",
            "requested_by",
            "rows",
            "rows_done",
            "rows_refused",
            "progress",
            "seconds_left",
            "reason",
            "created_at",
            "started_at",
            "finished_at",
            "result_url",
        ]
        read_only_fields = fields

    def get_seconds_left(self, job: PredictionJob) -> int | None:
        return seconds_left(job)

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_result_url(self, job: PredictionJob) -> str | None:
        request = self.context["request"]
        return (
            reverse("prediction-job-result", kwargs={"pk": job.pk}, request=request)
            if job.has_result
            else None
        )


class UploadSerializer(serializers.Serializer[Any]):
    file = serializers.FileField(
        help_text="CSV in UTF-8 or an Excel workbook with the columns `description` and `equipment_id`, and "
        "perhaps `anomaly_id`, `equipment_name`, `system`, `section`; up to 1,000,000 rows, of a workbook "
        "500,000."
    )


class PredictionJobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    permissions = {
        "list": "predictions.view_predictionjob",
        "create": "predictions.add_predictionjob",
        "cancel": "predictions.add_predictionjob",
    }
    bodiless = frozenset({"cancel"})
    queryset = PredictionJob.objects.exclude(status=PredictionJob.Status.RECEIVING).select_related(
        "requested_by"
    )
    serializer_class = JobSerializer
    filterset_fields = ["status", "model_version"]
    search_fields = ["file_name"]
    ordering = ["-id"]
    ordering_fields = ["id", "created_at", "finished_at"]

    def initialize_request(self, request: Any, *args: Any, **kwargs: Any) -> Request:
        """A file that is uploaded goes to the disk, whatever its length, and is bounded before that."""
        request.upload_handlers = [JobUploadHandler(request), TemporaryFileUploadHandler(request)]
        return super().initialize_request(request, *args, **kwargs)

    def get_parsers(self) -> list[Any]:
        """Take a file where a job begins, and nowhere else. Asked before REST framework names the action."""
        method = getattr(getattr(self, "request", None), "method", None) or ""
        action = getattr(self, "action", None) or self.action_map.get(method.lower())
        return [MultiPartParser()] if action == "create" else super().get_parsers()

    @extend_schema(
        request={"multipart/form-data": UploadSerializer},
        parameters=[request_keys.PARAMETER],
        responses={
            202: JobSerializer,
            **dict.fromkeys((400, 409, 503), ErrorSerializer),
            422: OpenApiResponse(ErrorSerializer, request_keys.TAKEN),
        },
    )
    def create(self, request: Request) -> Response:
        """Have a file of up to 1,000,000 rows scored by the version that serves; the answer does not wait."""
        serializer = UploadSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        file: TemporaryUploadedFile = serializer.validated_data["file"]
        key = request_keys.request_key_of(request, partial(_digest_of, file))
        job = receive_job(file=file, user=self.caller, request=key)
        return Response(
            self.get_serializer(job).data,
            status=HTTPStatus.ACCEPTED,
            headers=location(request, "prediction-job-detail", job.pk),
        )

    @extend_schema(request=None, responses={200: JobSerializer, 409: ErrorSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Stop scoring; what was scored is not kept as a result."""
        job = self.get_object()
        cancel_job(job=job, user=self.caller)
        return Response(self.get_serializer(job).data)

    @extend_schema(responses={(200, "text/csv"): OpenApiTypes.BINARY, 409: OpenApiResponse(ErrorSerializer)})
    @action(detail=True)
    def result(self, request: Request, pk: str) -> StreamingHttpResponse:
        """The result as CSV, a line for each row of the file, in its order; refused rows say why."""
        job = self.get_object()
        response = StreamingHttpResponse(result_of(job), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="predictions-{job.pk}.csv"'
        return response


def _digest_of(file: TemporaryUploadedFile) -> str:
    with Path(file.temporary_file_path()).open("rb") as content:
        return file_digest(content, "sha256").hexdigest()
