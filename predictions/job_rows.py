"""The rows of a prediction job: as they came, as reports, and as the lines of its result."""

import csv
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

import pandas as pd

from predictions.predictor import LoadedModel
from predictions.services import SuggestedScores, predict
from predictions.validation import OPTIONAL, REQUIRED, problems_of, report_of
from training.criticality import band_of, criticality_of
from training.datafiles import neutralise
from training.datafiles.tables import Table
from training.ml.records import TARGETS

READ = ("anomaly_id", *REQUIRED, *OPTIONAL)
RESULT_COLUMNS = (
    "line",
    "anomaly_id",
    "equipment_id",
    *TARGETS,
    "criticality",
    "risk_level",
    "needs_attention",
    "confidence",
    *(f"{target}_expected" for target in TARGETS),
    "model_version",
    "problem",
)
HEADER = (",".join(RESULT_COLUMNS) + "\r\n").encode()
BLANK = ("",) * (len(RESULT_COLUMNS) - 4)  # what a refused row says between its ids and its problem
_LEVEL = 1  # of compression: a third larger than the best one and ten times as fast


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Some rows of the file: cells by column, the line each begins on, and which have the wrong width."""

    lines: Sequence[int]
    cells: Mapping[str, Sequence[str]]
    ragged: frozenset[int]  # positions

    def record(self, position: int) -> dict[str, str]:
        """What the row says; a cell that is empty says nothing."""
        return {name: column[position] for name, column in self.cells.items() if column[position]}


def pack(table: Table) -> bytes:
    """A piece of a file, as it is stored. A byte that was no UTF-8 is kept as its surrogate escape."""
    rows = {
        "lines": table.lines.tolist(),
        "cells": {name: table.cells[name].tolist() for name in READ if name in table.cells},
        "ragged": [position for position, is_ragged in enumerate(table.ragged.tolist()) if is_ragged],
    }
    return zlib.compress(json.dumps(rows).encode("ascii"), _LEVEL)


def unpack(packed: bytes) -> Rows:
    """The exact inverse of `pack`."""
    rows = json.loads(zlib.decompress(packed))
    return Rows(lines=rows["lines"], cells=rows["cells"], ragged=frozenset(rows["ragged"]))


def score_rows(rows: Rows, model: LoadedModel) -> tuple[bytes, int]:
    """The compressed lines of the result, in the order of the rows; how many of them were refused."""
    wrong = {at: problem for at in range(len(rows.lines)) if (problem := _problem(rows, at))}
    sound = [at for at in range(len(rows.lines)) if at not in wrong]
    reports = [report_of(rows.record(at)) for at in sound]
    scored = predict(reports=reports, model=model) if reports else iter(())
    cells = dict(zip(sound, (_cells(scores, model) for scores in scored), strict=True))
    anomalies, equipment = _safe(rows, "anomaly_id"), _safe(rows, "equipment_id")
    text = StringIO(newline="")
    csv.writer(text).writerows(
        (line, anomalies[at], equipment[at], *cells.get(at, BLANK), wrong.get(at, ""))
        for at, line in enumerate(rows.lines)
    )
    return zlib.compress(text.getvalue().encode("utf-8", "backslashreplace"), _LEVEL), len(wrong)


def lines_of(result: bytes) -> bytes:
    """What `score_rows` compressed."""
    return zlib.decompress(result)


def _problem(rows: Rows, at: int) -> str:
    if at in rows.ragged:
        return "The row has another number of cells than the header"
    return "; ".join(problems_of(rows.record(at)))


def _cells(scores: SuggestedScores, model: LoadedModel) -> list[Any]:
    criticality = criticality_of(sum(suggestion.score for suggestion in scores))
    return [
        *(suggestion.score for suggestion in scores),
        int(criticality),
        band_of(criticality),
        "yes" if any(suggestion.needs_attention for suggestion in scores) else "no",
        min(suggestion.confidence for suggestion in scores),
        *(suggestion.expected for suggestion in scores),
        model.version_id,
    ]


def _safe(rows: Rows, name: str) -> Sequence[str]:
    """A column as a spreadsheet may open it: nothing in it is run as a formula."""
    cells = rows.cells.get(name, [""] * len(rows.lines))
    return neutralise(pd.Series(cells, dtype=object)).tolist() if cells else cells
