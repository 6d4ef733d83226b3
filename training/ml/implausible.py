"""Reviewed scores that a model which has seen neither the row nor its text finds implausible.

The probability of the reviewed score, the *self-confidence* of confident learning [1]_, decides what is
listed; the *normalised margin* [2]_ to the likeliest other score, what comes first. Measures that know the
order of the scores, and class-adjusted ones, found fewer of the scores that were spoiled on purpose:
docs/label_quality.md.

References
----------
.. [1] C. Northcutt, L. Jiang, I. Chuang: Confident Learning: Estimating Uncertainty in Dataset Labels.
   JAIR 70 (2021).
.. [2] J. Kuan, J. Mueller: Model-agnostic label quality scoring to detect real-world label errors. ICML 2022
   Workshop DataPerf.
"""

from typing import Any

import numpy as np
import pandas as pd

from training.ml.evaluate import grouped_splits, suggest_held_out
from training.ml.features import Counts
from training.ml.findings import Finding, Found, most_suspicious
from training.ml.ordinal import SCORES, Floats
from training.ml.progress import Steps
from training.ml.records import TARGETS, text_groups
from training.ml.scorer import Suggestion

FOLDS = 5
LEAST = 50  # rows: a model of fewer knows no probabilities of a few per cent
# Listed below this probability. What that lists in clean data: `expected_by_chance`.
IMPLAUSIBLE_BELOW = 0.05


def folds_of(frame: pd.DataFrame) -> int:
    """How many models will judge the rows; 0 when there are too few rows, or all have one text."""
    folds = min(FOLDS, text_groups(frame).nunique())
    return folds if folds > 1 and len(frame) >= LEAST else 0


def find_implausible(frame: pd.DataFrame, counts: Counts, *, folds: int, limit: int, steps: Steps) -> Found:
    """The scores, a target each, whose held-out probability is below `IMPLAUSIBLE_BELOW`.

    The suspicion is (1 + margin) / 2.

    facts: `folds` and by target `found` and `expected_by_chance`: how many would be listed if every score
    were drawn from the distribution that the model gives it, that is, if it were right and no label wrong.
    """
    suggestions = out_of_fold(frame, counts, folds=folds, steps=steps) if folds else {}
    listed = [_listed(frame, target, suggestion) for target, suggestion in suggestions.items()]
    table = pd.concat([pd.DataFrame(columns=["row", "target", "probability", "suspicion"]), *listed])
    order = most_suspicious(table["suspicion"].to_numpy(dtype=np.float64), limit)
    kept: list[Any] = list(table.iloc[order].itertuples())
    return Found(
        count=len(table),
        findings=[_finding(frame, suggestions[doubt.target], doubt) for doubt in kept],
        facts={"folds": folds}
        | {
            target: {"found": len(part), "expected_by_chance": expected_by_chance(suggestions[target])}
            for target, part in zip(suggestions, listed, strict=True)
        },
    )


def out_of_fold(frame: pd.DataFrame, counts: Counts, *, folds: int, steps: Steps) -> dict[str, Suggestion]:
    """A suggestion a target for every row, each by a model that has not seen the row's text."""
    distributions = {target: np.empty((len(frame), 5)) for target in TARGETS}
    for split in grouped_splits(frame, folds=folds):
        for target, suggestion in suggest_held_out(frame, counts, split, steps).items():
            distributions[target][split.test] = suggestion.distribution
    return {target: Suggestion.of(distribution) for target, distribution in distributions.items()}


def probability_of(distribution: Floats, scores: Floats) -> Floats:
    """P(score) of each row, shape (n,); between two whole scores it is interpolated.

    Parameters
    ----------
    distribution : ndarray of shape (n, 5)
    scores : ndarray of shape (n,), 1 to 5
    """
    return np.asarray((_shares(scores) * distribution).sum(axis=1))


def margin_of(distribution: Floats, scores: Floats) -> Floats:
    """The probability of the likeliest other score less that of the score, shape (n,), -1 to 1."""
    others = np.where(_shares(scores) > 0, 0.0, distribution)
    return np.asarray(others.max(axis=1) - probability_of(distribution, scores))


def expected_by_chance(suggestion: Suggestion) -> float:
    """How many rows would be listed: the probability of all scores less likely than the threshold, summed."""
    distribution = suggestion.distribution
    return round(float(distribution[distribution < IMPLAUSIBLE_BELOW].sum()), 1)


def _shares(scores: Floats) -> Floats:
    """Each score as shares of whole ones, shape (n, 5): 2.3 is 0.7 of a 2 and 0.3 of a 3."""
    shares: Floats = np.clip(1 - np.abs(scores[:, None] - np.array(SCORES)), 0.0, 1.0)
    return shares


def _listed(frame: pd.DataFrame, target: str, suggestion: Suggestion) -> pd.DataFrame:
    scores = frame[f"{target}_score"].to_numpy(dtype=np.float64)
    table = pd.DataFrame(
        {
            "row": np.arange(len(frame)),
            "target": target,
            "probability": probability_of(suggestion.distribution, scores),
            "suspicion": (1 + margin_of(suggestion.distribution, scores)) / 2,
        }
    )
    return table[table["probability"] < IMPLAUSIBLE_BELOW]


def _finding(frame: pd.DataFrame, suggestion: Suggestion, doubt: Any) -> Finding:
    row = doubt.row
    return Finding(
        row=row,
        target=doubt.target,
        suspicion=doubt.suspicion,
        evidence={
            "reviewed": float(frame[f"{doubt.target}_score"].iloc[row]),
            "suggested": int(suggestion.score[row]),
            "expected": round(float(suggestion.expected[row]), 2),
            "probability": round(doubt.probability, 4),
            "distribution": suggestion.distribution[row].round(4).tolist(),
        },
    )
