"""Write anomalies as the customer's three CSVs, such that reading them gives the same anomalies back."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from functools import reduce
from pathlib import Path
from typing import TextIO

import pandas as pd

from training.datafiles.cells import (
    BESIDE_THE_SCORE,
    CUSTOMER_FILES,
    customer_titles,
    derive_ids,
    format_times,
    neutralise,
)
from training.ml.failpoints import failpoint
from training.ml.manifest import fsync_directory
from training.ml.records import SCORE_COLUMNS, TEXT_COLUMNS

_QUOTED = r'[",\n\r]'  # the csv module of Python 3.11 leaves a carriage return bare: it would end the row


class _ForeignIdError(Exception):
    """An id is not the one that reading its row without it would give."""


def write_customer_files(directory: Path, read_frames: Callable[[], Iterable[pd.DataFrame]]) -> int:
    """Write disponibilite.csv, fiabilite.csv and process_safty.csv; how many rows each has.

    `read_frames` gives the rows in pieces, one of which is held in memory at a time. It is called again
    when an id turns up that cannot be derived from its row: then the files have a column `anomaly_id`.
    Each file is complete and durable before it takes its name; an error leaves no part of one.
    """
    paths = {field: directory / name for field, name in CUSTOMER_FILES.items()}
    parts = {field: path.with_name(f".{path.name}.{os.getpid()}.part") for field, path in paths.items()}
    try:
        try:
            rows = _write_parts(parts, read_frames(), with_ids=False)
        except _ForeignIdError:
            rows = _write_parts(parts, read_frames(), with_ids=True)
        failpoint("records.parts_written")
        for field, part in parts.items():
            part.replace(paths[field])
            failpoint("records.renamed")
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    fsync_directory(directory)
    return rows


def _write_parts(parts: Mapping[str, Path], frames: Iterable[pd.DataFrame], *, with_ids: bool) -> int:
    rows = 0
    with ExitStack() as stack:
        files = {field: stack.enter_context(_open(part)) for field, part in parts.items()}
        for field, file in files.items():
            file.write(",".join(customer_titles(field, with_ids=with_ids)) + "\n")
        for frame in frames:
            if not with_ids and (derive_ids(frame) != frame["anomaly_id"]).any():
                raise _ForeignIdError
            cells = _cells(frame, with_ids=with_ids)
            for field, file in files.items():
                file.writelines(_lines(cells, field))
                failpoint("records.part")
            rows += len(frame)
        for file in files.values():
            file.flush()
            os.fsync(file.fileno())
    return rows


def _open(part: Path) -> TextIO:
    return part.open("w", encoding="utf-8", newline="")


def _cells(frame: pd.DataFrame, *, with_ids: bool) -> dict[str, "pd.Series[str]"]:
    """What stands in the files, column by column."""
    columns = TEXT_COLUMNS if with_ids else TEXT_COLUMNS[1:]
    texts = {column: _quote(neutralise(frame[column])) for column in columns}
    scores = {column: frame[column].map(_score) for column in SCORE_COLUMNS}
    return {**texts, **scores, "detected_at": format_times(frame["detected_at"])}


def _score(score: float) -> str:
    """A whole score as `3`, others in full."""
    return str(int(score)) if score.is_integer() else str(score)


def _quote(cells: "pd.Series[str]") -> "pd.Series[str]":
    doubled = '"' + cells.str.replace('"', '""', regex=False) + '"'
    return cells.mask(cells.str.contains(_QUOTED), doubled)


def _lines(cells: Mapping[str, "pd.Series[str]"], field: str) -> Iterable[str]:
    names = [*BESIDE_THE_SCORE, field, *(["anomaly_id"] if "anomaly_id" in cells else [])]
    return reduce(lambda line, column: line + "," + column, (cells[name] for name in names)) + "\n"
