"""One feature matrix for the three targets: what a report says and which equipment it is about.

Counting (tokenising, the slow part) stands apart from choosing (which terms are frequent enough, how
rare each one is). So an evaluation counts every report once, and each of its folds chooses from its own
training rows alone: exactly what refitting on those rows would give.
"""

import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Self, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import CountVectorizer, strip_accents_unicode
from sklearn.utils.validation import check_is_fitted

from training.ml.context import LikelyContext, UsualContext
from training.ml.crossing import Crossing

Rows: TypeAlias = NDArray[np.intp] | NDArray[np.bool_] | slice
PART = 1_000  # reports whose features are in memory together while they are scored
# Columns of training.ml.records: a frame, or lists of one length. A single report is a quarter faster so.
Reports: TypeAlias = pd.DataFrame | Mapping[str, Sequence[str]]

_words = CountVectorizer(strip_accents="unicode", ngram_range=(1, 2)).build_analyzer()
_word = re.compile(r"\b\w\w+\b")  # what CountVectorizer takes for a word
_pieces = CountVectorizer(strip_accents="unicode", analyzer="char_wb", ngram_range=(2, 5)).build_analyzer()


@dataclass(frozen=True, kw_only=True, slots=True)
class TermCounts:
    """How often each term stands in each row: `matrix` is CSR (rows, terms), float32, terms in any order."""

    terms: list[str]
    matrix: csr_array

    def take(self, rows: Rows) -> "TermCounts":
        return TermCounts(terms=self.terms, matrix=self.matrix[rows])


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """One kind of features: terms of one column that stand in at least `min_df` rows.

    With `tfidf`: scikit-learn's TfidfTransformer(sublinear_tf=True), otherwise plain counts.
    """

    column: str
    count: Callable[[list[str]], TermCounts]
    min_df: int = 1
    tfidf: bool = True
    weight: float = 1.0


Counts: TypeAlias = Mapping[str, TermCounts]


def count_terms(texts: Iterable[str], analyse: Callable[[str], Iterable[str]]) -> TermCounts:
    """The terms in order of appearance. CountVectorizer would refuse texts that hold none."""
    numbers: dict[str, int] = {}
    columns, starts = array("i"), array("i", [0])  # 32 bits: liblinear takes no wider ones
    for text in texts:
        columns.extend([numbers.setdefault(term, len(numbers)) for term in analyse(text)])
        starts.append(len(columns))
    shape = (len(starts) - 1, len(numbers))
    ones = np.ones(len(columns), dtype=np.float32)
    matrix = csr_array((ones, np.asarray(columns), np.asarray(starts)), shape=shape)
    matrix.sum_duplicates()
    return TermCounts(terms=list(numbers), matrix=matrix)


def count_words(texts: list[str]) -> TermCounts:
    """Words and pairs of neighbouring words, without case and accents."""
    return count_terms(texts, _words)


def count_pieces(texts: list[str]) -> TermCounts:
    """Runs of 2 to 5 characters inside words.

    They do not cross words, so each distinct word is cut up once: (texts, words) @ (words, pieces).
    """
    words = count_terms(texts, str.split)
    pieces = count_terms(words.terms, split_pieces)
    return TermCounts(terms=pieces.terms, matrix=words.matrix @ pieces.matrix)


def count_whole(texts: list[str]) -> TermCounts:
    """Each distinct text as one term."""
    return count_terms(texts, lambda text: [text])


def split_words(text: str) -> list[str]:
    """The words of the block of words, in their order."""
    return _word.findall(strip_accents_unicode(text.lower()))


def split_pieces(word: str) -> list[str]:
    """The runs of characters of what stands between two spaces."""
    pieces: list[str] = _pieces(word)
    return pieces


def _opening(text: str) -> list[str]:
    found = _word.search(strip_accents_unicode(text.lower()))
    return [found.group()] if found else []


def count_known(texts: list[str]) -> TermCounts:
    """Each distinct text as one term; a blank one has none."""
    return count_terms(texts, lambda text: [text] if text.strip() else [])


def count_openings(texts: list[str]) -> TermCounts:
    """The first word of each: the plant opens reports with the kind of report, as in "SAFETY : …"."""
    return count_terms(texts, _opening)


BLOCKS: Mapping[str, Block] = {
    "words": Block(column="description", count=count_words, min_df=2),
    "pieces": Block(column="description", count=count_pieces, min_df=3),
    "names": Block(column="equipment_name", count=count_words),
    "equipment": Block(column="equipment_id", count=count_whole, tfidf=False, weight=0.7),
    "opening": Block(column="description", count=count_openings, min_df=2, tfidf=False),
    "section": Block(column="section", count=count_known, tfidf=False, weight=1.5),
    "system": Block(column="system", count=count_known, tfidf=False, weight=1.5),
}
# Filled where they are missing, and crossed with the words of the description.
CONTEXT = ("section", "system")


