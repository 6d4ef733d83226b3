import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from training.ml.ordinal import WORTH_FORKING, OrdinalClassifier, distribution_of, median_scores, score_shares


def noisy(*, samples: int = 200, seed: int = 3) -> tuple[csr_array, np.ndarray]:
    """Scores that rise with the first feature, with noise; all five occur."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(samples, 4))
    y = np.clip(np.round(3 + 1.5 * X[:, 0] + random.normal(scale=0.5, size=samples)), 1, 5)
    return csr_array(X), y


def above(distribution: np.ndarray) -> np.ndarray:
    """P(score > 1 … 4)."""
    return 1 - np.cumsum(distribution, axis=1)[:, :-1]


def test_distribution_comes_from_four_logistic_regressions() -> None:
    """Those that another solver finds, on the other side of the duality, to four digits."""
    X, y = noisy()
    questions = [
        LogisticRegression(C=4, tol=1e-8, solver="liblinear").fit(X, y > k).predict_proba(X)[:, 1]
        for k in (1, 2, 3, 4)
    ]
    expected = np.sort(np.array(questions).T)[:, ::-1]
    found = OrdinalClassifier(tol=1e-6, max_passes=1_000).fit(X, y).predict_distribution(X)
    assert np.allclose(above(found), expected, atol=1e-4)
    assert np.allclose(above(OrdinalClassifier().fit(X, y).predict_distribution(X)), expected, atol=0.02)


def test_distribution_is_one() -> None:
    X, y = noisy()
    distribution = OrdinalClassifier().fit(X, y).predict_distribution(X)
    assert distribution.shape == (200, 5)
    assert distribution.min() >= 0
    assert np.allclose(distribution.sum(axis=1), 1, atol=1e-12)


def test_crossing_questions_are_sorted() -> None:
    classifier = OrdinalClassifier().fit(csr_array([[1.0]]), [3])
    classifier.coef_ = np.zeros((4, 1))
    classifier.intercept_ = np.array([2.0, -1.0, 1.0, -2.0])
    distribution = classifier.predict_distribution(csr_array([[1.0]]))
    assert np.allclose(above(distribution), [expit([2.0, 1.0, -1.0, -2.0])])
    # Two of the four say yes, whatever their order.
    assert classifier.predict(csr_array([[1.0]])).tolist() == [3]


def test_learns_the_order() -> None:
    X, y = noisy()
    predicted = OrdinalClassifier().fit(X, y).predict(X)
    assert np.mean(np.abs(predicted - y)) < 0.45 < np.mean(np.abs(np.median(y) - y))


def test_processes_do_not_change_the_model() -> None:
    X, y = noisy(samples=WORTH_FORKING)
    alone, together = OrdinalClassifier(n_jobs=1).fit(X, y), OrdinalClassifier(n_jobs=4).fit(X, y)
    assert np.array_equal(alone.coef_, together.coef_)
    assert np.array_equal(alone.intercept_, together.intercept_)


def test_fraction_is_a_weighted_pair() -> None:
    """2.3 is the same as seven 2s and three 3s of a tenth of the weight."""
    X, y = noisy(samples=40)
    y[0] = 2.3
    fractional = OrdinalClassifier(C=1.0, tol=1e-8, max_passes=1_000).fit(X, y)
    rows = np.concatenate((np.zeros(10, dtype=int), np.repeat(np.arange(1, 40), 10)))
    repeated = np.concatenate(([2] * 7 + [3] * 3, np.repeat(y[1:], 10)))
    whole = OrdinalClassifier(C=0.1, tol=1e-8, max_passes=1_000).fit(X[rows], repeated)
    assert np.allclose(fractional.coef_, whole.coef_, atol=1e-4)
    assert np.allclose(fractional.intercept_, whole.intercept_, atol=1e-4)


def test_fractions_pull_the_expected_score() -> None:
    X = csr_array(np.ones((40, 1)))
    distribution = (
        OrdinalClassifier(C=1000.0, max_passes=1_000).fit(X, np.full(40, 2.3)).predict_distribution(X[:1])
    )
    assert distribution[0, 1:3] == pytest.approx([0.7, 0.3], abs=0.05)


@pytest.mark.parametrize("score", [1, 3, 5])
def test_one_record(score: int) -> None:
    X = csr_array([[1.0]])
    classifier = OrdinalClassifier().fit(X, [score])
    assert classifier.predict(X).tolist() == [score]
    # One record proves little: Jeffreys' estimate gives each question 3/4.
    assert above(classifier.predict_distribution(X))[0] == pytest.approx(
        [0.75 if score > k else 0.25 for k in (1, 2, 3, 4)]
    )


def test_one_record_with_a_fraction() -> None:
    X = csr_array([[1.0]])
    assert OrdinalClassifier().fit(X, [2.5]).predict(X).tolist()[0] in {2, 3}


def test_one_class_is_nearly_certain_for_many_records() -> None:
    X = csr_array(np.eye(99))
    distribution = OrdinalClassifier().fit(X, np.full(99, 2)).predict_distribution(X[:1])
    assert distribution[0] == pytest.approx([0.005, 0.99, 0, 0, 0.005])


@pytest.mark.parametrize("y", [[0, 1], [1, 5.1], [1, np.nan], [1, np.inf]])
def test_scores_outside_the_scale_are_refused(y: list[float]) -> None:
    with pytest.raises(ValueError, match=r"between 1 and 5|NaN|infinity"):
        OrdinalClassifier().fit(csr_array(np.eye(2)), y)


def test_another_number_of_features_is_refused() -> None:
    X, y = noisy()
    with pytest.raises(ValueError, match="mismatch"):
        OrdinalClassifier().fit(X, y).predict_distribution(X[:, :3])


def test_follows_the_estimator_conventions() -> None:
    classifier = clone(OrdinalClassifier(C=2.0, tol=0.1, max_passes=7, n_jobs=3))
    assert classifier.get_params() == {"C": 2.0, "tol": 0.1, "max_passes": 7, "n_jobs": 3}
    X, y = noisy()
    with pytest.raises(NotFittedError):
        classifier.predict(X)
    assert classifier.fit(X, y) is classifier
    assert classifier.n_features_in_ == 4
    assert classifier.classes_.tolist() == [1, 2, 3, 4, 5]
    assert classifier.score(X, y) == np.mean(classifier.predict(X) == y)


def test_median_score() -> None:
    distribution = np.array(
        [[1, 0, 0, 0, 0], [0, 0, 0, 0, 1], [0.4, 0.2, 0.2, 0.1, 0.1], [0.5, 0, 0.5, 0, 0]]
    )
    # Exactly one half above does not exceed one half.
    assert median_scores(distribution).tolist() == [1, 5, 2, 1]


def test_distribution_of_questions() -> None:
    assert distribution_of(np.array([[0.9, 0.5, 0.5, 0.125]]))[0] == pytest.approx(
        [0.1, 0.4, 0, 0.375, 0.125]
    )


def test_score_shares_split_fractions() -> None:
    assert score_shares(np.array([1.0, 2.25, 5.0, 5.0])).tolist() == [0.25, 0.1875, 0.0625, 0.0, 0.5]
