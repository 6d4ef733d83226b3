"""Where a report does not name its section or its system: what its equipment, or its words, tell of it."""

from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

Numbers: TypeAlias = NDArray[np.int64]


class UsualContext(BaseEstimator):
    """Fills one column that reports may lack, from the reports of the same equipment that have it.

    In training some of the known values are hidden and filled as if they were missing, from the *other*
    reports of the equipment. So the model that learns from them knows how far a filled value can be trusted,
    and a report without section and system is answered nearly as well as by a model that knows neither.

    Parameters
    ----------
    hidden : float, default=0.25
        The share of the training values that is hidden.
    seed : int, default=0
        Which ones they are.

    Attributes
    ----------
    table_ : csr_array of shape (n_equipment, n_values)
        How many training reports of each equipment have each value.
    usual_ : ndarray of int, shape (n_equipment,)
        The most frequent value of each equipment, the first of equals; -1 where none is known.
    """

    def __init__(self, *, hidden: float = 0.25, seed: int = 0) -> None:
        self.hidden = hidden
        self.seed = seed

    def fit(self, equipment: csr_array, values: csr_array) -> Self:
        """Count the values of each equipment.

        Parameters
        ----------
        equipment : csr_array of shape (n_reports, n_equipment), at most a single 1 a row
        values : csr_array of shape (n_reports, n_values), at most a single 1 a row, none where unknown

        Returns
        -------
        self
        """
        self.table_ = csr_array(equipment.T @ values)
        self.usual_ = only_column(most_frequent(self.table_))
        return self

    def fill(self, equipment: csr_array, values: csr_array) -> csr_array:
        """The values, the unknown ones filled where the equipment has any; shape (n_reports, n_values)."""
        check_is_fitted(self)
        value = only_column(values)
        unknown = np.flatnonzero(value < 0)
        if not len(unknown):
            return values
        value[unknown] = np.append(self.usual_, -1)[only_column(equipment)[unknown]]
        return one_at(value, width=values.shape[1])

    def rehearse(self, equipment: csr_array, values: csr_array) -> csr_array:
        """`fill` of the training reports, some of whose values are hidden first."""
        check_is_fitted(self)
        hidden = np.random.default_rng(self.seed).random(values.shape[0]) < self.hidden
        value = only_column(values)
        unknown = np.flatnonzero((value < 0) | hidden)
        others = equipment[unknown] @ self.table_ - values[unknown]
        value[unknown] = only_column(most_frequent(others))
        return one_at(value, width=values.shape[1])


class LikelyContext(BaseEstimator):
    """Fills one column that reports may lack by a vote of the report's terms.

    A term votes for each value with the value's share of the training reports that have the term, times the
    term's idf.

    Attributes
    ----------
    table_ : csr_array of shape (n_terms, n_values)
        The votes of each term.
    """

    def fit(self, terms: csr_array, values: csr_array) -> Self:
        """Count what each term goes with.

        Parameters
        ----------
        terms : csr_array of shape (n_reports, n_terms), counts
        values : csr_array of shape (n_reports, n_values), at most a single 1 a row, none where unknown

        Returns
        -------
        self
        """
        self.table_ = csr_array(terms.T @ values)
        rows_with = np.bincount(terms.indices, minlength=terms.shape[1])
        idf = np.log((terms.shape[0] + 1) / (rows_with + 1)) + 1
        sizes = np.diff(self.table_.indptr)
        self.table_.data *= np.repeat(idf / np.maximum(self.table_.sum(axis=1), 1), sizes)
        return self

    def fill(self, terms: csr_array, values: csr_array, unknown: NDArray[np.bool_]) -> csr_array:
        """The values, and in the unknown rows the one with the most votes, if there is any."""
        check_is_fitted(self)
        value, rows = only_column(values), np.flatnonzero(unknown)
        if len(rows) < len(value):
            terms = terms[rows]
        value[rows] = only_column(most_frequent(terms @ self.table_))
        return one_at(value, width=values.shape[1])


def only_column(matrix: csr_array) -> Numbers:
    """The column of the only entry of each row, shape (n_rows,); -1 where the row is empty."""
    columns = np.full(matrix.shape[0], -1, dtype=np.int64)
    columns[np.diff(matrix.indptr) > 0] = matrix.indices
    return columns


def one_at(columns: Numbers, *, width: int) -> csr_array:
    """The inverse of `only_column`: a 1 at the column of each row, nothing at -1."""
    known = columns >= 0
    starts = np.concatenate(([0], np.cumsum(known)), dtype=np.int32)
    entries = columns[known].astype(np.int32)
    return csr_array((np.ones(len(entries)), entries, starts), shape=(len(columns), width))


def most_frequent(counts: csr_array) -> csr_array:
    """A 1 at the highest count of each row, the first of equals; nothing where none is positive."""
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    order = np.lexsort((counts.indices, -counts.data, rows))
    order = order[counts.data[order] > 0]
    highest, first = np.unique(rows[order], return_index=True)
    columns = counts.indices[order[first]]
    starts = np.searchsorted(highest, np.arange(counts.shape[0] + 1)).astype(np.int32)
    return csr_array((np.ones(len(columns)), columns.astype(np.int32), starts), shape=counts.shape)