def count_reports(reports: Reports) -> Counts:
    """The terms of every block, the rows as in the reports."""
    return {name: _count_distinct(reports[block.column], block.count) for name, block in BLOCKS.items()}


def _count_distinct(texts: Iterable[str], count: Callable[[list[str]], TermCounts]) -> TermCounts:
    """The texts counted; one that recurs is cut up once."""
    numbers: dict[str, int] = {}
    rows = [numbers.setdefault(text, len(numbers)) for text in texts]
    distinct = count(list(numbers))
    return distinct if len(numbers) == len(rows) else distinct.take(np.array(rows))


def take_rows(counts: Counts, rows: Rows) -> Counts:
    """The same counts of these rows only, in this order."""
    return {name: block.take(rows) for name, block in counts.items()}


def in_parts(counts: Counts, *, rows: int = PART) -> Iterator[Counts]:
    """The same counts, so many rows at a time: their features take several times the memory."""
    (count,) = {block.matrix.shape[0] for block in counts.values()}
    if count <= rows:
        yield counts
        return
    for start in range(0, count, rows):
        yield take_rows(counts, slice(start, start + rows))


class ReportFeatures(TransformerMixin, BaseEstimator):
    """Counted reports as rows of one sparse matrix: the blocks of `BLOCKS`, then the crossed ones.

    Attributes
    ----------
    vocabularies_ : dict of str to dict of str to int
        For each block that has any term: the column, inside the block, of each term. Sorted.
    idf_ : dict of str to ndarray of shape (n_terms,)
        For each of these blocks that has tf-idf, and for the crossed ones: the weight of each term.
    usual_ : dict of str to UsualContext
        What fills the system, if it has any term: a machine belongs to one.
    likely_ : dict of str to LikelyContext
        What fills each block of `CONTEXT` that has any term, where the report says nothing and it is still
        unknown. The section follows the fault rather than the machine, so it is left to the words.
    crossings_ : dict of str to Crossing
        For each of these: its pairs with words.
    """

    def fit(self, X: Counts, y: None = None) -> Self:
        """Choose the terms and learn how rare they are.

        Parameters
        ----------
        X : Counts of n_reports rows, from `count_reports`
        y : ignored

        Returns
        -------
        self
        """
        self.fit_transform(X)
        return self

    def fit_transform(self, X: Counts, y: None = None) -> csr_array:
        """Fit, and the matrix to learn from: in it some sections and systems are hidden (`UsualContext`).

        `transform` of the same reports hides nothing. Single precision: a million reports take gigabytes.
        """
        chosen = {name: _frequent_terms(X[name], min_df=block.min_df) for name, block in BLOCKS.items()}
        self.vocabularies_ = {name: vocabulary for name, vocabulary in chosen.items() if vocabulary}
        aligned = self._align(X)
        context = [name for name in CONTEXT if name in aligned]
        self._learn_context(aligned, context)
        words = _words_of(aligned)
        self.crossings_ = {name: Crossing().fit(aligned[name], words) for name in context}
        self.idf_ = {name: _smooth_idf(aligned[name]) for name in aligned if BLOCKS[name].tfidf}
        crossed = self._cross(aligned)
        self.idf_ |= {name: _smooth_idf(counts) for name, counts in crossed.items()}
        aligned |= crossed
        del crossed
        return self._assemble(aligned, dtype=np.float32)

    def transform(self, X: Counts) -> csr_array:
        """The feature matrix.

        Parameters
        ----------
        X : Counts of n_reports rows, from `count_reports`

        Returns
        -------
        csr_array of float64, shape (n_reports, n_features)
            In canonical form: threads that share it find nothing to tidy up in place.
        """
        check_is_fitted(self)
        aligned = self._align(X)
        self._fill_context(aligned, X)
        return self._assemble(aligned | self._cross(aligned))

    def _learn_context(self, aligned: dict[str, csr_array], context: list[str]) -> None:
        """Learn to fill these blocks, and hide and fill some of their values in place.

        Both are rehearsed with the equipment alone: with the vote, which is right more often, they would be
        trusted less where they are known.
        """
        told, equipment = _told(aligned), aligned["equipment"]
        self.likely_ = {name: LikelyContext().fit(told, aligned[name]) for name in context}
        self.usual_ = {}
        for name in context:
            usual = UsualContext().fit(equipment, aligned[name])
            aligned[name] = usual.rehearse(equipment, aligned[name])
            if name == "system":
                self.usual_[name] = usual

    def _fill_context(self, aligned: dict[str, csr_array], X: Counts) -> None:
        """In place. Who states a value that training has not seen is not asked what the words vote for."""
        for name, usual in self.usual_.items():
            aligned[name] = usual.fill(aligned["equipment"], aligned[name])
        told = None
        for name, likely in self.likely_.items():
            blank = (np.diff(aligned[name].indptr) == 0) & (np.diff(X[name].matrix.indptr) == 0)
            if blank.any():
                told = _told(aligned) if told is None else told
                aligned[name] = likely.fill(told, aligned[name], blank)

    def unit_blocks(self, X: Counts, names: Iterable[str]) -> dict[str, csr_array]:
        """Those of these blocks that have any term, as in the matrix but for the blocks' weights."""
        check_is_fitted(self)
        known = [name for name in names if name in self.vocabularies_]
        return {name: self._unit(name, _align(X[name], self.vocabularies_[name])) for name in known}

    def starts(self) -> dict[str, int]:
        """The first column of each block in the matrix, in their order; the crossed ones come last."""
        check_is_fitted(self)
        sizes = {name: len(vocabulary) for name, vocabulary in self.vocabularies_.items()}
        sizes |= {crossed_name(name): len(crossing.pairs_) for name, crossing in self.crossings_.items()}
        return dict(zip(sizes, accumulate(sizes.values(), initial=0), strict=False))

    def _align(self, X: Counts) -> dict[str, csr_array]:
        return {name: _align(X[name], vocabulary) for name, vocabulary in self.vocabularies_.items()}

    def _cross(self, aligned: Mapping[str, csr_array]) -> dict[str, csr_array]:
        words = _words_of(aligned)
        return {
            crossed_name(name): crossing.transform(aligned[name], words)
            for name, crossing in self.crossings_.items()
        }

    def _assemble(self, blocks: dict[str, csr_array], *, dtype: type = np.float64) -> csr_array:
        """Takes the blocks out of the dict: those of a million reports are gigabytes."""
        weighed = []
        for name in list(blocks):
            values = self._weighed(name, blocks.pop(name))
            values.data = values.data.astype(dtype, copy=False)
            weighed.append(values)
        matrix: csr_array = hstack(weighed, format="csr")
        matrix.sum_duplicates()
        return matrix

    def _weighed(self, name: str, values: csr_array) -> csr_array:
        """In place: scipy's products check and copy, which takes longer than a single report's sums."""
        self._unit(name, values)
        if name in BLOCKS:
            values.data *= BLOCKS[name].weight
        return values

    def _unit(self, name: str, values: csr_array) -> csr_array:
        """In place: each row of tf-idf at length 1."""
        if name in self.idf_:
            _weigh(values, self.idf_[name])
        return values


