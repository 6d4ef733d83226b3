"""What makes a row unfit to store: the rules and the words of `training.validation`, a column at a time."""

import re
from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pandas as pd

from training.ml.records import SCORE_COLUMNS, TEXT_COLUMNS
from training.models.anomaly import MAX_SCORE, MIN_SCORE
from training.rules import LIMITS, MAY_BE_BLANK, YEARS, score_problems, shown, text_problems

_UNSTORABLE = r"[\0\ud800-\udfff]"
_NUMBER = r"[+-]?[0-9]+(?:[.,][0-9]*)?"
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}(?:[ T]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,6})?)?(?:Z|[+-]\d{2}:?\d{2})?)?")
_MAY_BE_BLANK = {*MAY_BE_BLANK, "anomaly_id"}

# Row position, column, what is wrong with it.
Fault = tuple[int, str, str]


def find_faults(cells: pd.DataFrame) -> list[Fault]:
    """Everything that is wrong, row by row. The index of `cells` holds the rows' positions."""
    faults = [*_unfit_texts(cells), *_missing_scores(cells), *_unfit_scores(cells), *_unreadable_times(cells)]
    return sorted(faults, key=lambda fault: fault[0])


def parse_scores(cells: "pd.Series[str]") -> "pd.Series[float]":
    """NaN for what is no number. A decimal comma is read as well as a point."""
    codes, distinct = pd.factorize(cells)  # a score has few forms: each is parsed once
    texts = pd.Series(distinct, dtype=object).str.strip()
    scores = texts.where(texts.str.fullmatch(_NUMBER)).str.replace(",", ".").astype(float)
    return pd.Series(scores.to_numpy()[codes], index=cells.index)


def parse_times(cells: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    """Naive UTC; NaT for what is no ISO 8601 date, or lies outside Python's years."""
    texts = pd.Series([text.strip() for text in cells.tolist()], index=cells.index, dtype=object)
    sound = texts.where(np.array([_TIME.fullmatch(text) is not None for text in texts.tolist()], dtype=bool))
    times = pd.to_datetime(sound, format="ISO8601", utc=True, errors="coerce").dt.tz_localize(None)
    times = times.astype("datetime64[us]")
    return times.where(times.between(datetime.min, datetime.max))  # noqa: DTZ901  # naive UTC, as in frames


def _unfit_texts(cells: pd.DataFrame) -> Iterator[Fault]:
    for field in (field for field in TEXT_COLUMNS if field in cells):
        texts, limit, blank = cells[field], LIMITS[field], field in _MAY_BE_BLANK
        if _all_fit(texts.tolist(), limit, blank=blank):
            continue
        unfit = (texts.str.len() > limit) | texts.str.contains(_UNSTORABLE)
        if not blank:
            unfit |= texts.str.strip() == ""
        for position, text in texts[unfit].items():
            for problem in text_problems(text, limit=limit, blank=blank):
                yield _at(position), field, f"{field} {problem}"


def _all_fit(texts: list[str], limit: int, *, blank: bool) -> bool:
    """A quick look at a whole column: nearly all are sound."""
    return (
        max(map(len, texts), default=0) <= limit
        and (blank or all(map(str.strip, texts)))
        and re.search(_UNSTORABLE, "".join(texts)) is None
    )


def _missing_scores(cells: pd.DataFrame) -> Iterator[Fault]:
    blank = cells[list(SCORE_COLUMNS)].apply(lambda column: column.str.strip() == "")
    rows = blank[blank.any(axis="columns")]
    for position, flags in zip(rows.index, rows.to_numpy().tolist(), strict=True):
        missing = [field for field, is_blank in zip(SCORE_COLUMNS, flags, strict=True) if is_blank]
        yield _at(position), missing[0], f"Missing required fields: {missing}"


def _unfit_scores(cells: pd.DataFrame) -> Iterator[Fault]:
    for field in SCORE_COLUMNS:
        texts, scores = cells[field].str.strip(), parse_scores(cells[field])
        for position, text in texts[scores.isna() & (texts != "")].items():
            yield _at(position), field, f"{field} must be a finite number, got {shown(text)!r}"
        for position, score in scores[(scores < MIN_SCORE) | (scores > MAX_SCORE)].items():
            for problem in score_problems(int(score) if score.is_integer() else score):
                yield _at(position), field, f"{field} {problem}"


def _unreadable_times(cells: pd.DataFrame) -> Iterator[Fault]:
    if "detected_at" not in cells:
        return
    texts = cells["detected_at"].str.strip()
    sound = parse_times(texts).dt.year.isin(YEARS)
    rule = f"must be an ISO 8601 date and time between the years {YEARS[0]} and {YEARS[-1]}"
    for position, text in texts[~sound & (texts != "")].items():
        yield _at(position), "detected_at", f"detected_at {rule}, got {shown(text)!r}"


def _at(position: object) -> int:
    return int(str(position))
