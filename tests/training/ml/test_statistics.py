import json

from tests.training.ml.frames import frame_of, row
from training.ml.records import TARGETS
from training.ml.statistics import training_statistics


def test_facts_about_a_training_set() -> None:
    frame = frame_of(
        row(availability_score=1),
        row(availability_score=4, description=" "),
        row(availability_score=2.5, equipment_id=""),
        row(availability_score=float("nan")),
        row(availability_score=9, description="autre"),
    )
    found = training_statistics(frame)
    assert list(found) == list(TARGETS)
    assert found["availability"] == {
        "total_records": 5,
        "valid_target_records": 3,
        "target_statistics": {"mean": 2.5, "std": 1.5**0.5},
        "target_distribution": {"score_1": 1, "score_2": 0, "score_3": 1, "score_4": 1, "score_5": 0},
        # The fourth row repeats equipment, text and time of the first.
        "data_quality": {"missing_descriptions": 1, "missing_equipment_ids": 1, "duplicate_records": 1},
    }
    assert found["fiability"]["valid_target_records"] == 5
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_facts_about_nothing() -> None:
    assert training_statistics(frame_of())["process_safety"] == {
        "total_records": 0,
        "valid_target_records": 0,
        "target_statistics": {"mean": None, "std": None},
        "target_distribution": {f"score_{score}": 0 for score in range(1, 6)},
        "data_quality": {"missing_descriptions": 0, "missing_equipment_ids": 0, "duplicate_records": 0},
    }
