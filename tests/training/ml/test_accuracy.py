from typing import Any

import numpy as np
import pytest
from scipy.stats import fisher_exact, ttest_ind

from training.ml.accuracy import Accuracy, accuracy_of
from training.ml.metrics import target_metrics
from training.ml.scorer import Suggestion


def suggesting(scores: Any, sure: float = 0.8) -> Suggestion:
    distribution = np.full((len(scores), 5), (1 - sure) / 4)
    distribution[np.arange(len(scores)), np.asarray(scores, dtype=int) - 1] = sure
    return Suggestion.of(distribution)


def off_by(*errors: int, sure: float = 0.8) -> tuple[Suggestion, Any]:
    """Suggestions of 5 whose reviews were so far below."""
    return suggesting([5] * len(errors), sure), 5.0 - np.array(errors, dtype=float)


HELD_OUT = target_metrics(*off_by(*[0] * 80, *[1] * 15, *[3] * 5))


def judged(*errors: int, sure: float = 0.8, held_out: dict[str, Any] | None = HELD_OUT) -> Accuracy:
    return accuracy_of(*off_by(*errors, sure=sure), held_out)


def test_the_figures_are_those_of_the_metrics() -> None:
    found = judged(*[0] * 30, *[1] * 10)
    figures = target_metrics(*off_by(*[0] * 30, *[1] * 10))
    assert (found.rows, found.mae, found.serious) == (40, 0.25, 40)
    assert found.expected_calibration_error == figures["expected_calibration_error"]
    assert found.overconfidence == pytest.approx(0.8 - 0.75)
    assert found.mae_interval == pytest.approx((0.25 - 0.1359, 0.25 + 0.1359), abs=1e-4)
    assert found.expected == {
        "rows": 100,
        "mae": pytest.approx(0.3),
        "mse": pytest.approx(0.6),
        "expected_calibration_error": pytest.approx(0.0),
        "attention_recall": 1.0,
        "serious": 95,
    }


def test_the_error_is_tested_by_welch() -> None:
    now = [0] * 10 + [2] * 30
    held_out = np.array([0] * 80 + [1] * 15 + [3] * 5)
    expected = ttest_ind(now, held_out, equal_var=False, alternative="greater").pvalue
    found = judged(*now).error_p_value
    assert found == pytest.approx(expected, rel=0.1)  # held out: the spread of all, not of a sample
    assert found is not None
    assert found < 1e-9


def test_no_worse_than_held_out_is_no_alarm() -> None:
    found = judged(*[0] * 32, *[1] * 6, *[3] * 2)
    assert found.error_p_value == pytest.approx(0.5)
    assert found.recall_p_value == 1.0


def test_boasting_is_tested_against_the_held_out_calibration() -> None:
    sound, boasting = judged(*[0] * 32, *[1] * 8), judged(*[0] * 32, *[1] * 8, sure=0.999)
    assert sound.calibration_p_value == pytest.approx(0.5)
    assert boasting.overconfidence == pytest.approx(0.199)
    assert boasting.calibration_p_value is not None
    assert boasting.calibration_p_value < 1e-9


def test_the_recall_is_tested_by_fisher() -> None:
    actual = np.array([5.0] * 10 + [1.0] * 30)
    found = accuracy_of(suggesting([5] * 2 + [1] * 38, sure=0.9), actual, HELD_OUT)
    assert (found.serious, found.attention_recall) == (10, 0.2)
    assert found.attention_recall_interval == pytest.approx((0.0567, 0.5098), abs=1e-4)
    expected = fisher_exact([[2, 8], [95, 0]], alternative="less").pvalue
    assert found.recall_p_value == pytest.approx(expected)


@pytest.mark.parametrize("held_out", [None, {}, target_metrics(suggesting([]), np.array([]))])
def test_nothing_held_out_is_nothing_to_compare_with(held_out: dict[str, Any] | None) -> None:
    found = judged(*[0] * 40, held_out=held_out)
    assert found.mae == 0
    assert found.expected is None
    assert {found.error_p_value, found.calibration_p_value, found.recall_p_value} == {None}


def test_few_reviews_give_figures_without_a_verdict() -> None:
    found = judged(*[3] * 29)
    assert (found.mae, found.error_p_value) == (3.0, None)
    assert judged(*[3] * 30).error_p_value is not None


def test_one_review_has_no_interval() -> None:
    assert judged(2).mae_interval is None


def test_errors_that_never_vary() -> None:
    perfect = target_metrics(*off_by(*[0] * 50))
    assert judged(*[0] * 40, held_out=perfect).error_p_value == 1.0
    assert judged(*[2] * 40, held_out=perfect).error_p_value == 0.0


def test_certainty_has_no_spread_to_test_calibration_by() -> None:
    assert judged(*[0] * 40, sure=1.0).calibration_p_value is None
