"""Reports come in without scores, one or many: all are stored as pending, or none."""

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from rest_framework.exceptions import ValidationError
from simple_history.utils import bulk_create_with_history

from training.api.errors import sentences
from training.api.v1.fields import MomentField, StrictSerializer, TextField
from training.errors import InvalidRecordsError
from training.models import Anomaly
from training.rules import LIMITS

BATCH_LIMIT = 1_000  # reports in one request
OPTIONAL: dict[str, Any] = {"required": False, "allow_blank": True, "allow_null": True}  # null says nothing


class KnownAnomalyError(ValidationError):
    """An anomaly of that id is already there."""

    status_code = HTTPStatus.CONFLICT


class ReportSerializer(StrictSerializer):
    """What a reporting system knows. Scores are a reviewer's: scored records go to POST /train."""

    anomaly_id = TextField(max_length=LIMITS["anomaly_id"])
    description = TextField(max_length=LIMITS["description"])
    equipment_id = TextField(max_length=LIMITS["equipment_id"])
    equipment_name = TextField(max_length=LIMITS["equipment_name"], **OPTIONAL)
    system = TextField(max_length=LIMITS["system"], **OPTIONAL)
    section = TextField(max_length=LIMITS["section"], **OPTIONAL)
    detected_at = MomentField(allow_null=True, required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in attrs.items() if value is not None}


def validated_reports(records: list[Any]) -> list[dict[str, Any]]:
    """The reports, or InvalidRecordsError with everything that is wrong with any of them."""
    if not 1 <= len(records) <= BATCH_LIMIT:
        raise InvalidRecordsError([f"Send 1 to {BATCH_LIMIT:,} reports at a time, got {len(records):,}."])
    serializer = ReportSerializer()
    reports: dict[int, dict[str, Any]] = {}
    errors: list[str] = []
    for number, record in enumerate(records, start=1):
        try:
            reports[number] = serializer.run_validation(record)
        except ValidationError as error:
            errors += sentences(error.detail, f"Record {number}: ")
    errors += _repeated(reports)
    if errors:
        raise InvalidRecordsError(errors)
    return list(reports.values())


def _repeated(reports: dict[int, dict[str, Any]]) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, report in reports.items():
        other = first.setdefault(report["anomaly_id"], number)
        if other != number:
            yield f"Record {number}: anomaly_id: The same as in record {other}."


def store_reports(*, reports: list[dict[str, Any]], user: User) -> list[Anomaly]:
    """Store all as pending, in their order; KnownAnomalyError, and none, when the id of any is taken."""
    anomalies = [Anomaly(**report, source=Anomaly.Source.API) for report in reports]
    # In one order for everybody: two requests with the same ids wait for each other, and do not deadlock.
    ordered = sorted(anomalies, key=lambda anomaly: anomaly.anomaly_id)
    try:
        with transaction.atomic():
            bulk_create_with_history(ordered, Anomaly, default_user=user, default_change_reason="")
    except IntegrityError as error:
        if known := _known(anomalies):
            raise KnownAnomalyError(known) from error
        raise
    return anomalies


def _known(anomalies: list[Anomaly]) -> list[str]:
    ids = [anomaly.anomaly_id for anomaly in anomalies]
    known = set(Anomaly.objects.filter(anomaly_id__in=ids).values_list("anomaly_id", flat=True))
    return [
        f"Record {number}: anomaly_id: An anomaly of this ID is already known."
        for number, name in enumerate(ids, start=1)
        if name in known
    ]
