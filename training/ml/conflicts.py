"""Reports with the same normalised text and different scores.

On one equipment that is a contradiction. Between equipments it may be right, for what a fault means depends
on what it stops: it counts half and is ranked lower.
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.ml.findings import Finding, Found, said_of
from training.ml.ordinal import Floats
from training.ml.records import SCORE_COLUMNS, TARGETS, text_groups

OTHER_EQUIPMENT = 0.5
SHOWN = 10  # other reports that stand in the evidence


def find_conflicts(frame: pd.DataFrame, *, limit: int) -> Found:
    """The scores, a target each, with which fewer than half of the other reports of the group agree.

    The group: the reports with the same text on the same equipment or, where these do agree, on any other.
    The suspicion is 1 − (agreeing + 1/5) / (others + 1): the others vote, and one more vote is shared by the
    five scores, so a group of two convinces less than a large one. Of equals the wider spread comes first.

    facts: how many are of the `same_equipment`, how many of `other_equipment`.
    """
    texts = text_groups(frame)
    table = pd.concat([_disagreeing(frame, texts, target) for target in TARGETS], ignore_index=True)
    order = np.lexsort((-table["spread"], -table["suspicion"]))[:limit]
    kept: list[Any] = list(table.iloc[order].itertuples())
    groups = frame.groupby(texts.to_numpy()).indices
    equipment = pd.factorize(frame["equipment_id"])[0]
    scores = frame[list(SCORE_COLUMNS)].to_numpy()
    return Found(
        count=len(table),
        findings=[
            _finding(frame, vote, _others(np.asarray(groups[texts.iloc[vote.row]]), equipment, vote), scores)
            for vote in kept
        ],
        facts={
            "same_equipment": int(table["same_equipment"].sum()),
            "other_equipment": int((~table["same_equipment"]).sum()),
        },
    )


def _disagreeing(frame: pd.DataFrame, texts: "pd.Series[str]", target: str) -> pd.DataFrame:
    """Columns row, target, suspicion, spread, same_equipment. A text without a word is no text."""
    score = frame[f"{target}_score"]
    by_text = score.groupby(texts)
    everywhere, everywhere_agreeing = _votes(score, [texts])
    here, here_agreeing = _votes(score, [texts, frame["equipment_id"]])
    contradicted = _suspicion(here - 1, here_agreeing - 1)
    elsewhere = OTHER_EQUIPMENT * _suspicion(everywhere - here, everywhere_agreeing - here_agreeing)
    table = pd.DataFrame(
        {
            "row": np.arange(len(frame)),
            "target": target,
            "suspicion": np.where(contradicted > 0, contradicted, elsewhere),
            "spread": (by_text.transform("max") - by_text.transform("min")).to_numpy(),
            "same_equipment": contradicted > 0,
        }
    )
    return table[(table["suspicion"] > 0) & (texts != "").to_numpy()]


def _votes(score: "pd.Series[float]", keys: "list[pd.Series[Any]]") -> tuple[Floats, Floats]:
    """Of each row's group: how many rows, and how many with its score, itself included in both."""
    group, same = score.groupby(keys), score.groupby([*keys, score])
    return group.transform("size").to_numpy(dtype=float), same.transform("size").to_numpy(dtype=float)


def _suspicion(others: Floats, agreeing: Floats) -> Floats:
    """0 where at least half of the others agree, or there are none."""
    return np.where(2 * agreeing < others, 1 - (agreeing + 1 / 5) / (others + 1), 0.0)


def _others(group: NDArray[np.intp], equipment: NDArray[np.intp], vote: Any) -> NDArray[np.intp]:
    """The rows of the group that vote on this one."""
    on_it = equipment[group] == equipment[vote.row]
    return np.asarray(group[(on_it == vote.same_equipment) & (group != vote.row)])


def _finding(frame: pd.DataFrame, vote: Any, others: NDArray[np.intp], scores: Floats) -> Finding:
    """`scores`: those of every row, shape (n, 3)."""
    own, theirs = scores[vote.row], scores[others]
    column = TARGETS.index(vote.target)
    order = np.argsort(-np.abs(theirs[:, column] - own[column]), kind="stable")
    given, counts = np.unique(theirs[:, column], return_counts=True)
    spread = np.ptp(np.vstack((theirs, own)), axis=0)
    return Finding(
        row=vote.row,
        other=int(others[order[0]]),
        target=vote.target,
        suspicion=vote.suspicion,
        evidence={
            "same_equipment": vote.same_equipment,
            "reviewed": float(own[column]),
            "others": len(others),
            "others_by_score": {f"{score:g}": int(count) for score, count in zip(given, counts, strict=True)},
            "spread": dict(zip(TARGETS, spread.tolist(), strict=True)),
            "reports": [said_of(frame, int(other)) for other in others[order[:SHOWN]]],
        },
    )
