"""Approved anomalies as the frames that the learning works on."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pandas as pd
from django.db.models import QuerySet

from training.ml.records import COLUMNS, SCORE_COLUMNS
from training.models import Anomaly, TrainingSession


def approved_frame() -> pd.DataFrame:
    """The training set, in the order in which the anomalies were first stored."""
    return _frame(list(_approved_rows()))


def approved_frame_by_pk() -> pd.DataFrame:
    """The same, each row under its anomaly's primary key."""
    return _keyed_frame(list(_approved_rows()))


def iter_approved(
    chunk_size: int = 20_000, *, before: TrainingSession | None = None
) -> Iterator[pd.DataFrame]:
    """The training set in frames of at most `chunk_size` rows; nothing for an empty one.

    With `before`: as it was before the records that came with that session were stored.
    """
    earlier = _earlier_rows(before) if before else {}
    last = 0
    while rows := list(_approved_rows(after=last)[:chunk_size]):
        last = rows[-1][0]
        if then := [row for row in (earlier.get(row[0], row) for row in rows) if row is not None]:
            yield _frame(then)


def anomalies_frame(anomalies: list[Anomaly]) -> pd.DataFrame:
    """These anomalies, scored or not, in their order."""
    return _frame([(anomaly.pk, *(getattr(anomaly, column) for column in COLUMNS)) for anomaly in anomalies])


def reported_frame() -> pd.DataFrame:
    """Everything approved or pending, in the order in which it was first stored.

    A pending anomaly has no scores here. Two columns more: `pk`, and `reviewed_at`, naive UTC, NaT while
    pending. What came over the API without a time counts as detected when it came.
    """
    rows = Anomaly.objects.exclude(status=Anomaly.Status.REJECTED).order_by("pk")
    columns = ("pk", *COLUMNS, "status", "source", "reviewed_at", "created_at")
    table = pd.DataFrame(list(rows.values_list(*columns)), columns=list(columns))
    frame = _typed(table)
    approved = table["status"] == Anomaly.Status.APPROVED
    frame[list(SCORE_COLUMNS)] = frame[list(SCORE_COLUMNS)].where(approved)
    came = _naive(table["created_at"]).where(table["source"] == Anomaly.Source.API)
    return frame.assign(
        detected_at=frame["detected_at"].fillna(came),
        reviewed_at=_naive(table["reviewed_at"]).where(approved),
    ).drop(columns=["status", "source", "created_at"])


def fingerprint(frame: pd.DataFrame) -> str:
    """SHA-256 of the rows whatever their order: equal fingerprints mean equal training sets."""
    rows = pd.util.hash_pandas_object(frame.loc[:, list(COLUMNS)], index=False)
    return hashlib.sha256(rows.sort_values().to_numpy().tobytes()).hexdigest()


def _approved_rows(after: int = 0) -> "QuerySet[Anomaly, tuple[Any, ...]]":
    return Anomaly.objects.approved().filter(pk__gt=after).order_by("pk").values_list("pk", *COLUMNS)


def _earlier_rows(session: TrainingSession) -> "dict[int, tuple[Any, ...] | None]":
    """The rows that came with the session, as the history knows them from before; None: not approved then."""
    if not session.records_created + session.records_updated:
        return {}
    history = Anomaly.history.order_by("history_id")
    # The day is a margin for clocks; it keeps all but the newest copies from being looked through.
    recent = history.filter(history_date__gte=session.queued_at - timedelta(days=1))
    came = dict(recent.filter(history_change_reason=session.change_reason).values_list("id", "history_id"))
    earlier: dict[int, tuple[Any, ...] | None] = dict.fromkeys(came)
    for number, status, *row in history.filter(id__in=list(came)).values_list(
        "history_id", "status", "id", *COLUMNS
    ):
        if number < came[row[0]]:
            earlier[row[0]] = tuple(row) if status == Anomaly.Status.APPROVED else None
    return earlier


def _frame(rows: "list[tuple[Any, ...]]") -> pd.DataFrame:
    return _keyed_frame(rows).reset_index(drop=True)


def _keyed_frame(rows: "list[tuple[Any, ...]]") -> pd.DataFrame:
    return _typed(pd.DataFrame(rows, columns=["pk", *COLUMNS]).set_index("pk"))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    times = _naive(frame["detected_at"])
    return frame.assign(detected_at=times).astype(dict.fromkeys(SCORE_COLUMNS, float))


def _naive(times: "pd.Series[Any]") -> "pd.Series[pd.Timestamp]":
    """Naive UTC, NaT where there is none."""
    return pd.to_datetime(times, utc=True).dt.tz_localize(None).astype("datetime64[us]")
