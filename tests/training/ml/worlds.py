"""Invented plants whose reports come for months, from a world that stands still unless told otherwise."""

import numpy as np
import pandas as pd

from tests.training.ml.frames import FAULTS, MACHINES, SIDES, row
from training.ml.records import COLUMNS, SCORE_COLUMNS

START = pd.Timestamp(2023, 1, 1)


def plant(months: int = 12, *, a_month: int = 40, seed: int = 0) -> pd.DataFrame:
    """So many different texts each month from 2023-01, their days, equipment, faults and scores by chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(months * a_month):
        month = START + pd.DateOffset(months=number // a_month)
        fault, machine = rng.choice(list(FAULTS)), rng.choice(MACHINES)
        noise = rng.random(3) < 0.15
        scores = np.where(noise, rng.integers(1, 6, 3), FAULTS[fault])
        rows.append(
            row(
                anomaly_id=f"P-{number}",
                description=f"{fault} {machine} {rng.choice(SIDES)} {number}",
                equipment_name=machine.title(),
                equipment_id=f"eq-{rng.integers(30)}",
                detected_at=month + pd.Timedelta(days=int(rng.integers(28)), hours=int(rng.integers(24))),
                **dict(zip(SCORE_COLUMNS, scores.astype(float), strict=True)),
            )
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    return frame.astype(dict.fromkeys(SCORE_COLUMNS, float))


def in_month(frame: pd.DataFrame, month: str) -> "pd.Series[bool]":
    return pd.Series(frame["detected_at"].dt.to_period("M") == pd.Period(month), dtype=bool)


def with_prefix(
    frame: pd.DataFrame, prefix: str, *, since: str, every: int = 4, process_safety: float | None = 5.0
) -> pd.DataFrame:
    """From that day on every so-manieth report opens with the word, and has this score unless None."""
    chosen = frame.index[frame["detected_at"] >= since][::every]
    frame = frame.copy()
    frame.loc[chosen, "description"] = prefix + " : " + frame.loc[chosen, "description"]
    if process_safety is not None:
        frame.loc[chosen, "process_safety_score"] = process_safety
    return frame
