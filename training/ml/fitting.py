"""What one training session learns: the model, and its twin that was measured on held-out rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from training.ml.errors import NothingToLearnError
from training.ml.evaluate import (
    Metrics,
    Split,
    dummy_distributions,
    hold_out,
    measure,
    measure_suggestions,
    suggest,
)
from training.ml.features import Counts, ReportFeatures, count_reports, take_rows
from training.ml.held_out import held_out_records
from training.ml.neighbours import NeighbourIndex, index_records
from training.ml.progress import OnProgress, Steps
from training.ml.records import TARGETS
from training.ml.scorer import AnomalyScorer, Suggestion


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """`scorer` was fitted on every record, `neighbours` finds them; `twin` on all but the held-out texts.

    `metrics`: {"protocol", "records", "duplicates_dropped", "train_rows", "rows", "model": {target: metrics},
    "dummy": {target: metrics}}, the figures of the twin; `rows` are the held-out ones. `champion_metrics`:
    {target: metrics} of the champion's twin on the same rows. `held_out`: those rows as the twin saw them.
    When nothing can be held out, `twin`, `champion_metrics` and `held_out` are None and every figure is None.
    """

    scorer: AnomalyScorer
    twin: AnomalyScorer | None
    neighbours: NeighbourIndex
    metrics: dict[str, Any]
    champion_metrics: Metrics | None
    held_out: pd.DataFrame | None


def fit_and_measure(
    frame: pd.DataFrame,
    *,
    champion_twin: AnomalyScorer | None = None,
    on_progress: OnProgress | None = None,
) -> TrainedModel:
    """Fit the twin, measure it and the champion's twin on the held-out rows, fit the model on all rows.

    The reports are tokenised once. Raises NothingToLearnError when the frame is empty.
    """
    if frame.empty:
        raise NothingToLearnError("There is no approved anomaly to learn from.")
    split = hold_out(frame)
    steps = Steps(1 + len(TARGETS) * (2 if len(split.test) else 1), on_progress)
    counts = count_reports(frame)
    steps.step("reports counted")
    twin = _fit_twin(frame, counts, split, steps) if len(split.test) else None
    suggestions = twin.predict_counts(take_rows(counts, split.test)) if twin else None
    metrics = _held_out_metrics(frame, split, suggestions)
    champion_metrics = _champion_metrics(frame, counts, split, champion_twin)
    features = ReportFeatures()
    matrix = features.fit_transform(counts)
    neighbours = index_records(features, counts, frame)
    del counts  # of a million reports: more than a gigabyte
    scorer = AnomalyScorer().fit_matrix(
        features, matrix, frame, on_fitted=lambda target: steps.step(f"{target}: fitted to every record")
    )
    return TrainedModel(
        scorer=scorer,
        twin=twin,
        neighbours=neighbours,
        metrics=metrics,
        champion_metrics=champion_metrics,
        held_out=_held_out(frame, split, suggestions) if suggestions else None,
    )


def _fit_twin(frame: pd.DataFrame, counts: Counts, split: Split, steps: Steps) -> AnomalyScorer:
    features = ReportFeatures()
    return AnomalyScorer().fit_matrix(
        features,
        features.fit_transform(take_rows(counts, split.train)),
        frame.iloc[split.train],
        on_fitted=lambda target: steps.step(f"{target}: fitted without the held-out records"),
    )


def _champion_metrics(
    frame: pd.DataFrame, counts: Counts, split: Split, champion_twin: AnomalyScorer | None
) -> Metrics | None:
    if champion_twin is None or not len(split.test):
        return None
    suggestions = champion_twin.predict_counts(take_rows(counts, split.test))
    return measure_suggestions(suggestions, frame.iloc[split.test])


def _held_out(frame: pd.DataFrame, split: Split, suggestions: Mapping[str, Suggestion]) -> pd.DataFrame:
    scores = {target: suggestion.score for target, suggestion in suggestions.items()}
    return held_out_records(frame.iloc[split.test], scores)


def _held_out_metrics(
    frame: pd.DataFrame, split: Split, suggestions: Mapping[str, Suggestion] | None
) -> dict[str, Any]:
    train, held_out = frame.iloc[split.train], frame.iloc[split.test]
    if suggestions is None:
        suggestions = suggest(dummy_distributions(train, rows=0))
    return {
        "protocol": split.label,
        "records": len(train) + len(held_out),
        "duplicates_dropped": len(frame) - len(train) - len(held_out),
        "train_rows": len(train),
        "rows": len(held_out),
        **measure(suggestions, held_out, train),
    }
