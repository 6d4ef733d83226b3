"""How good suggestions are: the figures of one target, as plain Python numbers.

`mae`, `mse`, `rmse`, `r2`, `within_*` and the errors behind `macro_mae` compare with the reviewed score as it
stands, fraction included. The others need classes: there the reviewed score is rounded half up.
A figure that is not defined (no rows, nothing of the kind) is None.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    confusion_matrix,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    r2_score,
    recall_score,
)

from training.ml.ordinal import SCORES, Floats
from training.ml.records import whole_scores
from training.ml.scorer import SERIOUS, Suggestion

CALIBRATION_BINS = 10
FIGURES = (
    "mae",
    "mse",
    "rmse",
    "r2",
    "exact",
    "within_0.5",
    "within_1",
    "quadratic_weighted_kappa",
    "macro_mae",
    "recall_ge_4",
    "precision_ge_4",
    "attention_recall",
    "attention_precision",
    "expected_calibration_error",
)


def target_metrics(suggestion: Suggestion, actual: Floats) -> dict[str, Any]:
    """The figures of one target on held-out rows.

    Parameters
    ----------
    suggestion : Suggestion of n reports
    actual : ndarray of shape (n,), the reviewed scores

    Returns
    -------
    dict
        `rows`, each of FIGURES, `confusion_matrix` (5 × 5; a row an actual class, a column a suggested
        score), `score_distribution` (rows by score, predicted and actual) and `prediction` (mean, std, min
        and max of the suggested scores).
    """
    classes = whole_scores(actual)
    return {
        "rows": len(actual),
        **(_figures(suggestion, actual, classes) if len(actual) else dict.fromkeys(FIGURES)),
        "confusion_matrix": _confusion(suggestion.score, classes),
        "score_distribution": {
            "predicted": score_counts(suggestion.score),
            "actual": score_counts(classes),
        },
        "prediction": _summary(suggestion.score),
    }


def score_counts(classes: NDArray[np.int64]) -> dict[str, int]:
    """How many rows have each score: {"score_1": …, …, "score_5": …}."""
    return {f"score_{score}": int(np.count_nonzero(classes == score)) for score in SCORES}


def _figures(suggestion: Suggestion, actual: Floats, classes: NDArray[np.int64]) -> dict[str, float | None]:
    score = suggestion.score
    error = np.abs(score - actual)
    squared = float(mean_squared_error(actual, score))
    return {
        "mae": float(mean_absolute_error(actual, score)),
        "mse": squared,
        "rmse": squared**0.5,
        "r2": float(r2_score(actual, score)) if np.ptp(actual) else None,
        "exact": float(accuracy_score(classes, score)),
        "within_0.5": float(np.mean(error <= 0.5)),
        "within_1": float(np.mean(error <= 1.0)),
        "quadratic_weighted_kappa": _kappa(score, classes),
        "macro_mae": float(np.mean([error[classes == score].mean() for score in np.unique(classes)])),
        **_found("{}_ge_4", score >= SERIOUS, classes),
        **_found("attention_{}", suggestion.needs_attention, classes),
        "expected_calibration_error": _calibration_error(suggestion, classes),
    }


def weighted_kappa(
    pairs: Sequence[tuple[float, float]], *, counts: Sequence[int] | None = None
) -> float | None:
    """Cohen's kappa with quadratic weights, of two people's scores rounded half up; None where undefined.

    `counts`: how often each pair was given; once each without them.
    """
    first, second = whole_scores(np.array(pairs, dtype=np.float64)).T
    return _kappa(first, second, counts)


def _kappa(
    score: NDArray[np.int64], classes: NDArray[np.int64], counts: Sequence[int] | None = None
) -> float | None:
    if len({*score.tolist(), *classes.tolist()}) == 1:
        return None  # neither ever varies: no disagreement could be expected by chance
    return float(cohen_kappa_score(classes, score, labels=SCORES, weights="quadratic", sample_weight=counts))


def _found(name: str, found: NDArray[np.bool_], classes: NDArray[np.int64]) -> Mapping[str, float | None]:
    """Recall and precision of what was found, as a search for scores of 4 and 5."""
    actual = classes >= SERIOUS
    return {
        name.format("recall"): float(recall_score(actual, found)) if actual.any() else None,
        name.format("precision"): float(precision_score(actual, found)) if found.any() else None,
    }


def _calibration_error(suggestion: Suggestion, classes: NDArray[np.int64]) -> float:
    """Expected calibration error of the suggested score, in ten equal bins of confidence.

    |share that is right − mean confidence|, averaged over the bins by their rows. C. Guo et al.: On
    Calibration of Modern Neural Networks, ICML 2017.
    """
    bins = np.minimum((suggestion.confidence * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
    excess = suggestion.confidence - (suggestion.score == classes)
    return float(np.abs(np.bincount(bins, weights=excess)).sum() / len(classes))


def _confusion(score: NDArray[np.int64], classes: NDArray[np.int64]) -> list[list[int]]:
    if not len(classes):
        return [[0] * len(SCORES) for _ in SCORES]
    counts: list[list[int]] = confusion_matrix(classes, score, labels=SCORES).tolist()
    return counts


def _summary(score: NDArray[np.int64]) -> dict[str, float | None]:
    if not len(score):
        return dict.fromkeys(("mean", "std", "min", "max"))
    return {
        "mean": float(score.mean()),
        "std": float(score.std()),
        "min": float(score.min()),
        "max": float(score.max()),
    }
