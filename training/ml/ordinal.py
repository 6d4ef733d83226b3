"""The score's distribution from four yes/no questions: is it above 1, 2, 3, 4?"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

from training.ml.forking import fork_map

SCORES = (1, 2, 3, 4, 5)
THRESHOLDS = np.array(SCORES[:-1])
WORTH_FORKING = 2_000  # rows from which several processes are faster than one

Floats: TypeAlias = NDArray[np.float64]
Answer: TypeAlias = tuple[Floats, float]  # coefficients and intercept of one question


class OrdinalClassifier(ClassifierMixin, BaseEstimator):
    """Scores 1 to 5 by one binary logistic regression P(score > k) for each k = 1 … 4.

    The decomposition is that of Frank and Hall [1]_. The four are fitted apart, so they may cross; they are
    put in order by sorting, the rearrangement of Chernozhukov et al. [2]_, which keeps their sum (the
    expected score) and how many of them exceed ½ (the median score).

    A fractional score is trained on without rounding: 2.3 is, for k = 2, an example of "above" of weight
    0.3 and one of "not above" of weight 0.7.

    A question that all training scores answer alike is answered by (n_above + ½) / (n + 1) whatever the
    report, Jeffreys' estimate: what was never seen is unlikely, not impossible.

    Parameters
    ----------
    C : float, default=4.0
        Inverse of the regularisation strength.
    tol : float, default=0.3
        When liblinear stops: no row's slope is steeper. Less costs more and gains nothing (docs/model.md).
    max_passes : int, default=25
        When it stops at the latest. The steepest of a million rows is steeper than that of a thousand, though
        the probabilities are as near to the optimum after as many passes.
    n_jobs : int or None, default=None
        Processes to fit many rows with; None: one for each processor. The result is the same bits.

    Attributes
    ----------
    classes_ : ndarray of shape (5,)
    coef_ : ndarray of shape (4, n_features)
    intercept_ : ndarray of shape (4,)
    n_features_in_ : int

    References
    ----------
    .. [1] E. Frank, M. Hall: A Simple Approach to Ordinal Classification. ECML 2001.
    .. [2] V. Chernozhukov, I. Fernández-Val, A. Galichon: Quantile and Probability Curves Without Crossing.
       Econometrica 78 (2010).
    """

    def __init__(
        self, *, C: float = 4.0, tol: float = 0.3, max_passes: int = 25, n_jobs: int | None = None
    ) -> None:
        self.C = C
        self.tol = tol
        self.max_passes = max_passes
        self.n_jobs = n_jobs

    def fit(self, X: csr_array, y: ArrayLike) -> Self:
        """Fit the four questions.

        Parameters
        ----------
        X : csr_array of shape (n_samples, n_features), in canonical form
        y : array-like of float, shape (n_samples,), 1 to 5

        Returns
        -------
        self

        Raises
        ------
        ValueError
            A score is missing or outside 1 to 5, or a feature is not finite.
        """
        for _ in fit_each(X, [(self, y)], jobs=self.n_jobs):
            pass
        return self

    def _checked(self, X: csr_array, y: ArrayLike) -> tuple[csr_array, Floats]:
        X, y = validate_data(self, X, y, accept_sparse="csr", y_numeric=True, dtype=(np.float64, np.float32))
        y = np.asarray(y, dtype=np.float64)
        if y.min() < SCORES[0] or y.max() > SCORES[-1]:
            raise ValueError("Scores must lie between 1 and 5.")
        return X, y

    def _keep(self, answers: Iterable[Answer]) -> Self:
        coefficients, intercepts = zip(*answers, strict=True)
        self.classes_ = np.array(SCORES)
        # Feature by feature in memory: predicting multiplies by the transpose, else copied each time.
        self.coef_ = np.stack(coefficients, axis=1).T
        self.intercept_ = np.array(intercepts)
        return self

    def _fit_threshold(self, X: csr_array, excess: Floats) -> Answer:
        """Coefficients and intercept of P(score > k); `excess` is the score less k."""
        above = np.clip(excess, 0.0, 1.0)
        if above.min() == above.max() and above[0] in {0.0, 1.0}:
            return np.zeros(X.shape[1]), float(logit((above.sum() + 0.5) / (len(above) + 1)))
        between = np.flatnonzero((above > 0) & (above < 1))
        labels = np.concatenate((above > 0, np.zeros(len(between), dtype=bool)))
        weights = np.concatenate((np.where(above > 0, above, 1.0), 1 - above[between]))
        if len(between):
            X = X[np.concatenate((np.arange(len(above)), between))]
        # The dual: a pass costs as much as there are entries. The primal takes ever more of them.
        model = LogisticRegression(
            C=self.C, tol=self.tol, dual=True, max_iter=self.max_passes, solver="liblinear", random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # near enough is what is asked for
            model.fit(X, labels, weights)
        return model.coef_[0], float(model.intercept_[0])

    def predict_distribution(self, X: csr_array) -> Floats:
        """P(score = 1), …, P(score = 5) of each sample.

        Parameters
        ----------
        X : csr_array of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, 5)
        """
        check_is_fitted(self)
        above: Floats = expit(X @ self.coef_.T + self.intercept_)
        return distribution_of(-np.sort(-above, axis=1))

    def predict(self, X: csr_array) -> NDArray[np.int64]:
        """The median score of each sample, shape (n_samples,)."""
        return median_scores(self.predict_distribution(X))


def fit_each(
    X: csr_array, tasks: "Sequence[tuple[OrdinalClassifier, ArrayLike]]", *, jobs: int | None = None
) -> "Iterator[OrdinalClassifier]":
    """Each classifier as soon as it is fitted to its scores of the same rows.

    Their questions share the processors: one call keeps them busier than a `fit` after the other.
    """
    checked = [classifier._checked(X, y) for classifier, y in tasks]  # noqa: SLF001  # its own module
    questions = [(task, threshold) for task in range(len(tasks)) for threshold in THRESHOLDS]

    def answer(question: tuple[int, int]) -> Answer:
        task, threshold = question
        X, y = checked[task]
        return tasks[task][0]._fit_threshold(X, y - threshold)  # noqa: SLF001

    # BLAS threads would spin on vectors this short, and make sums depend on the number of processors.
    with threadpool_limits(1, user_api="blas"):
        answers = fork_map(answer, questions, jobs=jobs if X.shape[0] >= WORTH_FORKING else 1)
        for classifier, _ in tasks:
            yield classifier._keep(islice(answers, len(THRESHOLDS)))  # noqa: SLF001


def distribution_of(above: Floats) -> Floats:
    """P(score = 1 … 5), shape (n, 5), from P(score > 1 … 4), shape (n, 4), which falls along each row."""
    return np.asarray(-np.diff(above, axis=1, prepend=1.0, append=0.0))


def median_scores(distribution: Floats) -> NDArray[np.int64]:
    """1 + how many of P(score > 1 … 4) exceed ½, shape (n,)."""
    at_most = np.cumsum(distribution, axis=1)[:, :-1]
    return np.asarray(1 + np.count_nonzero(at_most < 0.5, axis=1), dtype=np.int64)


def score_shares(scores: Floats) -> Floats:
    """The distribution of these scores, shape (5,); 2.3 counts 0.7 of a 2 and 0.3 of a 3."""
    above = np.clip(scores[:, None] - THRESHOLDS, 0.0, 1.0).mean(axis=0)
    shares: Floats = distribution_of(above[None, :])[0]
    return shares
