"""How good suggestions turned out to be, once the reports were reviewed, against what was promised."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, hypergeom, norm, ttest_ind_from_stats

from training.ml.metrics import target_metrics
from training.ml.ordinal import SCORES, Floats
from training.ml.records import whole_scores
from training.ml.scorer import SERIOUS, Suggestion

MIN_REVIEWED = 30  # fewer give figures without a verdict
CONFIDENCE = 0.95
# What of a version's held-out figures is compared.
PROMISED = ("rows", "mae", "mse", "expected_calibration_error", "attention_recall")


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """One target's suggestions of a period beside the held-out figures of who made them.

    `expected` has the keys of `PROMISED` and `serious`; None where nothing was measured. Intervals are of
    95 %. The p-values, not corrected, are of "no worse than held out"; None where that cannot be asked.
    """

    rows: int
    mae: float
    mae_interval: tuple[float, float] | None
    expected_calibration_error: float
    overconfidence: float  # mean confidence less the share that was right
    serious: int
    attention_recall: float | None
    attention_recall_interval: tuple[float, float] | None
    expected: dict[str, float | None] | None
    error_p_value: float | None
    calibration_p_value: float | None
    recall_p_value: float | None


def accuracy_of(suggestion: Suggestion, actual: Floats, held_out: Mapping[str, Any] | None) -> Accuracy:
    """Judge the suggestions of n ≥ 1 reports by their reviewed scores, shape (n,).

    - Error: Welch's t-test of the absolute errors, one-sided; the held-out ones are known by their mean
      and mean square.
    - Calibration: is the confidence further above the share that was right than the held-out calibration
      error allows? The number that is right has the variance Σ c (1 − c), as in Spiegelhalter's test
      (D. J. Spiegelhalter: Probabilistic prediction in patient management and clinical trials. Statistics
      in Medicine 5, 1986).
    - Recall of the rule "needs attention": Fisher's exact test, one-sided: the held-out serious reports are
      few, too.
    """
    figures = target_metrics(suggestion, actual)
    expected = _promised(held_out)
    classes = whole_scores(actual)
    error = np.abs(suggestion.score - actual)
    excess = float(np.mean(suggestion.confidence - (suggestion.score == classes)))
    serious = classes >= SERIOUS
    found = int(np.count_nonzero(suggestion.needs_attention & serious))
    recall = binomtest(found, int(serious.sum())) if serious.any() else None
    judged = expected if len(actual) >= MIN_REVIEWED else None
    return Accuracy(
        rows=len(actual),
        mae=figures["mae"],
        mae_interval=_interval(error),
        expected_calibration_error=figures["expected_calibration_error"],
        overconfidence=excess,
        serious=int(serious.sum()),
        attention_recall=figures["attention_recall"],
        attention_recall_interval=_as_pair(recall.proportion_ci(CONFIDENCE, "wilson")) if recall else None,
        expected=expected,
        error_p_value=_error_p_value(error, judged),
        calibration_p_value=_calibration_p_value(suggestion.confidence, excess, judged),
        recall_p_value=_recall_p_value(found, int(serious.sum()), judged),
    )


def _as_pair(interval: Any) -> tuple[float, float]:
    return float(interval.low), float(interval.high)


def _interval(error: Floats) -> tuple[float, float] | None:
    """Of the mean error, by the normal distribution."""
    if len(error) < 2:
        return None
    margin = float(norm.ppf((1 + CONFIDENCE) / 2) * error.std(ddof=1) / len(error) ** 0.5)
    return max(float(error.mean()) - margin, 0.0), float(error.mean()) + margin


def _error_p_value(error: Floats, expected: Mapping[str, Any] | None) -> float | None:
    if expected is None or expected["rows"] < 2:
        return None
    spread = max(expected["mse"] - expected["mae"] ** 2, 0.0) ** 0.5
    if spread == 0 and error.std() == 0:
        return float(error.mean() <= expected["mae"])
    test = ttest_ind_from_stats(
        error.mean(), error.std(ddof=1), len(error), expected["mae"], spread, expected["rows"],
        equal_var=False, alternative="greater",
    )  # fmt: skip
    return float(test.pvalue)


def _calibration_p_value(
    confidence: Floats, excess: float, expected: Mapping[str, Any] | None
) -> float | None:
    spread = float(np.sqrt(np.sum(confidence * (1 - confidence)))) / len(confidence)
    if expected is None or spread == 0:
        return None
    return float(norm.sf((excess - expected["expected_calibration_error"]) / spread))


def _recall_p_value(found: int, serious: int, expected: Mapping[str, Any] | None) -> float | None:
    if expected is None or not expected["serious"] or not serious:
        return None
    before = expected["serious"]
    found_before = round(expected["attention_recall"] * before)
    return float(hypergeom.cdf(found, serious + before, found + found_before, serious))


def _promised(held_out: Mapping[str, Any] | None) -> dict[str, float | None] | None:
    """What of held-out metrics is compared; None where nothing was measured."""
    if not held_out or not held_out["rows"]:
        return None
    actual = held_out["score_distribution"]["actual"]
    serious = sum(actual[f"score_{score}"] for score in SCORES if score >= SERIOUS)
    return {name: held_out[name] for name in PROMISED} | {"serious": serious}
