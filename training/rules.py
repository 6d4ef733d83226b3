"""What a value must be to be stored in an anomaly: the same rules and words for files and for requests."""

import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime

from training.models import Anomaly
from training.models.anomaly import MAX_DESCRIPTION, MAX_SCORE, MIN_SCORE

REQUIRED_TEXTS = ("anomaly_id", "description", "equipment_name", "equipment_id")
OPTIONAL_TEXTS = ("system", "section")
MAY_BE_BLANK = ("equipment_name", *OPTIONAL_TEXTS)  # plants do not name all of their equipment
LIMITS: dict[str, int] = {
    name: getattr(Anomaly, name).field.max_length or MAX_DESCRIPTION
    for name in (*REQUIRED_TEXTS, *OPTIONAL_TEXTS)
}
YEARS = range(1900, 2200)  # what a date of detection may be
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SHOWN = 40  # characters of a refused value that an error echoes


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
        yield f"must be between {MIN_SCORE} and {MAX_SCORE}, got {shown(value)}"


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


def shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
