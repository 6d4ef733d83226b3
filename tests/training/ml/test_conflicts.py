from typing import Any

import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, row
from training.ml.conflicts import find_conflicts
from training.ml.findings import Finding, Found


def scored(*scores: float, **changes: Any) -> list[dict[str, Any]]:
    """One text on one equipment, with these availability scores."""
    return [
        row(anomaly_id=f"A-{number}", availability_score=score, **changes)
        for number, score in enumerate(scores)
    ]


def conflicts(*rows: dict[str, Any], limit: int = 100) -> list[Finding]:
    return find_conflicts(frame_of(*rows), limit=limit).findings


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([1], {}),
        ([1, 1], {}),
        ([1, 5], {0: 0.9, 1: 0.9}),
        ([1, 1, 5], {2: 0.9333}),
        ([1, 1, 1, 1, 5], {4: 0.96}),
        ([1, 1, 3, 3], {0: 0.7, 1: 0.7, 2: 0.7, 3: 0.7}),
        ([1, 2, 3], {0: 0.9333, 1: 0.9333, 2: 0.9333}),
        ([2, 2.5], {0: 0.9, 1: 0.9}),
    ],
)
def test_a_score_with_which_fewer_than_half_agree_is_listed(
    scores: list[float], expected: dict[int, float]
) -> None:
    found = conflicts(*scored(*scores))
    assert {finding.row: round(finding.suspicion, 4) for finding in found} == expected
    assert {finding.target for finding in found} <= {"availability"}


def test_the_whole_group_is_the_evidence() -> None:
    rows = scored(1, 1, 2, 5)
    rows[0] |= {"description": "FUITE D'EAU AU PRESSE ETOUPE !", "detected_at": None, "fiability_score": 2}
    finding = next(finding for finding in conflicts(*rows) if finding.row == 3)
    assert finding.other == 0
    assert finding.evidence == {
        "same_equipment": True,
        "reviewed": 5.0,
        "others": 3,
        "others_by_score": {"1": 2, "2": 1},
        "spread": {"availability": 4.0, "fiability": 1.0, "process_safety": 0.0},
        "reports": [
            {
                "anomaly_id": "A-0",
                "equipment_id": "eq-1",
                "detected_at": None,
                "availability_score": 1.0,
                "fiability_score": 2.0,
                "process_safety_score": 1.0,
            },
            *(
                {
                    "anomaly_id": f"A-{number}",
                    "equipment_id": "eq-1",
                    "detected_at": "2024-01-01T00:00:00Z",
                    "availability_score": float(number),
                    "fiability_score": 1.0,
                    "process_safety_score": 1.0,
                }
                for number in (1, 2)
            ),
        ],
    }


def test_other_equipment_counts_half_and_stands_behind() -> None:
    elsewhere = [row(anomaly_id="B", description="bruit", equipment_id=f"eq-{n}") for n in range(3)]
    elsewhere[2]["fiability_score"] = 5
    found = conflicts(*elsewhere, *scored(1, 2))
    assert [(finding.row, finding.evidence["same_equipment"]) for finding in found] == [
        (3, True),
        (4, True),
        (2, False),
    ]
    assert found[2].suspicion == pytest.approx(0.9333 / 2, abs=1e-4)
    assert found[2].evidence["others_by_score"] == {"1": 2}


def test_where_its_own_equipment_disagrees_the_others_are_not_asked() -> None:
    rows = [*scored(1, 5), row(equipment_id="eq-2", availability_score=5)]
    found = {finding.row: finding.evidence["others"] for finding in conflicts(*rows)}
    assert found == {0: 1, 1: 1}


def test_of_equals_the_wider_spread_comes_first() -> None:
    rows = [*scored(1, 2, description="bruit"), *scored(1, 4, description="fuite")]
    assert [finding.row for finding in conflicts(*rows)] == [2, 3, 0, 1]


def test_a_large_group_shows_ten_and_counts_all() -> None:
    (finding,) = conflicts(*scored(*[1] * 30, 4))
    assert (finding.evidence["others"], len(finding.evidence["reports"])) == (30, 10)


def test_the_limit_keeps_the_first_and_counts_all() -> None:
    frame = frame_of(*scored(1, 2), *scored(1, 1, 4, description="bruit"))
    found = find_conflicts(frame, limit=1)
    assert (found.count, [finding.row for finding in found.findings]) == (3, [4])
    assert found.facts == {"same_equipment": 3, "other_equipment": 0}


@pytest.mark.parametrize("frame", [frame_of(), frame_of(row())])
def test_nothing_to_compare(frame: pd.DataFrame) -> None:
    facts = {"same_equipment": 0, "other_equipment": 0}
    assert find_conflicts(frame, limit=9) == Found(count=0, findings=[], facts=facts)


def test_texts_without_a_word_are_not_the_same_text() -> None:
    assert conflicts(*scored(1, 5, description="???")) == []
