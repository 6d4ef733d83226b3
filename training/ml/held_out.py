"""The held-out records as they were measured: what the counts of a confusion matrix are counts of.

One more file of a version, a gzipped CSV without any code in it. Columns: `anomaly_id`, and of each target
`<target>_score`, what was actually given, and `<target>_suggested`, what the twin said.
"""

import csv
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.ml.manifest import Manifest
from training.ml.records import SCORE_COLUMNS, TARGETS, whole_scores

HELD_OUT = "held_out.csv.gz"
COMPRESSION = {"method": "gzip", "compresslevel": 1}


def held_out_records(actual: pd.DataFrame, suggested: Mapping[str, NDArray[np.int64]]) -> pd.DataFrame:
    """The rows of `actual`, with the whole scores of each target that were suggested for them."""
    found = actual[["anomaly_id", *SCORE_COLUMNS]].reset_index(drop=True)
    return found.assign(**{f"{target}_suggested": suggested[target] for target in TARGETS})


def write_held_out(path: Path, records: pd.DataFrame) -> None:
    """Write the file into the directory."""
    records.to_csv(
        path / HELD_OUT,
        index=False,
        quoting=csv.QUOTE_NONNUMERIC,  # an id may hold anything
        lineterminator="\n",
        compression=COMPRESSION,
    )


def read_held_out(manifest: Manifest) -> pd.DataFrame:
    """The records of a directory whose manifest is genuine.

    Raises TamperedArtifactError when the file is not what was signed, or there is none.
    """
    return pd.read_csv(
        BytesIO(manifest.read(HELD_OUT)), compression="gzip", dtype={"anomaly_id": str}, keep_default_na=False
    )


def select(
    records: pd.DataFrame, *, target: str = "", actual: int | None = None, suggested: int | None = None
) -> pd.DataFrame:
    """Those with that actual score, rounded half up as it was measured, and that suggested one.

    The farthest errors of the target come first. Without a target: of any of the three, and the sum of
    their errors.
    """
    fits, error = np.zeros(len(records), dtype=bool), np.zeros(len(records))
    for name in (target,) if target else TARGETS:
        given = records[f"{name}_score"].to_numpy(dtype=np.float64)
        said = records[f"{name}_suggested"].to_numpy()
        wanted = np.ones(len(records), dtype=bool)
        if actual is not None:
            wanted &= whole_scores(given) == actual
        if suggested is not None:
            wanted &= said == suggested
        fits |= wanted
        error += np.abs(said - given)
    chosen = np.flatnonzero(fits)
    return records.iloc[chosen[np.argsort(-error[chosen], kind="stable")]]
