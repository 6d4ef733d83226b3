import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from training.ml.crossing import Crossing

VALUES = csr_array(np.array([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=float))
WORDS = csr_array(np.array([[1, 0, 2], [0, 3, 1], [1, 1, 0], [1, 1, 1]], dtype=float))


def test_every_pair() -> None:
    crossing = Crossing(min_df=1).fit(VALUES, WORDS)
    assert crossing.pairs_.tolist() == [0, 1, 2, 3, 4]
    assert crossing.transform(VALUES, WORDS).toarray().tolist() == [
        [1, 0, 2, 0, 0],
        [0, 3, 1, 0, 0],
        [0, 0, 0, 1, 1],
        [0, 0, 0, 0, 0],
    ]


def test_only_frequent_pairs() -> None:
    crossing = Crossing().fit(VALUES, WORDS)
    assert crossing.pairs_.tolist() == [2]
    assert crossing.transform(VALUES, WORDS).toarray().tolist() == [[2], [1], [0], [0]]


def test_is_the_dense_product() -> None:
    random = np.random.default_rng(5)
    values = np.eye(4)[random.integers(0, 4, 30)] * (random.random((30, 1)) < 0.8)
    words = random.poisson(0.4, (30, 9)).astype(float)
    crossing = Crossing(min_df=3).fit(csr_array(values), csr_array(words))
    dense = (values[:, :, None] * words[:, None, :]).reshape(30, 36)
    kept = np.flatnonzero((dense > 0).sum(axis=0) >= 3)
    assert crossing.pairs_.tolist() == kept.tolist()
    found = crossing.transform(csr_array(values), csr_array(words))
    assert np.array_equal(found.toarray(), dense[:, kept])
    assert found.has_sorted_indices


@pytest.mark.parametrize("words", [csr_array((4, 3)), csr_array((4, 0))])
def test_no_words_no_pairs(words: csr_array) -> None:
    crossing = Crossing().fit(VALUES, words)
    assert crossing.transform(VALUES, words).shape == (4, 0)


def test_follows_the_estimator_conventions() -> None:
    crossing = clone(Crossing(min_df=5))
    assert crossing.get_params() == {"min_df": 5}
    with pytest.raises(NotFittedError):
        crossing.transform(VALUES, WORDS)
    assert crossing.fit(VALUES, WORDS) is crossing
