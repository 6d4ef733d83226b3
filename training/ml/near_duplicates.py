"""Different reports on one equipment, close in time, whose texts nearly agree: one event, told twice.

The likeness of two texts is the mean of the cosines of their words and of their character runs, each weighed
by tf-idf. It is computed by sparse products of a few hundred reports with those shortly before them: neither
time nor memory grows with the square of the reports.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, hstack
from sklearn.feature_extraction.text import TfidfTransformer

from training.ml.features import Counts
from training.ml.findings import Finding, Found, most_suspicious, said_of
from training.ml.records import SCORE_COLUMNS, TARGETS, text_groups

ALIKE = 0.85
CLOSE = np.timedelta64(90, "D")
AGREEING = 0.25  # what a pair weighs whose scores agree: it counts an event twice, but no label is wrong
CHUNK = 256
REACH = 1_000  # reports of the same equipment, in the order of time, that each is compared with


def find_near_duplicates(frame: pd.DataFrame, counts: Counts, *, limit: int) -> Found:
    """Each row with the likest earlier one of its equipment, where there is one; conflicting scores first.

    At least `ALIKE`, at most `CLOSE` apart; reports without a time are compared with each other alone. Exact
    duplicates belong here; the same text with other scores does not: that is a conflict (`conflicts`).
    The suspicion is the likeness, or a quarter of it where the scores agree.

    facts: how many are `conflicting`, how many `agreeing`.
    """
    pairs = like_pairs(frame, counts)
    scores = frame[list(SCORE_COLUMNS)].to_numpy()
    conflicting = (scores[pairs["later"]] != scores[pairs["earlier"]]).any(axis=1)
    suspicion = pairs["similarity"].to_numpy() * np.where(conflicting, 1.0, AGREEING)
    order = most_suspicious(suspicion, limit)
    kept = pairs.iloc[order].assign(suspicion=suspicion[order])
    return Found(
        count=len(pairs),
        findings=[_finding(frame, pair) for pair in kept.itertuples()],
        facts={"conflicting": int(conflicting.sum()), "agreeing": int((~conflicting).sum())},
    )


def like_pairs(frame: pd.DataFrame, counts: Counts) -> pd.DataFrame:
    """Columns later, earlier (positions of rows), similarity: for each row the likest earlier one, if any.

    Of equals the latest.
    """
    reports, vectors = _in_order(frame), _vectors(frame, counts)
    found = [_like(reports, vectors, start) for start in range(0, len(reports), CHUNK)]
    pairs = pd.concat([pd.DataFrame(columns=["later", "earlier", "similarity"], dtype=int), *found])
    return pairs.sort_values("later", ignore_index=True)


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """By equipment and time, indexed by the row's position; `first` is the place of the equipment's first."""
    reports = pd.DataFrame(
        {
            "equipment": pd.factorize(frame["equipment_id"])[0],
            "time": frame["detected_at"].to_numpy(),
            "vector": pd.factorize(frame["description"])[0],
            "text": pd.factorize(text_groups(frame))[0],
            "scores": frame.groupby(list(SCORE_COLUMNS)).ngroup().to_numpy(),
        }
    ).sort_values(["equipment", "time"], kind="stable")
    reports["place"] = np.arange(len(reports))
    reports["first"] = reports.groupby("equipment")["place"].transform("first")
    return reports


def _vectors(frame: pd.DataFrame, counts: Counts) -> csr_array:
    """A row of length 1 for each distinct description, in order of appearance."""
    rows = np.flatnonzero(~frame["description"].duplicated().to_numpy())
    blocks = [counts[name].matrix[rows] for name in ("words", "pieces")]
    weighed = [TfidfTransformer(sublinear_tf=True).fit_transform(block) for block in blocks if block.nnz]
    return csr_array(hstack([*weighed, csr_array((len(rows), 1))], format="csr") / np.sqrt(2))


def _like(reports: pd.DataFrame, vectors: csr_array, start: int) -> pd.DataFrame:
    """The pairs whose later report stands in the chunk that begins at `start`."""
    chunk = reports.iloc[start : start + CHUNK]
    lowest = max(chunk["first"].iloc[0], start - REACH)
    before = reports.iloc[lowest : start + CHUNK]
    products = (vectors[chunk["vector"].to_numpy()] @ vectors[before["vector"].to_numpy()].T).tocoo()
    alike = products.data >= ALIKE
    later, earlier = chunk.iloc[products.row[alike]], before.iloc[products.col[alike]]
    pairs = pd.DataFrame(
        {
            "later": later.index,
            "earlier": earlier.index,
            "similarity": products.data[alike].round(4).clip(max=1.0),
            "place": earlier["place"].to_numpy(),
        }
    )[_belong_together(later.reset_index(), earlier.reset_index())]
    best = pairs.sort_values(["similarity", "place"], ascending=False).drop_duplicates("later")
    return best.drop(columns="place")


def _belong_together(later: pd.DataFrame, earlier: pd.DataFrame) -> "pd.Series[bool]":
    """Row by row: one equipment, in this order, close in time, and no conflict of the same text."""
    undated = later["time"].isna() & earlier["time"].isna()
    return (
        (later["equipment"] == earlier["equipment"])
        & (later["place"] > earlier["place"])
        & (((later["time"] - earlier["time"]) <= CLOSE) | undated)
        & ((later["text"] != earlier["text"]) | (later["scores"] == earlier["scores"]))
    )


def _finding(frame: pd.DataFrame, pair: Any) -> Finding:
    rows = [pair.later, pair.earlier]
    said = [said_of(frame, row) for row in rows]
    times = frame["detected_at"].iloc[rows]
    return Finding(
        row=pair.later,
        other=pair.earlier,
        suspicion=pair.suspicion,
        evidence={
            "similarity": pair.similarity,
            "days_apart": None if times.hasnans else round(np.ptp(times) / np.timedelta64(1, "D"), 2),
            "differing": [t for t, c in zip(TARGETS, SCORE_COLUMNS, strict=True) if said[0][c] != said[1][c]],
            "reports": said,
        },
    )
