import json

import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, reports, row
from training.ml.findings import KINDS
from training.ml.label_quality import examine_labels, summary


def doubtful() -> pd.DataFrame:
    """An implausible score, a text that recurs with another score, and a report that recurs as it was."""
    frame = reports()
    again = frame.iloc[[10, 20]].assign(anomaly_id=["again-10", "again-20"])
    again["fiability_score"] = [5.0, frame["fiability_score"].iloc[20]]
    frame.loc[62, "process_safety_score"] = 1
    return pd.concat([frame, again], ignore_index=True)


def test_each_kind_is_found() -> None:
    found = examine_labels(doubtful())
    assert tuple(found) == KINDS == ("implausible", "conflict", "near_duplicate")
    implausible = {(finding.row, finding.target) for finding in found["implausible"].findings}
    assert {(62, "process_safety"), (150, "fiability")} <= implausible
    assert {finding.row for finding in found["conflict"].findings} == {10, 150}
    assert (151, 20) in {(finding.row, finding.other) for finding in found["near_duplicate"].findings}


def test_all_is_plain_json() -> None:
    found = examine_labels(doubtful())
    evidence = [finding.evidence for each in found.values() for finding in each.findings]
    for content in (summary(found), evidence):
        assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_summary_counts() -> None:
    found = examine_labels(doubtful(), limit=1)
    content = summary(found)
    assert content["conflict"] == {
        "found": 2,
        "kept": 1,
        "anomalies": 1,
        "same_equipment": 2,
        "other_equipment": 0,
    }
    assert content["implausible"]["folds"] == 5


def test_the_same_data_gives_the_same_findings() -> None:
    assert examine_labels(doubtful()) == examine_labels(doubtful())


@pytest.mark.parametrize("frame", [frame_of(), frame_of(row())])
def test_nothing_is_found_in_one_report_or_none(frame: pd.DataFrame) -> None:
    assert [each.count for each in examine_labels(frame).values()] == [0, 0, 0]


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    examine_labels(reports(), on_progress=lambda *step: told.append(step))
    assert told[:4] == [
        (1, 18, "reports counted"),
        (2, 18, "conflicts found"),
        (3, 18, "near-duplicates found"),
        (4, 18, "fold 1: availability"),
    ]
    assert told[-1] == (18, 18, "fold 5: process_safety")
