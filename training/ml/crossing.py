"""What a word means in one section or one system: each known value crossed with the report's words."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from training.ml.context import Numbers, only_column


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
        _, crossed, _ = _cross(values, words)
        pairs, reports_with = np.unique(crossed, return_counts=True)
        self.pairs_ = pairs[reports_with >= self.min_df].astype(np.int64)
        return self

    def transform(self, values: csr_array, words: csr_array) -> csr_array:
        """How often each chosen pair stands in each report: shape (n_reports, n_pairs), sorted."""
        check_is_fitted(self)
        counts, crossed, ends = _cross(values, words)
        columns = np.searchsorted(self.pairs_, crossed)
        known = np.append(self.pairs_, -1)[columns] == crossed
        starts = np.concatenate(([0], np.cumsum(known)), dtype=np.int32)[ends]
        return csr_array(
            (counts[known], columns[known].astype(np.int32), starts),
            shape=(values.shape[0], len(self.pairs_)),
        )


def _cross(values: csr_array, words: csr_array) -> tuple[NDArray[np.float64], Numbers, Numbers]:
    """The words of each report in the columns of its value: rows of the face-splitting product.

    As `data`, `indices` and `indptr` of a CSR matrix with n_values · n_words columns.
    """
    value, sizes = only_column(values), np.diff(words.indptr)
    known = value >= 0
    kept = np.repeat(known, sizes)
    columns = np.repeat(value, sizes)[kept] * words.shape[1] + words.indices[kept]
    return words.data[kept], columns, np.concatenate(([0], np.cumsum(sizes * known)))
