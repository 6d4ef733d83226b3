"""What an examination of the labels finds: ranked, each with its evidence."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.ml.records import SCORE_COLUMNS

IMPLAUSIBLE, CONFLICT, NEAR_DUPLICATE = KINDS = ("implausible", "conflict", "near_duplicate")


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One reason to look at one row.

    Attributes
    ----------
    row, other : int
        Positions in the frame; `other` is the row that it is at odds with, None when a model is.
    target : str
        "" when it is about the report and not about one of its scores.
    suspicion : float
        0 to 1. Comparable within a kind.
    evidence : dict
        Plain JSON.
    """

    row: int
    other: int | None = None
    target: str = ""
    suspicion: float
    evidence: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """All of one kind: how many there were, the most suspicious of them in their order, and figures."""

    count: int
    findings: list[Finding]
    facts: dict[str, Any]


def most_suspicious(suspicion: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Positions of the `limit` highest, highest first; equals in their order."""
    return np.argsort(-suspicion, kind="stable")[:limit]


def said_of(frame: pd.DataFrame, row: int) -> dict[str, Any]:
    """A row as evidence beside another: who, when, and the reviewed scores."""
    record = frame.iloc[row]
    when = record["detected_at"]
    return {
        "anomaly_id": record["anomaly_id"],
        "equipment_id": record["equipment_id"],
        "detected_at": None if pd.isna(when) else f"{when.isoformat()}Z",
        **{column: float(record[column]) for column in SCORE_COLUMNS},
    }
