import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from training.ml.context import LikelyContext, UsualContext, most_frequent, one_at, only_column

# Reports of three pieces of equipment; the third piece never says its value.
EQUIPMENT = csr_array(np.eye(3)[[0, 0, 0, 1, 2]])
VALUES = csr_array(np.array([[1, 0], [0, 1], [0, 1], [1, 0], [0, 0]], dtype=float))


def test_what_is_known_stays() -> None:
    known = VALUES[:4]
    assert UsualContext().fit(EQUIPMENT, VALUES).fill(EQUIPMENT[:4], known) is known


def test_what_is_missing_is_the_usual_value_of_the_equipment() -> None:
    context = UsualContext().fit(EQUIPMENT, VALUES)
    filled = context.fill(csr_array(np.eye(3)), csr_array((3, 2)))
    assert filled.toarray().tolist() == [[0, 1], [1, 0], [0, 0]]


def test_unseen_equipment_stays_without() -> None:
    context = UsualContext().fit(EQUIPMENT, VALUES)
    assert context.fill(csr_array((1, 3)), csr_array((1, 2))).toarray().tolist() == [[0, 0]]


def test_a_hidden_value_is_filled_from_the_other_reports() -> None:
    """The first report's own value is the rare one; the fourth is the only one of its equipment."""
    rehearsed = UsualContext(hidden=1.0).fit(EQUIPMENT, VALUES).rehearse(EQUIPMENT, VALUES)
    # The second and the third have one other report of each value: the first value of equals.
    assert rehearsed.toarray().tolist() == [[0, 1], [1, 0], [1, 0], [0, 0], [0, 0]]


def test_nothing_hidden_is_what_prediction_sees() -> None:
    context = UsualContext(hidden=0.0).fit(EQUIPMENT, VALUES)
    assert np.array_equal(
        context.rehearse(EQUIPMENT, VALUES).toarray(), context.fill(EQUIPMENT, VALUES).toarray()
    )


def test_hides_its_share_always_the_same() -> None:
    equipment, values = csr_array(np.eye(4000)), csr_array(np.ones((4000, 1)))
    context = UsualContext().fit(equipment, values)
    first, second = context.rehearse(equipment, values), context.rehearse(equipment, values)
    assert 4000 - first.nnz == pytest.approx(1000, abs=100)
    assert (first != second).nnz == 0
    other = UsualContext(seed=1).fit(equipment, values).rehearse(equipment, values)
    assert (first != other).nnz > 0


def test_most_frequent() -> None:
    counts = csr_array(np.array([[0, 2, 3], [4, 4, 1], [0, 0, 0], [-1, 0, 0], [0, 1, 0]], dtype=float))
    assert most_frequent(counts).toarray().tolist() == [
        [0, 0, 1],
        [1, 0, 0],
        [0, 0, 0],
        [0, 0, 0],
        [0, 1, 0],
    ]


def test_the_only_column_of_each_row_and_back() -> None:
    matrix = csr_array(np.array([[0, 1], [0, 0], [1, 0]], dtype=float))
    assert only_column(matrix).tolist() == [1, -1, 0]
    assert (one_at(only_column(matrix), width=2) != matrix).nnz == 0
    assert one_at(np.array([], dtype=np.int64), width=3).shape == (0, 3)


def test_follows_the_estimator_conventions() -> None:
    context = clone(UsualContext(hidden=0.5, seed=7))
    assert context.get_params() == {"hidden": 0.5, "seed": 7}
    with pytest.raises(NotFittedError):
        context.fill(EQUIPMENT, VALUES)
    assert context.fit(EQUIPMENT, VALUES) is context


# Terms of five reports: three of the first value, one of the second, one of which nothing is known.
TERMS = csr_array(np.array([[1, 0, 1], [1, 0, 0], [1, 1, 0], [0, 1, 1], [0, 0, 1]], dtype=float))
TOLD = csr_array(np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 0]], dtype=float))


def test_a_term_votes_with_its_shares_and_its_idf() -> None:
    table = LikelyContext().fit(TERMS, TOLD).table_
    common, rare = np.log(6 / 4) + 1, np.log(6 / 3) + 1
    expected = [[common, 0], [rare / 2, rare / 2], [common / 2, common / 2]]
    np.testing.assert_allclose(table.toarray(), expected)


def test_the_value_with_most_votes_is_likely() -> None:
    context = LikelyContext().fit(TERMS, TOLD)
    terms = csr_array(np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=float))
    filled = context.fill(terms, csr_array((3, 2)), np.ones(3, dtype=bool))
    assert filled.toarray().tolist() == [[1, 0], [1, 0], [0, 0]]


def test_who_is_not_in_question_stays() -> None:
    context = LikelyContext().fit(TERMS, TOLD)
    known = csr_array(np.array([[0, 1], [0, 0], [0, 0]], dtype=float))
    filled = context.fill(TERMS[:3], known, np.array([False, True, False]))
    assert filled.toarray().tolist() == [[0, 1], [1, 0], [0, 0]]


def test_a_vote_needs_fitting() -> None:
    with pytest.raises(NotFittedError):
        LikelyContext().fill(TERMS, TOLD, np.ones(5, dtype=bool))
