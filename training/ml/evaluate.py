"""Held-out evaluation: on reports, or on months, that the model has not seen.

The data repeats itself, so a random split leaks. Exact duplicates are dropped before any split, and rows
are split by normalised text or by time. The dummy beside the model suggests the median of its training
rows, with their score frequencies as its distribution.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from training.ml.errors import MLError
from training.ml.features import Counts, count_reports, take_rows
from training.ml.metrics import target_metrics
from training.ml.ordinal import Floats, score_shares
from training.ml.progress import OnProgress, Steps
from training.ml.records import IDENTITY, TARGETS, drop_exact_duplicates, text_groups
from training.ml.scorer import AnomalyScorer, Suggestion

PROTOCOLS = ("grouped", "temporal", "rolling")
HELD_OUT_SHARE = 0.2
TEMPORAL_TRAINING_SHARE = 0.8
ROLLING_MONTHS = 12

Distributions: TypeAlias = Mapping[str, Floats]
Metrics: TypeAlias = dict[str, dict[str, Any]]


class EvaluationError(MLError):
    """The data cannot be split as the protocol asks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Positions of the rows to learn from and of those to measure on; never one in both."""

    label: str
    train: NDArray[np.intp]
    test: NDArray[np.intp]


def evaluate(
    frame: pd.DataFrame,
    *,
    protocol: str,
    cutoff: datetime | None = None,
    folds: int = 5,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Measure model and dummy on every split of the protocol; the held-out rows of all splits are pooled.

    - `grouped`: `folds` folds, the same normalised text never on both sides (scikit-learn's GroupKFold).
    - `temporal`: learn from what came before `cutoff`, measure on the rest. Default: the time at 80 % of the
      rows.
    - `rolling`: each calendar month is measured by a model of everything before it. Default: the twelve
      months that end with the newest report's; with `cutoff`, from there on.

    Returns {"protocol", "records", "duplicates_dropped", "rows", "model": {target: metrics}, "dummy": ...}
    and what belongs to the protocol: `folds`, or `cutoff` and `texts_seen_in_training`, or `cutoff` and
    `periods`; for the last two also `undated`, the records left out since their time is unknown. `rows` are
    the held-out ones.

    Raises EvaluationError when the rows cannot be split so.
    """
    distinct = drop_exact_duplicates(frame).reset_index(drop=True)
    result = {
        "protocol": protocol,
        "records": len(distinct),
        "duplicates_dropped": len(frame) - len(distinct),
    }
    if protocol == "grouped":
        return result | _evaluate_grouped(distinct, folds=folds, on_progress=on_progress)
    if protocol == "temporal":
        return result | _evaluate_temporal(distinct, cutoff=cutoff, on_progress=on_progress)
    if protocol == "rolling":
        return result | _evaluate_rolling(distinct, cutoff=cutoff, on_progress=on_progress)
    raise EvaluationError(f"There is no protocol {protocol!r}: use one of {', '.join(PROTOCOLS)}.")


def hold_out(frame: pd.DataFrame) -> Split:
    """What a training session learns from and measures on, exact duplicates in neither.

    A row is measured on when the SHA-256 of its normalised text falls into the first fifth. That depends on
    nothing else, so a text stays on its side for ever. When nothing would be left to learn from, nothing is
    held out.
    """
    distinct = ~frame.duplicated(IDENTITY).to_numpy()
    held_out = text_groups(frame).map(_is_held_out).to_numpy(dtype=bool)
    if held_out.all():
        held_out = np.zeros_like(held_out)
    return Split(
        label="grouped_holdout",
        train=np.flatnonzero(distinct & ~held_out),
        test=np.flatnonzero(distinct & held_out),
    )


def _is_held_out(text: str) -> bool:
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return int.from_bytes(digest[:8]) < HELD_OUT_SHARE * 2**64


def measure(
    suggestions: Mapping[str, Suggestion], actual: pd.DataFrame, train: pd.DataFrame
) -> dict[str, Metrics]:
    """{"model": {target: metrics}, "dummy": {target: metrics}} of suggestions for the rows of `actual`.

    The dummy knows the scores of `train`.
    """
    return {
        "model": measure_suggestions(suggestions, actual),
        "dummy": measure_suggestions(suggest(dummy_distributions(train, rows=len(actual))), actual),
    }


def measure_suggestions(suggestions: Mapping[str, Suggestion], actual: pd.DataFrame) -> Metrics:
    """{target: metrics} of suggestions for the rows of `actual`."""
    return {
        target: target_metrics(suggestions[target], actual[f"{target}_score"].to_numpy(dtype=np.float64))
        for target in TARGETS
    }


def dummy_distributions(train: pd.DataFrame, *, rows: int) -> Distributions:
    """What the dummy says of `rows` reports, each time the same: shape (rows, 5) a target."""
    return {
        target: np.tile(score_shares(train[f"{target}_score"].to_numpy(dtype=np.float64)), (rows, 1))
        for target in TARGETS
    }


def suggest(distributions: Distributions) -> dict[str, Suggestion]:
    return {target: Suggestion.of(distribution) for target, distribution in distributions.items()}


