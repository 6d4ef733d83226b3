"""Why a score is expected: what each word of a report, and each fact about its equipment, adds to it.

The expected score is E(x) = 1 + Σ_k σ(b_k + w_k · x), over the four questions k. Integrated gradients [1]_
along the straight line from the empty report (x = 0) have a closed form for a logistic: feature j contributes

    Σ_k w_kj x_j (σ(z_k) - σ(b_k)) / (z_k - b_k),   z_k = b_k + w_k · x,

and the contributions add up to E(x) - E(0). Features are then given to who *makes* them, what a person can
see in the report. One that several make together (a pair of words, a word in a section) is shared equally,
the Shapley value of an interaction [2]_; one that stands in the report several times, a run of characters in
three words, is shared by how often each has it. Nothing is left over: the sum stays exact.

References
----------
.. [1] M. Sundararajan, A. Taly, Q. Yan: Axiomatic Attribution for Deep Networks. ICML 2017.
.. [2] L. S. Shapley: A Value for n-Person Games. Contributions to the Theory of Games II, 1953.
"""

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.feature_extraction.text import strip_accents_unicode

from training.ml.features import (
    ReportFeatures,
    count_reports,
    crossed_name,
    split_pieces,
    split_words,
)
from training.ml.ordinal import SCORES, Floats, OrdinalClassifier
from training.ml.scorer import AnomalyScorer

_NOT_WORD = re.compile(r"\W+")
_AROUND = " .,;:!?()[]{}<>\"'«»“”…"
# Below this the quotient of differences loses digits, and the slope in the middle has more of them.
_FLAT = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """What one thing that stands in the report adds to the expected score, or takes from it.

    Attributes
    ----------
    kind : {"description", "equipment_name", "equipment_id", "section", "system"}
        The field; of the first two, one word of it.
    text : str
        As the report has it.
    value : float
        In points of the score, signed.
    usual : bool
        The report does not say this section or system, or one that no training report had: its equipment
        usually has it (`context`). So this, too, is known from the equipment id.
    """

    kind: str
    text: str
    value: float
    usual: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Explanation:
    """`expected` = `base` + Σ value of the `contributions`.

    `base` is what an empty report would get; the contributions are not 0, the largest first, whatever
    their sign.
    """

    base: float
    expected: float
    contributions: list[Contribution]


class Maker(NamedTuple):
    """What makes features: a Contribution without its value."""

    kind: str
    text: str
    usual: bool = False


# Of each term, or column: who makes it, once for each time that it stands in the report.
TermMakers: TypeAlias = Mapping[str, Sequence[tuple[Maker, ...]]]
ColumnMakers: TypeAlias = dict[int, Sequence[tuple[Maker, ...]]]


def explain(scorer: AnomalyScorer, X: pd.DataFrame) -> list[dict[str, Explanation]]:
    """Of each report of the frame, by target: why `scorer.predict` expects what it does.

    A few milliseconds a report.
    """
    features = scorer.features_
    matrix = features.transform(count_reports(X))
    explained = []
    for row, report in enumerate(X.to_dict("records")):
        span = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, values = matrix.indices[span], matrix.data[span]
        makers, shares = _shares(columns, _makers_of(features, columns, report))
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
    shares: Floats,
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


def _shares(columns: NDArray[np.int32], makers_of: ColumnMakers) -> tuple[list[Maker], Floats]:
    """The makers, and what share of each column is whose: shape (n_columns, n_makers), rows that sum to 1."""
    numbers: dict[Maker, int] = {}
    entries = [
        (row, numbers.setdefault(maker, len(numbers)), 1 / (len(times) * len(together)))
        for row, column in enumerate(columns.tolist())
        for times in (makers_of[column],)
        for together in times
        for maker in together
    ]
    shares = np.zeros((len(columns), len(numbers)))
    for row, number, share in entries:
        shares[row, number] += share
    return list(numbers), shares


