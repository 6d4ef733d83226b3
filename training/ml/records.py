"""The frame that all learning works on, and what makes two reports the same.

One row is one anomaly. Columns: `anomaly_id`, `description`, `equipment_name`, `equipment_id`,
`system`, `section` (str, "" where unknown), `detected_at` (datetime64, naive UTC, NaT where unknown)
and one float column a target, `<target>_score`, 1 to 5, fractions allowed.
"""

import re
import unicodedata

import numpy as np
import pandas as pd
from numpy.typing import NDArray

TARGETS = ("availability", "fiability", "process_safety")
SCORE_COLUMNS = tuple(f"{target}_score" for target in TARGETS)
TEXT_COLUMNS = ("anomaly_id", "description", "equipment_name", "equipment_id", "system", "section")
COLUMNS = (*TEXT_COLUMNS, "detected_at", *SCORE_COLUMNS)
IDENTITY = ["equipment_id", "description", "detected_at"]

_NOT_WORD = re.compile(r"[^a-z0-9]+")


def normalise_text(text: str) -> str:
    """Lower case, no accents, only letters and digits, single spaces: "FUITE d'Eau" → "fuite d eau"."""
    plain = unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode("ascii")
    return _NOT_WORD.sub(" ", plain).strip()


def text_groups(frame: pd.DataFrame) -> "pd.Series[str]":
    """The group of each row: reports with the same normalised text never stand on both sides of a split."""
    return frame["description"].map(normalise_text)


def whole_scores(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """The classes of reviewed scores: rounded half up, so 2.5 is a 3."""
    return np.floor(scores + 0.5).astype(np.int64)


def drop_exact_duplicates(frame: pd.DataFrame) -> pd.DataFrame:
    """The first of the rows with the same equipment, text and time; order and index kept."""
    return frame.drop_duplicates(IDENTITY, keep="first")
