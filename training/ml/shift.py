"""Whether reviewed scores are distributed as they were: how far they moved, and whether by chance."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import hypergeom, mannwhitneyu

from training.ml.ordinal import SCORES, Floats
from training.ml.records import SCORE_COLUMNS, TARGETS, whole_scores

ALPHA = 0.01  # the chance of each kind of question to alarm anywhere while the world stands still
SEED = 0
DRAWS, MORE_DRAWS = 999, 99_999
PROMISING = 0.02  # a p-value from few draws that is worth more of them
MIN_DISTANCE = 0.5  # score points
MIN_EFFECT = 0.5  # score points
MIN_UNIFORM = 0.5  # of the reviews


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreShift:
    """One target's scores in a period against the reference; `p_value` is not corrected."""

    mean: float
    reference_mean: float
    distance: float  # Wasserstein's, in score points
    p_value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Uniform:
    """The commonest combination of the three scores in a period; `p_value` is not corrected."""

    scores: tuple[float, ...]
    share: float
    reference_share: float
    p_value: float

    @property
    def excess(self) -> float:
        """The share of reviews that is too many, if the others are as in the reference."""
        return (self.share - self.reference_share) / (1 - self.reference_share) if self.p_value < 1 else 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """How much higher than other reports those with a term are scored, on average."""

    difference: float
    p_value: float

    @property
    def moves(self) -> bool:
        return abs(self.difference) >= MIN_EFFECT and self.p_value <= ALPHA / len(TARGETS)


def score_shift(now: Floats, reference: Floats) -> ScoreShift:
    """Compare the reviewed scores of a period, shape (n,), with those of the reference, shape (m,).

    The distance is Wasserstein's between the two distributions over 1 to 5: the area between their
    cumulative shares, so 0.5 means that half of the scores would have to move by one point. The p-value is
    that of the permutation test. Who scores a report matters not to it, only how many of each score there
    are, so a permutation is a draw from the multivariate hypergeometric distribution, whatever n. Where few
    draws and the distance promise something, more are made (after J. Besag, P. Clifford: Sequential Monte
    Carlo p-values. Biometrika 78, 1991).
    """
    counts, before = _counts(now), _counts(reference)
    observed = _distances(counts[None, :], before[None, :])[0]
    rng = np.random.default_rng(SEED)
    p_value = 0.0
    for draws in (DRAWS, MORE_DRAWS):
        drawn = rng.multivariate_hypergeometric(counts + before, len(now), size=draws, method="marginals")
        as_far = np.count_nonzero(_distances(drawn, counts + before - drawn) >= observed - 1e-12)
        p_value = (1 + as_far) / (1 + draws)
        if p_value > PROMISING or observed < MIN_DISTANCE:
            break
    return ScoreShift(
        mean=float(now.mean()),
        reference_mean=float(reference.mean()),
        distance=float(observed),
        p_value=float(p_value),
    )


def _counts(scores: Floats) -> NDArray[np.int64]:
    return np.bincount(whole_scores(scores), minlength=SCORES[-1] + 1)[1:].astype(np.int64)


def _distances(now: NDArray[np.int64], before: NDArray[np.int64]) -> Floats:
    """Of each row of counts, shape (rows, 5) on both sides."""
    shares = now / now.sum(axis=1, keepdims=True) - before / before.sum(axis=1, keepdims=True)
    return np.asarray(np.abs(np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1))


def uniformity(now: pd.DataFrame, reference: pd.DataFrame) -> Uniform:
    """How far one and the same three scores are given to everything. Fisher's exact test, one-sided.

    Both frames are scored and not empty. In surveys this is known as straight-lining: it says that
    somebody filled in the form, not that the plant changed.
    """
    columns = list(SCORE_COLUMNS)
    combinations, counts = np.unique(now[columns].to_numpy(dtype=np.float64), axis=0, return_counts=True)
    scores, count = combinations[counts.argmax()], int(counts.max())
    before = int((reference[columns].to_numpy() == scores).all(axis=1).sum())
    p_value = hypergeom.sf(count - 1, len(now) + len(reference), count + before, len(now))
    return Uniform(
        scores=tuple(scores.tolist()),
        share=count / len(now),
        reference_share=before / len(reference),
        p_value=float(p_value),
    )


def effect_of(scores: Floats, others: Floats) -> Effect:
    """How far these scores lie above the others, with the p-value of Mann and Whitney's test."""
    difference = float(scores.mean() - others.mean())
    if np.ptp(np.concatenate((scores, others))) == 0:
        return Effect(difference=difference, p_value=1.0)  # ranks that are all tied have no test
    test = mannwhitneyu(scores, others, alternative="two-sided", method="asymptotic")
    return Effect(difference=difference, p_value=float(test.pvalue))
