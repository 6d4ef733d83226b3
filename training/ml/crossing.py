"""What a word means in one section or one system: each known value crossed with the report's words."""

from typing import Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted


class Crossing(BaseEstimator):
    """The pairs (value, word) that stand in at least `min_df` training reports, as counts.

    Parameters
    ----------
    min_df : int, default=2

    Attributes
    ----------
    pairs_ : ndarray of int64, shape (n_pairs,), rising
        value · n_words + word, both as columns.
    """

    def __init__(self, *, min_df: int = 2) -> None:
        self.min_df = min_df

    def fit(self, values: csr_array, words: csr_array) -> Self:
        """Choose the pairs.

        Parameters
        ----------
        values : csr_array of shape (n_reports, n_values), at most a single 1 a row
        words : csr_array of shape (n_reports, n_words), counts, sorted

        Returns
        -------
        self
        """
        pairs, reports_with = np.unique(_cross(values, words).indices, return_counts=True)
        self.pairs_ = pairs[reports_with >= self.min_df].astype(np.int64)
        return self

    def transform(self, values: csr_array, words: csr_array) -> csr_array:
        """How often each chosen pair stands in each report: shape (n_reports, n_pairs), sorted."""
        check_is_fitted(self)
        crossed = _cross(values, words)
        columns = np.searchsorted(self.pairs_, crossed.indices)
        known = np.append(self.pairs_, -1)[columns] == crossed.indices
        starts = np.concatenate(([0], np.cumsum(known)))[crossed.indptr].astype(np.int32)
        return csr_array(
            (crossed.data[known], columns[known].astype(np.int32), starts),
            shape=(values.shape[0], len(self.pairs_)),
        )


def _cross(values: csr_array, words: csr_array) -> csr_array:
    """Rows of the face-splitting product: the words of each report in the columns of its value."""
    known = np.diff(values.indptr) > 0
    sizes = np.diff(words.indptr)
    value = np.zeros(len(known), dtype=np.int64)
    value[known] = values.indices
    kept = np.repeat(known, sizes)
    columns = np.repeat(value, sizes)[kept] * words.shape[1] + words.indices[kept]
    starts = np.concatenate(([0], np.cumsum(sizes * known)), dtype=np.int64)
    return csr_array(
        (words.data[kept], columns, starts), shape=(len(known), values.shape[1] * words.shape[1])
    )
