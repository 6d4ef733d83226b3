"""The rules of /predict: everything wrong with a request is said at once, as POST /train says it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from rest_framework.exceptions import ParseError

from training.errors import InvalidRecordsError
from training.rules import LIMITS, parse_time, text_problems, time_problems, type_name

REQUIRED = ("description", "equipment_id")
OPTIONAL = ("equipment_name", "system", "section")


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """One validated anomaly. `anomaly_id` is only echoed: clients of the older service may send none."""

    anomaly_id: str | int | None
    description: str
    equipment_id: str
    equipment_name: str
    system: str
    section: str
    detected_at: datetime | None


def validate_one(record: Any) -> Report:
    """Raises ParseError, whose sentence holds everything that is wrong."""
    if problems := list(problems_of(record)):
        raise ParseError("; ".join(problems))
    return report_of(record)


def validate_many(records: list[Any]) -> list[Report]:
    """All of them or none. Raises InvalidRecordsError with every error and its record's number.

    Their texts are bounded together: no batch of honest reports consists of the longest ones.
    """
    limit = settings.PREDICTION_BATCH_LIMIT
    if not 1 <= len(records) <= limit:
        raise InvalidRecordsError([f"A batch holds 1 to {limit:,} anomalies, got {len(records):,}"])
    errors = [
        f"Record {number}: {problem}"
        for number, record in enumerate(records, start=1)
        for problem in problems_of(record)
    ]
    if errors:
        raise InvalidRecordsError(errors)
    reports = [report_of(record) for record in records]
    most, characters = settings.PREDICTION_CHARACTERS_LIMIT, characters_of(reports)
    if characters > most:
        raise InvalidRecordsError(
            [f"The texts of a batch hold at most {most:,} characters, got {characters:,}: send it in parts"]
        )
    return reports


def characters_of(reports: Iterable[Report]) -> int:
    """Return what a model cuts up: the characters of their texts, identifiers left out."""
    return sum(
        len(report.description) + len(report.equipment_name) + len(report.system) + len(report.section)
        for report in reports
    )


def problems_of(record: object) -> Iterator[str]:
    """Everything that is wrong with one anomaly."""
    if not isinstance(record, dict):
        yield f"must be a JSON object, got {type_name(record)}"
        return
    if missing := [name for name in REQUIRED if name not in record]:
        yield f"Missing required fields: {missing}"
    for name, value in _stated(record):
        yield from (f"{name} {problem}" for problem in _field_problems(name, value))


def _stated(record: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """What the record says; null says nothing in an optional field."""
    for name in REQUIRED:
        if name in record:
            yield name, record[name]
    for name in ("anomaly_id", *OPTIONAL, "detected_at"):
        if record.get(name) is not None:
            yield name, record[name]


def _field_problems(name: str, value: object) -> Iterator[str]:
    if name == "detected_at":
        return time_problems(value)
    if name == "anomaly_id" and isinstance(value, int) and not isinstance(value, bool):
        return iter(())
    return text_problems(value, limit=LIMITS[name], blank=name not in REQUIRED)


def report_of(record: Mapping[str, Any]) -> Report:
    """Of a record in which nothing is wrong."""
    detected_at = record.get("detected_at")
    return Report(
        anomaly_id=record.get("anomaly_id"),
        description=record["description"],
        equipment_id=record["equipment_id"],
        equipment_name=record.get("equipment_name") or "",
        system=record.get("system") or "",
        section=record.get("section") or "",
        detected_at=None if detected_at is None else parse_time(detected_at),
    )
