import json

import numpy as np
import pytest

from training.ml.metrics import FIGURES, target_metrics
from training.ml.scorer import Suggestion


def sure(*scores: int, confidence: float = 1.0) -> Suggestion:
    """These scores, each with this probability; the rest goes to a neighbour."""
    distribution = np.zeros((len(scores), 5))
    for number, score in enumerate(scores):
        distribution[number, score - 1] = confidence
        distribution[number, score - 2 if score > 1 else 1] = 1 - confidence
    return Suggestion.of(distribution)


def test_every_figure_by_hand() -> None:
    # The squared distances if each of the five classes met each of the five suggestions equally often.
    by_chance = sum((a - b) ** 2 for a in (1, 2, 3, 4, 1) for b in (1, 1, 2, 5, 4)) / 5
    found = target_metrics(sure(1, 1, 2, 5, 4, confidence=0.75), np.array([1.0, 2.0, 2.5, 4.0, 1.0]))
    assert found == {
        "rows": 5,
        "mae": pytest.approx((0 + 1 + 0.5 + 1 + 3) / 5),
        "mse": pytest.approx((0 + 1 + 0.25 + 1 + 9) / 5),
        "rmse": pytest.approx((11.25 / 5) ** 0.5),
        "r2": pytest.approx(1 - 11.25 / 6.2),
        "exact": 0.2,
        "within_0.5": 0.4,
        "within_1": 0.8,
        "quadratic_weighted_kappa": pytest.approx(1 - (0 + 1 + 1 + 1 + 9) / by_chance),
        # Classes 1 (errors 0 and 3), 2, 3 and 4.
        "macro_mae": pytest.approx((1.5 + 1 + 0.5 + 1) / 4),
        "recall_ge_4": 1.0,
        "precision_ge_4": 0.5,
        "attention_recall": 1.0,
        "attention_precision": 0.5,
        # One bin: 0.75 sure, right one time in five.
        "expected_calibration_error": pytest.approx(0.55),
        "confusion_matrix": [
            [1, 0, 0, 1, 0],
            [1, 0, 0, 0, 0],
            [0, 1, 0, 0, 0],
            [0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0],
        ],
        "score_distribution": {
            "predicted": {"score_1": 2, "score_2": 1, "score_3": 0, "score_4": 1, "score_5": 1},
            "actual": {"score_1": 2, "score_2": 1, "score_3": 1, "score_4": 1, "score_5": 0},
        },
        "prediction": {"mean": 2.6, "std": pytest.approx(2.64**0.5), "min": 1.0, "max": 5.0},
    }


def test_perfect() -> None:
    found = target_metrics(sure(1, 4, 5), np.array([1.0, 4.0, 5.0]))
    assert [found[name] for name in FIGURES] == [0, 0, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0]


def test_what_is_not_defined_is_none() -> None:
    found = target_metrics(sure(1, 1), np.array([1.0, 1.0]))
    undefined = [name for name in FIGURES if found[name] is None]
    assert undefined == [
        "r2",
        "quadratic_weighted_kappa",
        "recall_ge_4",
        "precision_ge_4",
        "attention_recall",
        "attention_precision",
    ]


def test_constant_but_different_has_a_kappa() -> None:
    assert target_metrics(sure(2, 2), np.array([1.0, 1.0]))["quadratic_weighted_kappa"] == 0


def test_missed_and_false_alarms() -> None:
    found = target_metrics(sure(3, 4, 1, 5), np.array([4.0, 4.0, 5.0, 3.0]))
    assert found["recall_ge_4"] == pytest.approx(1 / 3)
    assert found["precision_ge_4"] == 0.5


def test_half_rounds_up() -> None:
    found = target_metrics(sure(4, 4), np.array([3.5, 3.4]))
    assert found["score_distribution"]["actual"]["score_4"] == 1
    assert found["exact"] == 0.5


def test_calibration_is_taken_by_bins() -> None:
    suggestion = Suggestion.of(
        np.array([[0.95, 0.05, 0, 0, 0], [0.95, 0.05, 0, 0, 0], [0.65, 0.35, 0, 0, 0]])
    )
    found = target_metrics(suggestion, np.array([1.0, 2.0, 1.0]))
    assert found["expected_calibration_error"] == pytest.approx((abs(1.9 - 1) + abs(0.65 - 1)) / 3)


def test_no_rows() -> None:
    found = target_metrics(Suggestion.of(np.empty((0, 5))), np.empty(0))
    assert found["rows"] == 0
    assert {found[name] for name in FIGURES} == {None}
    assert found["confusion_matrix"] == [[0] * 5] * 5
    assert found["score_distribution"]["actual"] == {f"score_{score}": 0 for score in range(1, 6)}
    assert found["prediction"] == {"mean": None, "std": None, "min": None, "max": None}


def test_is_plain_json() -> None:
    found = target_metrics(sure(1, 5, 3), np.array([1.0, 4.5, 3.0]))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