def grouped_splits(frame: pd.DataFrame, *, folds: int) -> list[Split]:
    """Every row is held out once, the same normalised text never on both sides: scikit-learn's GroupKFold.

    Raises EvaluationError when there are fewer texts than folds.
    """
    groups = text_groups(frame)
    if folds < 2:
        raise EvaluationError("At least two folds are needed.")
    if groups.nunique() < folds:
        raise EvaluationError(f"{folds} folds need as many different texts; there are {groups.nunique()}.")
    return [
        Split(label=f"fold {number}", train=train, test=test)
        for number, (train, test) in enumerate(GroupKFold(folds).split(frame, groups=groups), start=1)
    ]


def _evaluate_grouped(frame: pd.DataFrame, *, folds: int, on_progress: OnProgress | None) -> dict[str, Any]:
    measured, _ = _measure_splits(frame, grouped_splits(frame, folds=folds), on_progress)
    return {"folds": folds} | measured


def _evaluate_temporal(
    frame: pd.DataFrame, *, cutoff: datetime | None, on_progress: OnProgress | None
) -> dict[str, Any]:
    dated = _dated(frame)
    times = dated["detected_at"]
    start = pd.Timestamp(cutoff or times.sort_values().iloc[int(TEMPORAL_TRAINING_SHARE * len(times))])
    split = _split_at(times, start, label=f"from {start}")
    if split is None:
        raise EvaluationError(f"There must be reports both before and after {start}.")
    texts = text_groups(dated)
    measured, _ = _measure_splits(dated, [split], on_progress)
    return {
        "undated": len(frame) - len(dated),
        "cutoff": str(start),
        "train_rows": len(split.train),
        "texts_seen_in_training": int(texts.iloc[split.test].isin(set(texts.iloc[split.train])).sum()),
    } | measured


def _evaluate_rolling(
    frame: pd.DataFrame, *, cutoff: datetime | None, on_progress: OnProgress | None
) -> dict[str, Any]:
    dated = _dated(frame)
    times = dated["detected_at"]
    newest = times.max().to_period("M")
    first = pd.Timestamp(cutoff or (newest - (ROLLING_MONTHS - 1)).start_time)
    splits = list(monthly_splits(times, first))
    if not splits:
        raise EvaluationError(f"There must be reports both before and after {first}.")
    measured, periods = _measure_splits(dated, splits, on_progress)
    return {"undated": len(frame) - len(dated), "cutoff": str(first), "periods": periods} | measured


def _dated(frame: pd.DataFrame) -> pd.DataFrame:
    dated = frame[frame["detected_at"].notna()].reset_index(drop=True)
    if dated.empty:
        raise EvaluationError("No report says when it was detected: nothing can be split by time.")
    return dated


def monthly_splits(times: "pd.Series[pd.Timestamp]", first: pd.Timestamp) -> Iterator[Split]:
    """A split a calendar month, beginning with `first`, which may lie within one; none for empty months."""
    for month in pd.period_range(first, times.max(), freq="M"):
        start = max(first, month.start_time)
        if split := _split_at(times, start, end=(month + 1).start_time, label=str(month)):
            yield split


def _split_at(
    times: "pd.Series[pd.Timestamp]", start: pd.Timestamp, *, label: str, end: pd.Timestamp = pd.Timestamp.max
) -> Split | None:
    """Learn from before `start`, measure from there to before `end`; None when either side is empty."""
    train = np.flatnonzero(times < start)
    test = np.flatnonzero((times >= start) & (times < end))
    return Split(label=label, train=train, test=test) if len(train) and len(test) else None


def _measure_splits(
    frame: pd.DataFrame, splits: list[Split], on_progress: OnProgress | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Figures of the pooled held-out rows, and for each split its rows and MAE."""
    steps = Steps(1 + len(splits) * len(TARGETS), on_progress)
    counts = count_reports(frame)
    steps.step("reports counted")
    model, dummy, periods = [], [], []
    for split in splits:
        suggestions = suggest_held_out(frame, counts, split, steps)
        model.append({target: suggestion.distribution for target, suggestion in suggestions.items()})
        dummy.append(dummy_distributions(frame.iloc[split.train], rows=len(split.test)))
        periods.append(_period(split, measure_suggestions(suggestions, frame.iloc[split.test])))
    pooled = frame.iloc[np.concatenate([split.test for split in splits])]
    return {
        "rows": len(pooled),
        "model": measure_suggestions(suggest(_pool(model)), pooled),
        "dummy": measure_suggestions(suggest(_pool(dummy)), pooled),
    }, periods


def suggest_held_out(
    frame: pd.DataFrame, counts: Counts, split: Split, steps: Steps
) -> dict[str, Suggestion]:
    """What a model of the split's training rows says of its held-out ones; a step for each target."""
    scorer = AnomalyScorer().fit_counts(
        take_rows(counts, split.train),
        frame.iloc[split.train],
        on_fitted=lambda target: steps.step(f"{split.label}: {target}"),
    )
    return scorer.predict_counts(take_rows(counts, split.test))


def _pool(parts: Sequence[Distributions]) -> Distributions:
    return {target: np.concatenate([part[target] for part in parts]) for target in TARGETS}


def _period(split: Split, metrics: Metrics) -> dict[str, Any]:
    return {
        "label": split.label,
        "train_rows": len(split.train),
        "rows": len(split.test),
        "mae": {target: metrics[target]["mae"] for target in TARGETS},
    }