def _makers_of(
    features: ReportFeatures, columns: NDArray[np.int32], report: Mapping[Hashable, Any]
) -> ColumnMakers:
    """Who makes each of the columns, which are those of the report."""
    words = _makers_of_words("description", report["description"])
    makers = {
        "words": _makers_of_terms(words),
        "pieces": _makers_of_pieces("description", report["description"]),
        "names": _makers_of_terms(_makers_of_words("equipment_name", report["equipment_name"])),
        "equipment": {report["equipment_id"]: [(Maker("equipment_id", report["equipment_id"]),)]},
        "opening": {word: [(maker,)] for word, maker in words[:1]},
    }
    starts, found = features.starts(), ColumnMakers()
    for name in makers.keys() & starts.keys():
        vocabulary = features.vocabularies_[name]
        found |= {
            starts[name] + vocabulary[term]: times
            for term, times in makers[name].items()
            if term in vocabulary
        }
    for name in features.usual_:
        found |= _makers_of_context(features, columns, name, report[name], found)
    return found


def _makers_of_context(
    features: ReportFeatures,
    columns: NDArray[np.int32],
    name: str,
    stated: str,
    words: ColumnMakers,
) -> ColumnMakers:
    """Of the column of the section or system, stated or usual, and of those that cross it with words."""
    starts, vocabulary = features.starts(), features.vocabularies_[name]
    own = columns[(columns >= starts[name]) & (columns < starts[name] + len(vocabulary))].tolist()
    if not own:
        return {}
    value = list(vocabulary)[own[0] - starts[name]]
    maker = Maker(name, value, usual=value != stated)
    start, pairs = starts[crossed_name(name)], features.crossings_[name].pairs_
    found: ColumnMakers = {own[0]: [(maker,)]}
    for column in columns[(columns >= start) & (columns < start + len(pairs))].tolist():
        word = starts["words"] + pairs[column - start] % len(features.vocabularies_["words"])
        found[column] = [(maker, *together) for together in words[word]]
    return found


def _spaced(kind: str, text: str) -> list[tuple[str, Maker]]:
    """What stands between spaces, in its order, and what of it a person reads as a word.

    The same word in another case or with other signs is the same maker, called as it was written first;
    signs alone belong to the word before them, or to the first word.
    """
    tokens = text.split()
    plain = [_NOT_WORD.sub(" ", strip_accents_unicode(token.lower())).strip() for token in tokens]
    written = {key: token.strip(_AROUND) for key, token in zip(plain[::-1], tokens[::-1], strict=True) if key}
    found, current = [], next(filter(None, plain), "")
    for key, token in zip(plain, tokens, strict=True):
        current = key or current
        found.append((token, Maker(kind, written.get(current, text.strip()))))
    return found


def _makers_of_words(kind: str, text: str) -> list[tuple[str, Maker]]:
    """The model's words of a text, in their order."""
    return [(word, maker) for token, maker in _spaced(kind, text) for word in split_words(token)]


def _makers_of_terms(words: Sequence[tuple[str, Maker]]) -> TermMakers:
    """Of each word and each pair of neighbouring words."""
    singles = (((word,), (maker,)) for word, maker in words)
    pairs = (((first, second), _different(one, other)) for (first, one), (second, other) in pairwise(words))
    return _gathered((" ".join(term), together) for term, together in (*singles, *pairs))


def _different(one: Maker, other: Maker) -> tuple[Maker, ...]:
    return (one,) if one == other else (one, other)


def _makers_of_pieces(kind: str, text: str) -> TermMakers:
    return _gathered(
        (piece, (maker,)) for token, maker in _spaced(kind, text) for piece in split_pieces(token)
    )


def _gathered(terms: Iterable[tuple[str, tuple[Maker, ...]]]) -> TermMakers:
    found = defaultdict(list)
    for term, together in terms:
        found[term].append(together)
    return found
