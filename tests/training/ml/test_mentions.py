from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import fisher_exact

from tests.training.ml.frames import frame_of, row
from training.ml.mentions import (
    Candidate,
    Words,
    candidates,
    count_mentions,
    count_possible,
    count_standing,
    count_words,
    distinct_rows,
    group_candidates,
    has_term,
    unseen_words,
)


def words_of(*descriptions: str) -> Words:
    return count_words(frame_of(*(row(description=text) for text in descriptions)))


def of(words: Words, values: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> dict[str, int]:
    return {term: int(value) for term, value in zip(words.terms, values, strict=True) if value}


def test_terms_are_words_without_case_and_accents_and_the_opening_one() -> None:
    words = words_of("SAFETY : fuite d'huile, côté 2 B 5x 2023", "2023 fuite fuite")
    assert words.terms == ["safety", "fuite", "huile", "cote", "5x", "safety …"]
    assert words.is_word.tolist() == [True] * 5 + [False]
    assert words.stands.toarray().tolist() == [[1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 0, 0]]


def test_a_mention_is_another_text_another_machine_and_another_day() -> None:
    day, eqs = pd.Timestamp(2024, 1, 1), [f"eq-{n}" for n in range(5)]
    days = [day + pd.Timedelta(days=n) for n in range(5)]
    kinds: dict[str, tuple[list[Any], list[Any], list[Any]]] = {
        "copie": (["a", "b", "a", "b", "a"], eqs, days),
        "machine": (list("cdefg"), ["eq-1"] * 5, days),
        "jour": (list("hijkl"), eqs, [day] * 5),
        "autre": (list("mnopq"), eqs, days),
        "sans": (list("rstuv"), eqs, [None] * 5),
    }
    frame = frame_of(
        *(
            row(description=f"{kind} {text}", equipment_id=equipment, detected_at=time)
            for kind, columns in kinds.items()
            for text, equipment, time in zip(*columns, strict=True)
        )
    )
    words = count_words(frame)
    counted = of(words, count_mentions(words, np.zeros(25, dtype=np.int64), 1).toarray()[0])
    assert {term: counted[term] for term in kinds} == {
        "copie": 2, "machine": 1, "jour": 1, "autre": 5, "sans": 1,
    }  # fmt: skip


def test_mentions_of_each_period_and_of_none() -> None:
    words = words_of("fuite", "fuite vanne", "fuite pompe", "bruit")
    counted = count_mentions(words, np.array([0, 2, 2, -1]), 3).toarray()
    assert of(words, counted[0]) == {"fuite": 1, "fuite …": 1}
    assert of(words, counted[1]) == {}
    assert of(words, counted[2]) == {"fuite": 1, "vanne": 1, "pompe": 1, "fuite …": 1}


def test_a_text_counts_once_a_period() -> None:
    words = words_of("fuite", "FUITE !", "fuite", "bruit", "bruit")
    assert distinct_rows(words, np.array([0, 0, 1, 0, -1])).tolist() == [True, False, True, True, False]


def test_standing_counts_reports() -> None:
    words = words_of("fuite fuite", "fuite vanne", "bruit")
    assert of(words, count_standing(words, np.array([0, 1]))) == {"fuite": 2, "vanne": 1, "fuite …": 2}
    assert has_term(words, words.terms.index("vanne")).tolist() == [False, True, False]


def test_candidates_are_those_of_fisher_s_test() -> None:
    now, before = np.array([7, 6, 4, 9]), np.array([0, 10, 0, 90])
    standing = np.array([8, 7, 4, 1])
    found = candidates(now, before, standing=standing, reports=60, reports_before=600)
    assert [(each.term, each.mentions, each.mentions_before, each.is_new) for each in found] == [
        (0, 7, 0, True),
        (1, 6, 10, False),
    ]  # the third has too few mentions, the fourth stands in too few reports
    for each, table in zip(found, ([[7, 53], [0, 600]], [[6, 54], [10, 590]]), strict=True):
        assert each.p_value == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    assert count_possible(now + before) == 3


def test_terms_of_the_same_reports_are_one_finding() -> None:
    words = words_of(
        "visite epi a1", "visite epi a2", "visite epi a3", "visite epi a4", "visite a5", "bruit a6"
    )
    found = [
        Candidate(term=words.terms.index(term), mentions=5, mentions_before=0, p_value=0.0)
        for term in ("visite", "bruit", "epi")
    ]
    groups = group_candidates(words, np.array([5, 4, 3, 2, 1, 0]), found)
    assert [[words.terms[each.term] for each in group] for group, _ in groups] == [
        ["visite", "epi"],
        ["bruit"],
    ]
    assert [rows.tolist() for _, rows in groups] == [[4, 3, 2, 1, 0], [5]]


def test_unseen_words_of_a_report() -> None:
    words = words_of("fuite vanne", "fuite joint neuf", "12", "fuite")
    total, unseen = unseen_words(words, np.array([1, 2]), np.array([0, 3]))
    assert (total.tolist(), unseen.tolist()) == ([3, 0], [2, 0])


def test_no_report_has_no_words() -> None:
    words = count_words(frame_of())
    assert (words.terms, words.stands.shape) == ([], (0, 0))
    assert count_mentions(words, np.array([], dtype=np.int64), 0).shape == (0, 0)
