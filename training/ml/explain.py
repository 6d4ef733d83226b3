"""Why a score is expected: what each word of a report, and each fact about its equipment, adds to it.

The expected score is E(x) = 1 + Σ_k σ(b_k + w_k · x), over the four questions k. Integrated gradients [1]_
along the straight line from the empty report (x = 0) have a closed form for a logistic: feature j contributes

    Σ_k w_kj x_j (σ(z_k) - σ(b_k)) / (z_k - b_k),   z_k = b_k + w_k · x,

and the contributions add up to E(x) - E(0). Features are then given to who makes them (`makers`). One that
several make together (a pair of words, a word in a section) is shared equally, the Shapley value of an
interaction [2]_; one that stands in the report several times, a run of characters in three words, is shared
by how often each has it. Nothing is left over: the sum stays exact.

References
----------
.. [1] M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. ICML 2017.
.. [2] L. S. Shapley: A Value for n-Person Games. Contributions to the Theory of Games II, 1953.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit

from training.ml.features import Reports, count_reports
from training.ml.makers import FIELDS, Maker, Makers, makers_of
from training.ml.ordinal import SCORES, Floats, OrdinalClassifier
from training.ml.scorer import AnomalyScorer

# Nearer to nothing, the quotient of differences has fewer digits than the slope in the middle.
_FLAT = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """What one word or fact of the report adds to the expected score, or takes from it.

    Attributes
    ----------
    kind : {"description", "equipment_name", "equipment_id", "section", "system"}
    text : str
    usual : bool
        As in `Maker`.
    value : float
        In points of the score, signed.
    """

    kind: str
    text: str
    usual: bool
    value: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """`expected` is `base` and the values of all `contributions`, added up.

    `base` is what an empty report would get. The contributions stand the largest first, whatever their
    sign; what moves nothing is left out.
    """

    base: float
    expected: float
    contributions: list[Contribution]


def explain(scorer: AnomalyScorer, X: Reports) -> list[dict[str, Explanation]]:
    """Of each report, by target: why `scorer.predict` expects what it does.

    A few milliseconds a report.
    """
    matrix = scorer.features_.transform(count_reports(X))
    explained = []
    for row, texts in enumerate(zip(*(X[field] for field in FIELDS), strict=True)):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[span], matrix.data[span]
        report = dict(zip(FIELDS, texts, strict=True))
        makers, shares = _shares(columns, makers_of(scorer.features_, columns, report))
        explained.append(
            {
                target: _explanation(classifier, columns, values, makers, shares)
                for target, classifier in scorer.classifiers_.items()
            }
        )
    return explained


def _explanation(
    classifier: OrdinalClassifier,
    columns: NDArray[np.int32],
    values: Floats,
    makers: Sequence[Maker],
    shares: csr_array,
) -> Explanation:
    weighed = classifier.coef_[:, columns] * values
    moved = weighed.sum(axis=1)
    added = _mean_slope(classifier.intercept_, moved) @ weighed @ shares
    contributions = [
        Contribution(kind=maker.kind, text=maker.text, usual=maker.usual, value=value)
        for maker, value in zip(makers, added.tolist(), strict=True)
        if value
    ]
    return Explanation(
        base=SCORES[0] + float(expit(classifier.intercept_).sum()),
        expected=SCORES[0] + float(expit(classifier.intercept_ + moved).sum()),
        contributions=sorted(contributions, key=lambda found: -abs(found.value)),
    )


def _mean_slope(start: Floats, moved: Floats) -> Floats:
    """(σ(start + moved) - σ(start)) / moved, and its limit where nothing moves."""
    flat = np.abs(moved) < _FLAT
    middle = expit(start + moved / 2)
    rise = expit(start + moved) - expit(start)
    slope: Floats = np.where(flat, middle * (1 - middle), rise / np.where(flat, 1.0, moved))
    return slope


def _shares(columns: NDArray[np.int32], made_by: Makers) -> tuple[list[Maker], csr_array]:
    """The makers, and what share of each column is whose: shape (n_columns, n_makers), rows that sum to 1."""
    numbers: dict[Maker, int] = {}
    rows, owners, shares = [], [], []
    for row, column in enumerate(columns.tolist()):
        times = made_by[column]
        for together in times:
            rows += [row] * len(together)
            owners += [numbers.setdefault(maker, len(numbers)) for maker in together]
            shares += [1 / (len(times) * len(together))] * len(together)
    return list(numbers), csr_array((shares, (rows, owners)), shape=(len(columns), len(numbers)))
