"""The rules of a batch of scored records: everything wrong with it is said at once, in the guide's words."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings

from training.errors import InvalidRecordsError
from training.ml.records import SCORE_COLUMNS
from training.records import ScoredReport
from training.rules import (
    LIMITS,
    MAY_BE_BLANK,
    OPTIONAL_TEXTS,
    REQUIRED_TEXTS,
    parse_time,
    score_problems,
    shown,
    text_problems,
    time_problems,
    type_name,
)

REQUIRED = (*REQUIRED_TEXTS, *SCORE_COLUMNS)  # the guide's fields, in its order


def validate_batch(payload: object) -> list[ScoredReport]:
    """The records of a decoded request body: a list of them, or a single one.

    Fields that the contract does not know are ignored. Raises InvalidRecordsError with every error.
    """
    records = _records(payload)
    errors = [
        f"Record {number}: {problem}"
        for number, record in enumerate(records, start=1)
        for problem in _problems(record)
    ]
    errors += _repetitions(records)
    if errors:
        raise InvalidRecordsError(errors)
    return [_report(record) for record in records]


def _records(payload: object) -> list[Any]:
    if isinstance(payload, dict):
        return [payload]
    if not isinstance(payload, list):
        raise InvalidRecordsError([f"The body must be a list of records, got {type_name(payload)}"])
    limit = settings.TRAINING_BATCH_LIMIT
    if not 1 <= len(payload) <= limit:
        raise InvalidRecordsError([f"A batch holds 1 to {limit:,} records, got {len(payload):,}"])
    return payload


def _problems(record: object) -> Iterator[str]:
    if not isinstance(record, dict):
        yield f"must be a JSON object, got {type_name(record)}"
        return
    missing = [name for name in REQUIRED if name not in record]
    if missing:
        yield f"Missing required fields: {missing}"
    for name, value in _known_fields(record):
        yield from (f"{name} {problem}" for problem in _field_problems(name, value))


def _known_fields(record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What the record says, in the contract's order; null says nothing in an optional field."""
    for name in REQUIRED:
        if name in record:
            yield name, record[name]
    for name in (*OPTIONAL_TEXTS, "detected_at"):
        if record.get(name) is not None:
            yield name, record[name]


def _field_problems(name: str, value: object) -> Iterator[str]:
    if name in SCORE_COLUMNS:
        return score_problems(value)
    if name == "detected_at":
        return time_problems(value)
    return text_problems(value, limit=LIMITS[name], blank=name in MAY_BE_BLANK)


def _repetitions(records: list[Any]) -> Iterator[str]:
    first: dict[str, int] = {}
    for number, record in enumerate(records, start=1):
        anomaly_id = record.get("anomaly_id") if isinstance(record, dict) else None
        if isinstance(anomaly_id, str) and first.setdefault(anomaly_id, number) != number:
            same = f"anomaly_id {shown(anomaly_id)!r} is already used by record {first[anomaly_id]}"
            yield f"Record {number}: {same}"


def _report(record: Mapping[str, Any]) -> ScoredReport:
    values: dict[str, Any] = dict(_known_fields(record))
    values |= {name: float(values[name]) for name in SCORE_COLUMNS}
    if "detected_at" in values:
        values["detected_at"] = parse_time(values["detected_at"])
    return ScoredReport(**values)
