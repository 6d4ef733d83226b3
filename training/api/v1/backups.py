"""Backups: the models that served and the training set, together; restored together."""

from http import HTTPStatus
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from training import backups, restoring
from training.acts import note_act
from training.api.v1.base import ResourceViewSet, location
from training.api.v1.fields import UsernameField
from training.api.v1.filters import BackupFilter
from training.models import Backup


class BackupSerializer(serializers.ModelSerializer[Backup]):
    created_by = UsernameField()

    class Meta:
        model = Backup
        fields = [
            "id",
            "name",
            "path",
            "kind",
            "is_usable",
            "record_count",
            "model_version",
            "digest",
            "size_bytes",
            "created_at",
            "created_by",
            "verified_at",
            "verification_error",
            "pruned_at",
        ]
        read_only_fields = fields


class KeyField(serializers.IntegerField):
    """The `id` of a row that may be missing: before the first model nothing serves."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(read_only=True, allow_null=True, default=None, **kwargs)


class PreviewSerializer(serializers.Serializer[Any]):
    """What a restore would change."""

    version_from = KeyField(source="version_from.pk")
    version_to = KeyField(source="version_to.pk")
    records_in_backup = serializers.IntegerField()
    records_to_pending = serializers.IntegerField()
    records_reapproved = serializers.IntegerField()
    records_recreated = serializers.IntegerField()
    scores_changed = serializers.IntegerField(help_text="Records with at least one other score.")
    texts_changed = serializers.IntegerField(help_text="Records with another text, equipment or time.")


class RestoreSerializer(serializers.Serializer[Any]):
    """What a restore changed, and the way back."""

    backup = serializers.CharField(source="backup.name")
    safety_backup = serializers.CharField(source="safety_backup.name")
    model_version = KeyField(source="version.pk")
    records_to_pending = serializers.IntegerField()
    records_recreated = serializers.IntegerField()
    records_changed = serializers.IntegerField()
    records_unchanged = serializers.IntegerField()


class BackupViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Addressed by `name`, as in the guide's routes."""

    permissions = {
        "list": "training.view_backup",
        "create": "training.add_backup",
        "verify": "training.add_backup",
        "restore": "training.restore_backup",
        "preview": "training.restore_backup",
    }
    bodiless = frozenset({"create", "verify", "restore"})
    queryset = Backup.objects.select_related("created_by")
    serializer_class = BackupSerializer
    lookup_field = "name"
    lookup_value_regex = "[A-Za-z0-9_-]{1,100}"
    filterset_class = BackupFilter
    search_fields = ["name"]
    ordering_fields = ["name", "created_at", "size_bytes", "record_count"]

    @extend_schema(request=None)
    def create(self, request: Request) -> Response:
        """Back up the models that serve and the training set, as they are now."""
        backup = backups.create_backup(kind=Backup.Kind.MANUAL, user=self.caller)
        headers = location(request, "v1:backup-detail", backup.name, "name")
        return Response(BackupSerializer(backup).data, status=HTTPStatus.CREATED, headers=headers)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, name: str) -> Response:
        """Read everything back. 409 tells what is damaged; the backup is then quarantined, not deleted."""
        backup = self.get_object()
        backups.verify_backup(backup=backup)
        note_act(user=self.caller, row=backup, act="Verify")
        return Response(BackupSerializer(self.get_object()).data)

    @action(detail=True, serializer_class=PreviewSerializer)
    def preview(self, request: Request, name: str) -> Response:
        """What restoring it would change. Nothing is changed."""
        return Response(PreviewSerializer(restoring.preview_restore(backup=self.get_object())).data)

    @extend_schema(request=None)
    @action(detail=True, methods=["post"], serializer_class=RestoreSerializer)
    def restore(self, request: Request, name: str) -> Response:
        """Back up the present, then bring back models and training set together."""
        result = restoring.restore_backup(backup=self.get_object(), user=self.caller)
        return Response(RestoreSerializer(result).data)
