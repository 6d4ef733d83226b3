"""The changes of one anomaly, out of the copies that were kept of it."""

from itertools import pairwise
from typing import Any

from rest_framework import serializers

from training.api.v1.fields import UsernameField
from training.ml.records import COLUMNS
from training.models import Anomaly

SHOWN = (*COLUMNS, "status")  # reviewer and time are the entry's own "who" and "when"


class FieldChangeSerializer(serializers.Serializer[Any]):
    field = serializers.ChoiceField(choices=SHOWN)
    old = serializers.JSONField(allow_null=True)
    new = serializers.JSONField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    changed_at = serializers.DateTimeField(source="history_date")
    changed_by = UsernameField(source="history_user")
    reason = serializers.SerializerMethodField()
    changes = FieldChangeSerializer(many=True)

    def get_reason(self, copy: Any) -> str:
        return copy.history_change_reason or ""


def changes_of(*, anomaly: Anomaly) -> list[Any]:
    """The copies that differ from the one before, newest first, each with its `changes`."""
    copies: list[Any] = [*anomaly.history.select_related("history_user"), None]
    for copy, before in pairwise(copies):
        copy.changes = _differences(before, copy)
    return [copy for copy in copies[:-1] if copy.changes]


def _differences(before: Any, copy: Any) -> list[dict[str, Any]]:
    """Field by field; a report's first copy came out of nothing, and an empty text is nothing."""
    changes = [
        {"field": name, "old": getattr(before, name, None), "new": getattr(copy, name)} for name in SHOWN
    ]
    return [change for change in changes if (change["old"] or None) != (change["new"] or None)]
