"""Scored reports come in: new ones are added, known ones updated, identical ones left alone."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice

import pandas as pd
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from training.ml.records import COLUMNS
from training.models import Anomaly

CHUNK = 1_000  # reports stored at a time: bounds memory and the length of a statement
CONTENT = COLUMNS[1:]  # what may change in a known report
STORED = (*CONTENT, "status", "source", "reviewed_by", "reviewed_at", "updated_at")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoredReport:
    """One validated record. `system`, `section` and `detected_at` are None where the sender said nothing."""

    anomaly_id: str
    description: str
    equipment_name: str
    equipment_id: str
    availability_score: float
    fiability_score: float
    process_safety_score: float
    system: str | None = None
    section: str | None = None
    detected_at: datetime | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordCounts:
    """received = created + updated + unchanged."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0

    @property
    def received(self) -> int:
        return self.created + self.updated + self.unchanged

    def __add__(self, other: "RecordCounts") -> "RecordCounts":
        return RecordCounts(
            created=self.created + other.created,
            updated=self.updated + other.updated,
            unchanged=self.unchanged + other.unchanged,
        )


def reports_from_frame(frame: pd.DataFrame) -> list[ScoredReport]:
    """The rows of a frame of `training.ml.records`, in order."""
    rows = frame.loc[:, list(COLUMNS)].to_dict("records")
    return [
        ScoredReport(**{str(k): v for k, v in row.items()} | _detected_at(row["detected_at"])) for row in rows
    ]


def _detected_at(value: pd.Timestamp) -> dict[str, datetime | None]:
    return {"detected_at": None if pd.isna(value) else value.to_pydatetime().replace(tzinfo=UTC)}


def store_records(
    *,
    reports: Iterable[ScoredReport],
    user: User | None,
    source: Anomaly.Source,
    reason: str = "",
    status: Anomaly.Status = Anomaly.Status.APPROVED,
    exactly: bool = False,
) -> RecordCounts:
    """Store all reports with that status, or none, and keep every change in the history.

    A report that says nothing of system, section or time leaves what is stored; with `exactly` it
    clears it. An approved anomaly with the same content is unchanged whatever `status` asks.
    """
    counts = RecordCounts()
    remaining = iter(reports)
    with transaction.atomic():
        while chunk := list(islice(remaining, CHUNK)):
            counts += _store_chunk(chunk, user, source, reason, status, exactly=exactly)
    return counts


def _store_chunk(
    reports: Sequence[ScoredReport],
    user: User | None,
    source: Anomaly.Source,
    reason: str,
    status: Anomaly.Status,
    *,
    exactly: bool,
) -> RecordCounts:
    ids = [report.anomaly_id for report in reports]
    known = {a.anomaly_id: a for a in Anomaly.objects.select_for_update().filter(anomaly_id__in=ids)}
    created, updated = [], []
    for report in reports:
        anomaly = known.get(report.anomaly_id)
        if anomaly is None:
            anomaly = Anomaly(anomaly_id=report.anomaly_id, source=source)
            created.append(anomaly)
        elif _is_settled(anomaly, status) and not _differs(anomaly, report, exactly=exactly):
            continue
        else:
            updated.append(anomaly)
        _fill(anomaly, report, exactly=exactly)
        _stamp(anomaly, status, user)
    _upsert(created, updated, user, reason)
    return RecordCounts(
        created=len(created), updated=len(updated), unchanged=len(reports) - len(created) - len(updated)
    )


def _is_settled(anomaly: Anomaly, status: Anomaly.Status) -> bool:
    return anomaly.status in {status, Anomaly.Status.APPROVED}


def _stated(report: ScoredReport, *, exactly: bool) -> dict[str, object]:
    values = {name: value for name, value in asdict(report).items() if name in CONTENT}
    if not exactly:
        return {name: value for name, value in values.items() if value is not None}
    return values | {name: values[name] or "" for name in ("system", "section")}


def _differs(anomaly: Anomaly, report: ScoredReport, *, exactly: bool) -> bool:
    return any(getattr(anomaly, name) != value for name, value in _stated(report, exactly=exactly).items())


def _fill(anomaly: Anomaly, report: ScoredReport, *, exactly: bool) -> None:
    for name, value in _stated(report, exactly=exactly).items():
        setattr(anomaly, name, value)


def _stamp(anomaly: Anomaly, status: Anomaly.Status, user: User | None) -> None:
    anomaly.status = status
    reviewed = status != Anomaly.Status.PENDING
    anomaly.reviewed_by = user if reviewed else None
    anomaly.reviewed_at = timezone.now() if reviewed else None


def _upsert(created: list[Anomaly], updated: list[Anomaly], user: User | None, reason: str) -> None:
    """One INSERT … ON CONFLICT: a racer that stored the same id first is updated, not an error."""
    Anomaly.objects.bulk_create(
        [*created, *updated], update_conflicts=True, unique_fields=["anomaly_id"], update_fields=list(STORED)
    )
    for anomalies, update in ((created, False), (updated, True)):
        Anomaly.history.bulk_history_create(
            anomalies, update=update, default_user=user, default_change_reason=reason
        )
