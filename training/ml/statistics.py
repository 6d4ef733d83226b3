"""Facts about a training set, for people who want to know what a model was made of."""

from typing import Any

import numpy as np
import pandas as pd

from training.ml.metrics import score_counts
from training.ml.ordinal import Floats
from training.ml.records import IDENTITY, TARGETS, whole_scores


def training_statistics(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """For each target: records, mean and standard deviation (of the population), scores, data quality.

    A valid score lies between 1 and 5; in the distribution a fraction is rounded half up. `mean` and `std`
    are None when no score is valid.
    """
    quality = {
        "missing_descriptions": _count_blank(frame["description"]),
        "missing_equipment_ids": _count_blank(frame["equipment_id"]),
        "duplicate_records": int(frame.duplicated(IDENTITY).sum()),
    }
    return {
        target: _target_statistics(frame[f"{target}_score"]) | {"data_quality": quality} for target in TARGETS
    }


def _target_statistics(scores: "pd.Series[float]") -> dict[str, Any]:
    valid: Floats = np.asarray(scores[scores.between(1, 5)], dtype=np.float64)
    return {
        "total_records": len(scores),
        "valid_target_records": len(valid),
        "target_statistics": {
            "mean": float(valid.mean()) if len(valid) else None,
            "std": float(valid.std()) if len(valid) else None,
        },
        "target_distribution": score_counts(whole_scores(valid)),
    }


def _count_blank(texts: "pd.Series[str]") -> int:
    return int((texts.str.strip() == "").sum())
