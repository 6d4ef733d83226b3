"""Which approved scores deserve a second look: the three ways to doubt a label, on one training set."""

from typing import Any

import pandas as pd

from training.ml.conflicts import find_conflicts
from training.ml.features import count_reports
from training.ml.findings import CONFLICT, IMPLAUSIBLE, NEAR_DUPLICATE, Found
from training.ml.implausible import find_implausible, folds_of
from training.ml.near_duplicates import find_near_duplicates
from training.ml.progress import OnProgress, Steps
from training.ml.records import TARGETS

KEPT = 10_000  # findings of a kind; nobody reads more, and evidence takes room


def examine_labels(
    frame: pd.DataFrame, *, limit: int = KEPT, on_progress: OnProgress | None = None
) -> dict[str, Found]:
    """By kind, the `limit` most suspicious findings. Exact duplicates stay: they are findings themselves."""
    folds = folds_of(frame)
    steps = Steps(3 + folds * len(TARGETS), on_progress)
    counts = count_reports(frame)
    steps.step("reports counted")
    conflicts = find_conflicts(frame, limit=limit)
    steps.step("conflicts found")
    near_duplicates = find_near_duplicates(frame, counts, limit=limit)
    steps.step("near-duplicates found")
    implausible = find_implausible(frame, counts, folds=folds, limit=limit, steps=steps)
    return {IMPLAUSIBLE: implausible, CONFLICT: conflicts, NEAR_DUPLICATE: near_duplicates}


def summary(found: dict[str, Found]) -> dict[str, Any]:
    """Counts and figures of each kind, and `anomalies`, how many rows the kept ones are about: plain JSON."""
    return {
        kind: {
            "found": each.count,
            "kept": len(each.findings),
            "anomalies": len({finding.row for finding in each.findings}),
            **each.facts,
        }
        for kind, each in found.items()
    }
