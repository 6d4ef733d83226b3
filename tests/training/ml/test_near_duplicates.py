from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfTransformer

from tests.training.ml.frames import frame_of, reports, row
from training.ml import near_duplicates
from training.ml.features import count_reports
from training.ml.findings import Finding, Found
from training.ml.near_duplicates import find_near_duplicates, like_pairs

TEXT = "vibration élevée au palier du ventilateur de tirage"
START = datetime(2024, 1, 1)  # noqa: DTZ001  # frames hold naive UTC


def told(days: float | None, text: str = TEXT, **changes: Any) -> dict[str, Any]:
    when = None if days is None else START + timedelta(days=days)
    return row(description=text, detected_at=when, **changes)


def found_in(*rows: dict[str, Any], limit: int = 100) -> list[Finding]:
    frame = frame_of(*rows)
    return find_near_duplicates(frame, count_reports(frame), limit=limit).findings


def pairs(*rows: dict[str, Any]) -> list[tuple[int, int]]:
    """(later, earlier)."""
    frame = frame_of(*rows)
    found = like_pairs(frame, count_reports(frame))
    return list(zip(found["later"].tolist(), found["earlier"].tolist(), strict=True))


def test_an_event_told_twice() -> None:
    other = told(2.5, TEXT + " B", anomaly_id="A-2", fiability_score=3)
    (finding,) = found_in(told(0), other)
    assert (finding.row, finding.other, finding.target) == (1, 0, "")
    assert finding.suspicion == finding.evidence["similarity"] == pytest.approx(0.98, abs=0.02)
    assert finding.evidence["days_apart"] == 2.5
    assert finding.evidence["differing"] == ["fiability"]
    assert [said["anomaly_id"] for said in finding.evidence["reports"]] == ["A-2", "A-1"]
    assert [said["fiability_score"] for said in finding.evidence["reports"]] == [3, 1]


def test_conflicting_scores_come_first() -> None:
    found = found_in(
        told(0), told(1), told(0, "fuite vapeur vanne de purge"), told(1, "fuite vapeur vanne de purge B"),
        told(2, "fuite vapeur vanne de purge B", process_safety_score=5),
    )  # fmt: skip
    assert [(finding.row, finding.other, finding.evidence["differing"]) for finding in found] == [
        (4, 2, ["process_safety"]),
        (1, 0, []),
        (3, 2, []),
    ]
    assert found[1].suspicion == 0.25


def test_the_likeness_is_the_mean_of_the_cosines_of_words_and_pieces() -> None:
    frame = frame_of(told(0), told(1, TEXT + " B"))
    counts = count_reports(frame)
    (similarity,) = like_pairs(frame, counts)["similarity"]
    cosines = []
    for name in ("words", "pieces"):
        weighed = TfidfTransformer(sublinear_tf=True).fit_transform(counts[name].matrix).toarray()
        cosines.append(weighed[0] @ weighed[1])
    assert similarity == pytest.approx(np.mean(cosines), abs=1e-4)


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (told(0), told(90), True),
        (told(0), told(90.01), False),
        (told(None), told(None), True),
        (told(None), told(0), False),
        (told(0), told(0), True),
        (told(0), told(1, equipment_id="eq-2"), False),
        (told(0), told(1, TEXT.upper() + "."), True),
        (told(0), told(1, TEXT, availability_score=2), False),  # a conflict
        (told(0), told(1, TEXT + " B", availability_score=2), True),
        (told(0), told(1, "bruit anormal au démarrage"), False),
        (told(0, "???"), told(1, "???"), False),
    ],
)
def test_what_is_a_near_duplicate(first: dict[str, Any], second: dict[str, Any], alike: bool) -> None:
    assert pairs(first, second) == ([(1, 0)] if alike else [])


def test_each_report_has_its_likest_earlier_one_and_of_equals_the_latest() -> None:
    assert pairs(told(3), told(0), told(1), told(2, TEXT + " B")) == [(0, 2), (2, 1), (3, 2)]


def test_chunks_and_reach_change_nothing_nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.concat([reports(), reports().assign(anomaly_id="again")], ignore_index=True)
    whole = like_pairs(frame, count_reports(frame))
    assert len(whole) >= 150
    monkeypatch.setattr(near_duplicates, "CHUNK", 7)
    monkeypatch.setattr(near_duplicates, "REACH", 30)
    pd.testing.assert_frame_equal(like_pairs(frame, count_reports(frame)), whole)


def test_only_so_many_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first is beyond the reach of the last: between them stand others, of the same equipment."""
    between = [told(n, f"bruit {word}") for n, word in enumerate(("sourd", "aigu", "grave", "fort"), start=1)]
    monkeypatch.setattr(near_duplicates, "CHUNK", 1)
    monkeypatch.setattr(near_duplicates, "REACH", 4)
    assert pairs(told(0), *between, told(9)) == []
    assert pairs(told(0), *between[:3], told(9)) == [(4, 0)]


def test_the_limit_keeps_the_first_and_counts_all() -> None:
    frame = frame_of(told(0), told(1), told(2, TEXT + " B", fiability_score=2))
    found = find_near_duplicates(frame, count_reports(frame), limit=1)
    assert (found.count, [finding.row for finding in found.findings]) == (2, [2])
    assert found.facts == {"conflicting": 1, "agreeing": 1}


@pytest.mark.parametrize("frame", [frame_of(), frame_of(row())])
def test_nothing_to_compare(frame: pd.DataFrame) -> None:
    found = find_near_duplicates(frame, count_reports(frame), limit=9)
    assert found == Found(count=0, findings=[], facts={"conflicting": 0, "agreeing": 0})
