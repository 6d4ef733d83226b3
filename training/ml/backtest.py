"""What a model that was retrained every month would have suggested, had it served all along."""

import numpy as np
import pandas as pd

from training.ml.evaluate import monthly_splits, suggest_held_out
from training.ml.features import count_reports
from training.ml.progress import OnProgress, Steps
from training.ml.records import IDENTITY, SCORE_COLUMNS, TARGETS
from training.ml.scorer import Suggestion
from training.ml.stretches import Suggested

NAME = "backtest"
MIN_TRAINING = 200  # records that the first model learns from


def backtest(frame: pd.DataFrame, *, on_progress: OnProgress | None = None) -> Suggested | None:
    """Each calendar month by a model of everything reviewed before it: one fit a month.

    Exact duplicates, unscored and undated reports are left out. None when nothing can be measured.
    """
    sound = frame[["detected_at", *SCORE_COLUMNS]].notna().all(axis="columns") & ~frame.duplicated(IDENTITY)
    rows = np.flatnonzero(sound)
    records = frame.iloc[rows].reset_index(drop=True)
    times = records["detected_at"]
    splits = [] if records.empty else list(monthly_splits(times, times.min()))
    splits = [split for split in splits if len(split.train) >= MIN_TRAINING]
    if not splits:
        return None
    steps = Steps(1 + len(splits) * len(TARGETS), on_progress)
    counts = count_reports(records)
    steps.step("reports counted")
    pieces = [suggest_held_out(records, counts, split, steps) for split in splits]
    return Suggested(
        by=NAME,
        rows=rows[np.concatenate([split.test for split in splits])],
        suggestions={
            target: Suggestion.of(np.concatenate([piece[target].distribution for piece in pieces]))
            for target in TARGETS
        },
        held_out=None,
    )
