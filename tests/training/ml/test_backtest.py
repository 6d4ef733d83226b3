import numpy as np
import pandas as pd

from tests.training.ml.frames import frame_of
from tests.training.ml.worlds import in_month, plant
from training.ml.backtest import backtest
from training.ml.drift import drift_report
from training.ml.evaluate import evaluate
from training.ml.metrics import target_metrics
from training.ml.records import TARGETS


def test_a_backtest_is_the_rolling_evaluation_of_all_months() -> None:
    frame = plant(7)
    tested = backtest(frame)
    assert tested is not None
    assert tested.by == "backtest"
    assert sorted(tested.rows.tolist()) == np.flatnonzero(frame["detected_at"] >= "2023-06-01").tolist()
    rolling = evaluate(frame, protocol="rolling", cutoff=pd.Timestamp(2023, 6, 1))
    for target in TARGETS:
        actual = frame[f"{target}_score"].to_numpy()[tested.rows]
        assert target_metrics(tested.suggestions[target], actual) == rolling["model"][target]


def test_what_cannot_be_measured_is_left_out() -> None:
    frame = plant(7)
    frame.loc[0, "detected_at"] = pd.NaT
    frame.loc[1, "process_safety_score"] = np.nan
    both = pd.concat([frame, frame[in_month(frame, "2023-07")]], ignore_index=True)
    tested = backtest(both)
    assert tested is not None
    assert set(tested.rows) == set(np.flatnonzero(in_month(frame, "2023-07")))


def test_too_little_to_learn_from_is_no_backtest() -> None:
    assert backtest(plant(5)) is None
    assert backtest(frame_of()) is None


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    backtest(plant(6), on_progress=lambda *step: told.append(step))
    assert [step[:2] for step in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert told[1][2] == "2023-06: availability"


def test_it_is_compared_with_the_periods_before() -> None:
    frame = plant(12)
    frame.loc[in_month(frame, "2023-12"), "availability_score"] = 5.0
    tested = backtest(frame)
    assert tested is not None
    december = drift_report(frame, suggested=[tested]).periods[-1]
    (measured,) = december.found.accuracy
    assert measured.targets["availability"].expected is not None
    assert measured.targets["availability"].expected["rows"] == 240
    assert (december.verdict, december.findings[0].kind) == ("retrain", "error")
