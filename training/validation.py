"""The rules of a batch of scored records: everything wrong with it is said at once, in the guide's words."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from django.conf import settings

from training.errors import InvalidRecordsError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly
from training.models.anomaly import MAX_DESCRIPTION, MAX_SCORE, MIN_SCORE
from training.records import ScoredReport

REQUIRED_TEXTS = ("anomaly_id", "description", "equipment_name", "equipment_id")
OPTIONAL_TEXTS = ("system", "section")
REQUIRED = (*REQUIRED_TEXTS, *SCORE_COLUMNS)  # the guide's fields, in its order
MAY_BE_BLANK = ("equipment_name", *OPTIONAL_TEXTS)  # plants do not name all of their equipment
LIMITS: dict[str, int] = {
    name: getattr(Anomaly, name).field.max_length or MAX_DESCRIPTION
    for name in (*REQUIRED_TEXTS, *OPTIONAL_TEXTS)
}
YEARS = range(1900, 2200)  # what a date of detection may be
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 40  # characters of a refused value that an error echoes


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


def text_problems(value: object, *, limit: int, blank: bool = False) -> Iterator[str]:
    """What keeps a value from being stored as text; each to be read after the field's name."""
    if not isinstance(value, str):
        yield f"must be a string, got {type_name(value)}"
        return
    if not blank and not value.strip():
        yield "must not be blank"
    if len(value) > limit:
        yield f"must be at most {limit:,} characters, got {len(value):,}"
    if "\0" in value:
        yield "must not contain NUL characters"
    if LONE_SURROGATE.search(value):
        yield "must not contain lone surrogates"


def score_problems(value: object) -> Iterator[str]:
    """What keeps a value from being a score; booleans, NaN, Infinity and strings are not numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield f"must be a finite number, got {type_name(value)}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"must be a finite number, got {value}"
    elif not MIN_SCORE <= value <= MAX_SCORE:
        yield f"must be between {MIN_SCORE} and {MAX_SCORE}, got {_shown(value)}"


def time_problems(value: object) -> Iterator[str]:
    if not isinstance(value, str):
        yield f"must be a string, got {type_name(value)}"
    elif parse_time(value) is None:
        yield "must be an ISO 8601 date and time between the years 1900 and 2199"


def parse_time(text: str) -> datetime | None:
    """ISO 8601 as an aware time, UTC where it names no zone; None when it is something else."""
    if not text.isprintable():  # fromisoformat overlooks a NUL at the end
        return None
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return moment if moment.year in YEARS else None


def type_name(value: object) -> str:
    return "null" if value is None else type(value).__name__


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
            same = f"anomaly_id {_shown(anomaly_id)!r} is already used by record {first[anomaly_id]}"
            yield f"Record {number}: {same}"


def _report(record: Mapping[str, Any]) -> ScoredReport:
    values: dict[str, Any] = dict(_known_fields(record))
    values |= {name: float(values[name]) for name in SCORE_COLUMNS}
    if "detected_at" in values:
        values["detected_at"] = parse_time(values["detected_at"])
    return ScoredReport(**values)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
