"""The model as the product knows it: frames of reports in, a suggestion for each target out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from training.ml.errors import NothingToLearnError
from training.ml.features import Counts, ReportFeatures, Reports, count_reports, in_parts
from training.ml.ordinal import SCORES, Floats, OrdinalClassifier, fit_each, median_scores
from training.ml.records import SCORE_COLUMNS, TARGETS

SERIOUS = 4
# A serious anomaly that is missed weighs as much as three false alarms.
ATTENTION = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggestion:
    """What the model says of n reports and one target.

    Attributes
    ----------
    distribution : ndarray of shape (n, 5)
        P(score = 1), …, P(score = 5).
    score : ndarray of int, shape (n,)
        The median of the distribution.
    expected : ndarray of shape (n,)
        Its mean.
    confidence : ndarray of shape (n,)
        The probability of `score`.
    """

    distribution: Floats
    score: NDArray[np.int64]
    expected: Floats
    confidence: Floats

    @property
    def serious(self) -> Floats:
        """P(score ≥ 4), shape (n,)."""
        return np.asarray(self.distribution[:, SERIOUS - 1 :].sum(axis=1))

    @property
    def needs_attention(self) -> NDArray[np.bool_]:
        """Whether a person should look: P(score ≥ 4) is at least `ATTENTION`. Shape (n,)."""
        return self.serious >= ATTENTION

    @property
    def mirrored(self) -> "Suggestion":
        """The same on the opposite scale, where 1 is what 5 was."""
        return Suggestion.of(self.distribution[:, ::-1])

    @classmethod
    def of(cls, distribution: Floats) -> "Suggestion":
        score = median_scores(distribution)
        return cls(
            distribution=distribution,
            score=score,
            expected=distribution @ np.array(SCORES, dtype=np.float64),
            confidence=np.take_along_axis(distribution, score[:, None] - 1, axis=1)[:, 0],
        )


class AnomalyScorer(BaseEstimator):
    """Three ordinal classifiers over one feature matrix.

    Attributes
    ----------
    features_ : ReportFeatures
    classifiers_ : dict of str to OrdinalClassifier
        One a target.
    """

    def fit(self, X: pd.DataFrame, y: None = None) -> Self:
        """Learn from approved anomalies; the scores are columns of the frame (`training.ml.records`).

        Raises NothingToLearnError when there is none, ValueError when a score is missing.
        """
        return self.fit_counts(count_reports(X), X)

    def fit_counts(
        self, counts: Counts, frame: pd.DataFrame, *, on_fitted: Callable[[str], None] | None = None
    ) -> Self:
        """`fit` with the frame's terms already counted; `on_fitted(target)` after each target."""
        if frame.empty:
            raise NothingToLearnError("There is no approved anomaly to learn from.")
        features = ReportFeatures()
        return self.fit_matrix(features, features.fit_transform(counts), frame, on_fitted=on_fitted)

    def fit_matrix(
        self,
        features: ReportFeatures,
        matrix: csr_array,
        frame: pd.DataFrame,
        *,
        on_fitted: Callable[[str], None] | None = None,
    ) -> Self:
        """`fit` with the matrix that the features were fitted to."""
        self.features_ = features
        self.classifiers_ = {}
        tasks = [(OrdinalClassifier(), frame[column].to_numpy(dtype=np.float64)) for column in SCORE_COLUMNS]
        for target, classifier in zip(TARGETS, fit_each(matrix, tasks), strict=True):
            self.classifiers_[target] = classifier
            if on_fitted is not None:
                on_fitted(target)
        return self

    def predict(self, X: Reports) -> dict[str, Suggestion]:
        """A suggestion a target, the rows as in the reports; scores, if they have any, are not looked at."""
        return self.predict_counts(count_reports(X))

    def predict_counts(self, counts: Counts) -> dict[str, Suggestion]:
        """`predict` with the frame's terms already counted."""
        check_is_fitted(self)
        parts = [self._distributions(self.features_.transform(part)) for part in in_parts(counts)]
        return {
            target: Suggestion.of(np.concatenate([part[target] for part in parts]))
            for target in self.classifiers_
        }

    def _distributions(self, matrix: csr_array) -> dict[str, Floats]:
        return {
            target: classifier.predict_distribution(matrix)
            for target, classifier in self.classifiers_.items()
        }