def _told(aligned: Mapping[str, csr_array]) -> csr_array:
    """Words of the equipment's name, then of the report: both tell of section and system."""
    named = aligned.get("names", csr_array((aligned["equipment"].shape[0], 0)))
    told: csr_array = hstack([named, _words_of(aligned)], format="csr")
    return told


def _words_of(aligned: Mapping[str, csr_array]) -> csr_array:
    """The block of words; without columns when the training set has no words."""
    return aligned.get("words", csr_array((aligned["equipment"].shape[0], 0)))


def crossed_name(name: str) -> str:
    """The block of `name` crossed with words."""
    return f"{name} × words"


def _frequent_terms(counts: TermCounts, *, min_df: int) -> dict[str, int]:
    """Term → column of the terms that stand in at least `min_df` rows, sorted as text."""
    rows_with = np.bincount(counts.matrix.indices, minlength=len(counts.terms))
    kept = sorted(counts.terms[column] for column in np.flatnonzero(rows_with >= min_df))
    return {term: column for column, term in enumerate(kept)}


def _align(counts: TermCounts, vocabulary: Mapping[str, int]) -> csr_array:
    """The counts in the vocabulary's columns, sorted; terms that it does not know are left out."""
    matrix = counts.matrix
    columns = np.array([vocabulary.get(term, -1) for term in counts.terms], dtype=np.int32)[matrix.indices]
    known = columns >= 0
    starts = np.concatenate(([0], np.cumsum(known, dtype=np.int32)), dtype=np.int32)[matrix.indptr]
    aligned = csr_array(
        (matrix.data[known].astype(np.float64), columns[known], starts),
        shape=(matrix.shape[0], len(vocabulary)),
    )
    aligned.sort_indices()
    return aligned


def _smooth_idf(counts: csr_array) -> NDArray[np.float64]:
    """ln((1 + rows) / (1 + rows with the term)) + 1."""
    rows, terms = counts.shape
    rows_with = np.bincount(counts.indices, minlength=terms)
    return np.asarray(np.log((rows + 1) / (rows_with + 1)) + 1)


def _weigh(counts: csr_array, idf: NDArray[np.float64]) -> None:
    """In place: (1 + ln count) · idf, then each row to Euclidean length 1.

    TfidfTransformer does the same, but refuses zero rows, and its checks take most of a single prediction.
    """
    counts.data = (np.log(counts.data) + 1) * idf[counts.indices]
    scale_rows(counts)


def scale_rows(matrix: csr_array) -> None:
    """In place: each row to Euclidean length 1; a row of zeros stays."""
    sizes = np.diff(matrix.indptr)
    filled = np.flatnonzero(sizes)
    if len(filled):
        lengths = np.sqrt(np.add.reduceat(matrix.data**2, matrix.indptr[filled]))
        matrix.data /= np.repeat(lengths, sizes[filled])
