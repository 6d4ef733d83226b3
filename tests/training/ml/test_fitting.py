import json

import numpy as np
import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, reports, row
from training.ml.errors import NothingToLearnError
from training.ml.evaluate import hold_out, measure
from training.ml.features import count_reports
from training.ml.fitting import fit_and_measure
from training.ml.held_out import select
from training.ml.metrics import FIGURES
from training.ml.neighbours import vectors_of
from training.ml.ordinal import SCORES
from training.ml.records import TARGETS
from training.ml.scorer import AnomalyScorer, Suggestion


def same(one: dict[str, Suggestion], other: dict[str, Suggestion]) -> bool:
    return all(np.array_equal(one[target].distribution, other[target].distribution) for target in TARGETS)


def test_model_knows_every_record_and_the_twin_all_but_the_held_out() -> None:
    frame = reports()
    split = hold_out(frame)
    trained = fit_and_measure(frame)
    assert trained.twin is not None
    assert same(trained.scorer.predict(frame), AnomalyScorer().fit(frame).predict(frame))
    assert same(trained.twin.predict(frame), AnomalyScorer().fit(frame.iloc[split.train]).predict(frame))


def test_every_record_can_be_found_again() -> None:
    frame = reports()
    trained = fit_and_measure(frame)
    vectors = vectors_of(trained.scorer.features_, count_reports(frame))
    nearest = [found[0] for found in trained.neighbours.nearest(vectors, 1)]
    assert [found.anomaly_id for found in nearest] == frame["anomaly_id"].tolist()


def test_metrics_are_those_of_the_twin_on_the_held_out_rows() -> None:
    frame = reports()
    split = hold_out(frame)
    train, held_out = frame.iloc[split.train], frame.iloc[split.test]
    trained = fit_and_measure(frame)
    assert trained.metrics == {
        "protocol": "grouped_holdout",
        "records": 150,
        "duplicates_dropped": 0,
        "train_rows": len(train),
        "rows": len(held_out),
        **measure(AnomalyScorer().fit(train).predict(held_out), held_out, train),
    }
    assert json.loads(json.dumps(trained.metrics, allow_nan=False)) == trained.metrics
    assert trained.champion_metrics is None


def test_the_held_out_rows_are_kept_as_they_were_measured() -> None:
    frame = reports()
    trained = fit_and_measure(frame)
    kept = trained.held_out
    assert kept is not None
    assert kept["anomaly_id"].tolist() == frame["anomaly_id"].iloc[hold_out(frame).test].tolist()
    for target in TARGETS:
        confusion = trained.metrics["model"][target]["confusion_matrix"]
        assert confusion == [
            [len(select(kept, target=target, actual=a, suggested=s)) for s in SCORES] for a in SCORES
        ]


def test_champion_is_measured_on_the_same_rows() -> None:
    frame = reports()
    champion = fit_and_measure(frame[:60]).twin
    trained = fit_and_measure(frame, champion_twin=champion)
    held_out = frame.iloc[hold_out(frame).test]
    assert champion is not None
    assert trained.champion_metrics == measure(champion.predict(held_out), held_out, frame)["model"]
    assert fit_and_measure(frame, champion_twin=trained.twin).champion_metrics == trained.metrics["model"]


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    fit_and_measure(reports(), on_progress=lambda *step: told.append(step))
    assert told == [
        (1, 7, "reports counted"),
        (2, 7, "availability: fitted without the held-out records"),
        (3, 7, "fiability: fitted without the held-out records"),
        (4, 7, "process_safety: fitted without the held-out records"),
        (5, 7, "availability: fitted to every record"),
        (6, 7, "fiability: fitted to every record"),
        (7, 7, "process_safety: fitted to every record"),
    ]


def test_one_record_is_learned_and_nothing_is_measured() -> None:
    told: list[tuple[int, int, str]] = []
    frame = frame_of(row(equipment_name="", process_safety_score=2.5))
    champion = AnomalyScorer().fit(reports())
    trained = fit_and_measure(frame, champion_twin=champion, on_progress=lambda *step: told.append(step))
    assert trained.twin is None
    assert trained.champion_metrics is None
    assert trained.held_out is None
    assert (trained.metrics["rows"], trained.metrics["train_rows"]) == (0, 1)
    model, dummy = trained.metrics["model"], trained.metrics["dummy"]
    assert {model[target][name] for target in TARGETS for name in FIGURES} == {None}
    assert dummy == model
    assert trained.scorer.predict(frame)["availability"].score.tolist() == [1]
    assert told[-1] == (4, 4, "process_safety: fitted to every record")


def test_nothing_to_learn() -> None:
    with pytest.raises(NothingToLearnError):
        fit_and_measure(frame_of())


def test_duplicates_are_learned_but_not_measured() -> None:
    frame = reports()
    repeated = pd.concat([frame, frame[:10]], ignore_index=True)
    metrics = fit_and_measure(repeated).metrics
    assert (metrics["records"], metrics["duplicates_dropped"]) == (150, 10)
    assert metrics["model"] == fit_and_measure(frame).metrics["model"]
