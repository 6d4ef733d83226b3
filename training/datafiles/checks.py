"""What makes a row unfit to store, in the words that the batch validation uses."""

from collections.abc import Iterator
from datetime import datetime

import pandas as pd

from training.ml.records import SCORE_COLUMNS, TEXT_COLUMNS
from training.models.anomaly import MAX_DESCRIPTION, MAX_SCORE, MIN_SCORE, Anomaly

REQUIRED = ("description", "equipment_id", *SCORE_COLUMNS)

_UNSTORABLE = r"[\0\ud800-\udfff]"  # what PostgreSQL refuses
_NUMBER = r"[+-]?[0-9]+(?:[.,][0-9]*)?"
_TIME = r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_ECHOED = 60  # characters of a wrong cell that are shown

# Row position, column, what is wrong with it.
Fault = tuple[int, str, str]


def find_faults(cells: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong, row by row."""
    faults = [*_missing(cells), *_unfit_texts(cells), *_unfit_scores(cells), *_unreadable_times(cells)]
    return sorted(faults, key=lambda fault: fault[0])


def parse_scores(cells: "pd.Series[str]") -> "pd.Series[float]":
    """NaN for what is no number. A decimal comma is read as well as a point."""
    texts = cells.str.strip()
    return texts.where(texts.str.fullmatch(_NUMBER)).str.replace(",", ".").astype(float)


def parse_times(cells: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    """Naive UTC; NaT for what is no ISO 8601 date, or lies outside Python's years."""
    texts = cells.str.strip()
    times = pd.to_datetime(
        texts.where(texts.str.fullmatch(_TIME)), format="ISO8601", utc=True, errors="coerce"
    ).dt.tz_localize(None)
    times = times.astype("datetime64[us]")
    return times.where(times.between(datetime.min, datetime.max))  # noqa: DTZ901  # naive UTC, as the frame


def _missing(cells: pd.DataFrame) -> Iterator[Fault]:
    blank = cells[list(REQUIRED)].apply(lambda column: column.str.strip() == "")
    for position, row in blank[blank.any(axis="columns")].iterrows():
        fields = [field for field in REQUIRED if row[field]]
        yield int(str(position)), fields[0], f"Missing required fields: {fields}"


def _unfit_texts(cells: pd.DataFrame) -> Iterator[Fault]:
    for field in TEXT_COLUMNS:
        if field not in cells:
            continue
        most = _max_length(field)
        lengths = cells[field].str.len()
        for position, length in lengths[lengths > most].items():
            yield _at(position), field, f"{field} must be at most {most} characters, got {length}"
        for position in cells.index[cells[field].str.contains(_UNSTORABLE)]:
            yield _at(position), field, f"{field} contains characters that are not valid text"


def _unfit_scores(cells: pd.DataFrame) -> Iterator[Fault]:
    for field in SCORE_COLUMNS:
        texts = cells[field].str.strip()
        scores = parse_scores(cells[field])
        for position, text in texts[scores.isna() & (texts != "")].items():
            yield _at(position), field, f"{field} must be a number, got {text[:_ECHOED]!r}"
        for position, text in texts[scores.notna() & ~scores.between(MIN_SCORE, MAX_SCORE)].items():
            message = f"{field} must be between {MIN_SCORE} and {MAX_SCORE}, got {text[:_ECHOED]}"
            yield _at(position), field, message


def _unreadable_times(cells: pd.DataFrame) -> Iterator[Fault]:
    if "detected_at" not in cells:
        return
    texts = cells["detected_at"]
    for position, text in texts[parse_times(texts).isna() & (texts.str.strip() != "")].items():
        wanted = "a date and time such as 2024-01-31 14:05:00"
        yield _at(position), "detected_at", f"detected_at must be {wanted}, got {text[:_ECHOED]!r}"


def _max_length(field: str) -> int:
    return MAX_DESCRIPTION if field == "description" else int(getattr(Anomaly, field).field.max_length)


def _at(position: object) -> int:
    return int(str(position))
