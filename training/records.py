"""Scored reports come in: new ones are added, known ones updated, identical ones left alone."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from operator import attrgetter
from typing import Any

import pandas as pd
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from training.ml.failpoints import failpoint
from training.ml.records import COLUMNS
from training.models import Anomaly, Review, ScoreChange

CHUNK = 1_000  # reports stored at a time: bounds memory and the length of a statement
CONTENT = COLUMNS[1:]  # what may change in a known report
_content = attrgetter(*CONTENT)
_UNKNOWN = tuple("" if name in {"system", "section"} else None for name in CONTENT)
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


def reports_from_frame(frame: pd.DataFrame, *, unstated: Sequence[str] = ()) -> list[ScoredReport]:
    """The rows of a frame of `training.ml.records`, in order; None in the columns that are `unstated`."""
    stated = [name for name in COLUMNS if name not in unstated]
    return [ScoredReport(**dict(zip(stated, row, strict=True))) for row in rows_from_frame(frame[stated])]


def rows_from_frame(frame: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """The rows with the types of the database's: aware times, None for NaT."""
    columns = [_moments(frame[name]) if name == "detected_at" else frame[name].tolist() for name in frame]
    return zip(*columns, strict=True)


def _moments(times: "pd.Series[pd.Timestamp]") -> list[datetime | None]:
    moments = times.to_numpy(dtype="datetime64[us]").astype(datetime)  # None for NaT
    return [moment and moment.replace(tzinfo=UTC) for moment in moments]


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
            failpoint("records.stored")
    return counts


def count_records(
    *,
    frames: Iterable[pd.DataFrame],
    unstated: Sequence[str] = (),
    status: Anomaly.Status = Anomaly.Status.APPROVED,
) -> RecordCounts:
    """What `store_records` would do with the frames' rows, done with nothing: nobody waits for it.

    Only rows whose id is known are looked at closely.
    """
    counts = RecordCounts()
    for frame in frames:
        for begin in range(0, len(frame), CHUNK):
            chunk = frame[begin : begin + CHUNK]
            ids = chunk["anomaly_id"]
            known = {each.anomaly_id: each for each in Anomaly.objects.filter(anomaly_id__in=ids.tolist())}
            reports = reports_from_frame(chunk[ids.isin(list(known))], unstated=unstated) if known else []
            pairs = [(report, known[report.anomaly_id]) for report in reports]
            same = sum(_is_identical(old, _stored(new, old, exactly=False), status) for new, old in pairs)
            counts += RecordCounts(created=len(chunk) - len(pairs), updated=len(pairs) - same, unchanged=same)
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
    locked = Anomaly.objects.select_for_update().filter(anomaly_id__in=ids).order_by("anomaly_id")
    known = {anomaly.anomaly_id: anomaly for anomaly in locked}
    created, updated, now = [], [], timezone.now()
    for report in reports:
        anomaly = known.get(report.anomaly_id)
        content = _stored(report, anomaly, exactly=exactly)
        if anomaly is None:
            anomaly = Anomaly(anomaly_id=report.anomaly_id, source=source)
            created.append(anomaly)
        elif _is_identical(anomaly, content, status):
            continue
        else:
            updated.append(anomaly)
        for name, value in zip(CONTENT, content, strict=True):
            setattr(anomaly, name, value)
        _stamp(anomaly, status, user, now)
    _upsert(created, updated, user, reason)
    if updated:
        rows = Anomaly.objects.filter(pk__in=[anomaly.pk for anomaly in updated])
        if status == Anomaly.Status.PENDING:
            ScoreChange.objects.note(rows)
        else:
            Review.objects.set_aside(rows)
    return RecordCounts(
        created=len(created), updated=len(updated), unchanged=len(reports) - len(created) - len(updated)
    )


def _is_identical(anomaly: Anomaly, content: tuple[object, ...], status: Anomaly.Status) -> bool:
    return anomaly.status in {status, Anomaly.Status.APPROVED} and content == _content(anomaly)


def _stored(report: ScoredReport, known: Anomaly | None, *, exactly: bool) -> tuple[object, ...]:
    """The content that the anomaly gets. What the report does not say stays, or is cleared with `exactly`."""
    kept = _UNKNOWN if known is None or exactly else _content(known)
    return tuple(old if new is None else new for new, old in zip(_content(report), kept, strict=True))


def _stamp(anomaly: Anomaly, status: Anomaly.Status, user: User | None, now: datetime) -> None:
    anomaly.status = status
    reviewed = status != Anomaly.Status.PENDING
    anomaly.reviewed_by = user if reviewed else None
    anomaly.reviewed_at = now if reviewed else None


def _upsert(created: list[Anomaly], updated: list[Anomaly], user: User | None, reason: str) -> None:
    """One INSERT … ON CONFLICT: a racer that stored the same id first is updated, not an error."""
    Anomaly.objects.upsert([*created, *updated], update=STORED)
    for anomalies, change in ((created, "+"), (updated, "~")):
        if anomalies:
            rows = Anomaly.objects.filter(anomaly_id__in=[anomaly.anomaly_id for anomaly in anomalies])
            rows.note_history(change, user=user, reason=reason)
