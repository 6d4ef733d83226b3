"""Words by period: which ones are new, which ones suddenly stand in many reports.

Reports of a plant come in bursts: a round or a shutdown writes the same words twenty times in a day, a
machine in trouble every day of a week. So the unit of evidence is the *mention*: a term is mentioned in a
period as many times as the least of the distinct texts, distinct equipment and distinct days in which it
stands. Copies of one report, one busy day and one bad machine are one mention each.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.stats import hypergeom
from sklearn.feature_extraction.text import CountVectorizer

from training.ml.features import count_terms
from training.ml.records import text_groups

MIN_MENTIONS = 5
MIN_SHARE = 0.03  # of a period's different texts
SAME_REPORTS = 0.8  # terms whose reports overlap so much (Jaccard) are one finding
OPENING = " …"  # after a word: as the first of a report

Integers = NDArray[np.int64]

_analyse = CountVectorizer(strip_accents="unicode").build_analyzer()


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What n reports are made of.

    Attributes
    ----------
    terms : list of str
        Words that are no numbers, and opening words, marked by `OPENING`.
    stands : csr_array of shape (n, terms), ones where the term stands in the report
    is_word : ndarray of bool, shape (terms,); opening words repeat one
    text, equipment, day : ndarray of int, shape (n,)
        Codes of the normalised text, of the equipment, and of the day.
    """

    terms: list[str]
    stands: csr_array
    is_word: NDArray[np.bool_]
    text: Integers
    equipment: Integers
    day: Integers


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A term that may have emerged, by its number in `Words.terms`."""

    term: int
    mentions: int
    mentions_before: int
    p_value: float

    @property
    def is_new(self) -> bool:
        """A model of what came before cannot know it."""
        return self.mentions_before < MIN_MENTIONS


def count_words(frame: pd.DataFrame) -> Words:
    """One pass over the descriptions; a text that recurs is cut up once."""
    codes, texts = pd.factorize(frame["description"])
    counts = count_terms(texts.tolist(), _terms_of)
    stands = counts.matrix[codes]
    stands.data[:] = 1
    return Words(
        terms=counts.terms,
        stands=stands,
        is_word=np.array([not term.endswith(OPENING) for term in counts.terms], dtype=bool),
        text=_codes(text_groups(frame)),
        equipment=_codes(frame["equipment_id"]),
        day=_codes(frame["detected_at"].dt.floor("D")),
    )


def _terms_of(text: str) -> list[str]:
    """Words, then the opening one. Numbers say nothing: every January brings a new year."""
    words = _analyse(text)
    terms = words + [word + OPENING for word in words[:1]]
    return [term for term in terms if not term.removesuffix(OPENING).isnumeric()]


def _codes(values: "pd.Series[str] | pd.Series[pd.Timestamp]") -> Integers:
    return np.asarray(pd.factorize(values)[0], dtype=np.int64)


def count_mentions(words: Words, period: Integers, periods: int) -> csr_array:
    """How often each term is mentioned in each period: shape (periods, terms).

    `period` is the period of each report, shape (n,); negative: of none.
    """
    pairs = words.stands[period >= 0].tocoo()
    inside = np.flatnonzero(period >= 0)[pairs.row]
    cell, cells = pd.factorize(period[inside] * len(words.terms) + pairs.col)
    counts = np.bincount(cell, minlength=len(cells))
    for codes in (words.text, words.equipment, words.day):
        width = codes.max(initial=0) + 2
        distinct = pd.unique(cell * width + codes[inside] + 1)
        counts = np.minimum(counts, np.bincount(distinct // width, minlength=len(cells)))
    shape = (periods, len(words.terms))
    return csr_array((counts, (cells // len(words.terms), cells % len(words.terms))), shape=shape)


def distinct_rows(words: Words, period: Integers) -> NDArray[np.bool_]:
    """The first report of each text in each period; none of a negative period. Shape (n,)."""
    again = pd.DataFrame({"period": period, "text": words.text}).duplicated()
    return np.asarray((period >= 0) & ~again)


def count_possible(totals: Integers) -> int:
    """How many terms could emerge, by their mentions before and now: the tests to correct for.

    That does not depend on when they were mentioned, so it may be asked before the p-values.
    """
    return int(np.count_nonzero(totals >= MIN_MENTIONS))


def count_standing(words: Words, rows: Integers) -> Integers:
    """In how many of the rows each term stands, shape (terms,)."""
    return np.bincount(words.stands[rows].indices, minlength=len(words.terms)).astype(np.int64)


def candidates(
    now: Integers, before: Integers, *, standing: Integers, reports: int, reports_before: int
) -> list[Candidate]:
    """The terms with enough mentions now, standing in enough of the reports; most significant first.

    Fisher's exact test, one-sided: of `reports` distinct reports now and `reports_before` before, `now` and
    `before` mention each term.
    """
    terms = np.flatnonzero((now >= MIN_MENTIONS) & (standing >= MIN_SHARE * reports))
    k, K = now[terms], before[terms]
    p_values = hypergeom.sf(k - 1, reports + reports_before, k + K, reports)
    found = zip(terms.tolist(), k.tolist(), K.tolist(), p_values.tolist(), strict=True)
    return sorted(
        (Candidate(term=t, mentions=m, mentions_before=M, p_value=p) for t, m, M, p in found),
        key=lambda candidate: (candidate.p_value, candidate.term),
    )


def group_candidates(
    words: Words, rows: Integers, found: list[Candidate]
) -> list[tuple[list[Candidate], Integers]]:
    """Candidates that stand in nearly the same of these rows together; with each group those rows."""
    columns = words.stands[rows][:, [candidate.term for candidate in found]].toarray() > 0
    groups: list[tuple[list[Candidate], NDArray[np.bool_]]] = []
    for candidate, column in zip(found, columns.T, strict=True):
        for group, of_group in groups:
            if np.count_nonzero(column & of_group) >= SAME_REPORTS * np.count_nonzero(column | of_group):
                group.append(candidate)
                break
        else:
            groups.append(([candidate], column))
    return [(group, rows[of_group]) for group, of_group in groups]


def has_term(words: Words, term: int) -> NDArray[np.bool_]:
    """Whether the term stands in each report, shape (n,)."""
    return np.asarray(words.stands[:, [term]].toarray()[:, 0] > 0)


def unseen_words(words: Words, rows: Integers, before: Integers) -> tuple[Integers, Integers]:
    """Of each of the rows: how many different words it has, and how many that stand in no row `before`."""
    seen = np.zeros(len(words.terms), dtype=bool)
    seen[words.stands[before].indices] = True
    stands = words.stands[rows]
    return (
        np.asarray(stands @ words.is_word.astype(np.int64), dtype=np.int64),
        np.asarray(stands @ (words.is_word & ~seen).astype(np.int64), dtype=np.int64),
    )
