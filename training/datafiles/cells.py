"""Columns and cells: what they are called, and how text, times and ids are written in them."""

import hashlib
import re

import numpy as np
import pandas as pd

from training.ml.records import COLUMNS, normalise_text

# The customer's titles and file names, spelled as theirs are.
CUSTOMER_TITLES = {
    "equipment_id": "Num_equipement",
    "system": "Systeme",
    "description": "Description",
    "detected_at": "Date de détéction de l'anomalie",
    "equipment_name": "Description de l'équipement",
    "section": "Section propriétaire",
    "availability_score": "Disponibilté",
    "fiability_score": "Fiabilité Intégrité",
    "process_safety_score": "Process Safety",
}
CUSTOMER_FILES = {
    "availability_score": "disponibilite.csv",
    "fiability_score": "fiabilite.csv",
    "process_safety_score": "process_safty.csv",
}

DERIVED = "imp-"  # how an id begins that a row got from its content
BESIDE_THE_SCORE = ("equipment_id", "system", "description", "detected_at", "equipment_name", "section")

_FIELDS = {
    **{normalise_text(field): field for field in COLUMNS},
    **{normalise_text(title): field for field, title in CUSTOMER_TITLES.items()},
    "disponibilite": "availability_score",
    "process safty": "process_safety_score",
}

_FORMULA = re.compile(r"[=+\-@\t\r]")
_QUOTED_FORMULA = re.compile(r"'+[=+\-@\t\r]")
# Technicians begin a report with a list dash: "- Fuite d'huile (pompe à l'arrêt)". Such prose stays as it is.
# It has no quotes, links or references to call on, and the first thing in a bracket is two bare words:
# to a spreadsheet an unknown name, so that not even a function's name before the bracket does anything.
_LIST_DASH = re.compile(r"- [^\W\d_](?:[\w ,.;'+-]|\( ?[^\W\d_]{2,} \w|\))*")


def field_of(title: str) -> str | None:
    """The frame's column for a title, whatever its accents, case and punctuation; None for others."""
    return _FIELDS.get(normalise_text(title.replace("’", "'")))


def customer_titles(score: str, *, with_ids: bool) -> list[str]:
    """The header of the customer's file for that score; ids of their own have a column behind it."""
    titles = [CUSTOMER_TITLES[column] for column in (*BESIDE_THE_SCORE, score)]
    return [*titles, "anomaly_id"] if with_ids else titles


def neutralise(cells: "pd.Series[str]") -> "pd.Series[str]":
    """A `'` before what a spreadsheet might run as a formula, and before what already looks like that.

    `restore` is the exact inverse, for every text.
    """
    formula = cells.str.match(_FORMULA) & ~cells.str.fullmatch(_LIST_DASH)
    return cells.mask(formula | cells.str.match(_QUOTED_FORMULA), "'" + cells)


def restore(cells: "pd.Series[str]") -> "pd.Series[str]":
    """Take the `'` of `neutralise` off."""
    texts = [text[1:] if text[:1] == "'" and _QUOTED_FORMULA.match(text) else text for text in cells.tolist()]
    return pd.Series(texts, index=cells.index, dtype=cells.dtype)


def format_times(times: "pd.Series[pd.Timestamp]") -> "pd.Series[str]":
    """`YYYY-MM-DD HH:MM:SS`, with microseconds where there are any; "" for NaT."""
    text = np.datetime_as_string(times.to_numpy(dtype="datetime64[us]"), unit="us")
    cells = pd.Series(text, index=times.index, dtype="str").str.replace("T", " ", n=1, regex=False)
    return cells.mask(times.isna(), "").str.removesuffix(".000000")


def derive_ids(frame: pd.DataFrame) -> "pd.Series[str]":
    """The id of a report that brings none: always the same for the same equipment, text and time."""
    # No text holds a NUL, so what is joined with it cannot be joined from other parts. (Joined here and not
    # by pandas: NumPy drops a NUL at the end of a string.)
    columns = (frame["equipment_id"], frame["description"], format_times(frame["detected_at"]))
    parts = zip(*(column.tolist() for column in columns), strict=True)
    digests = [hashlib.sha256("\0".join(part).encode()).hexdigest() for part in parts]
    ids = [f"{DERIVED}{digest[:20]}" for digest in digests]
    return pd.Series(ids, index=frame.index, dtype="str")
