import json
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, reports, row
from training.ml.evaluate import EvaluationError, dummy_distributions, evaluate, hold_out, measure
from training.ml.metrics import target_metrics
from training.ml.ordinal import median_scores
from training.ml.records import TARGETS, text_groups
from training.ml.scorer import AnomalyScorer, Suggestion


def at(*when: int) -> datetime:
    return datetime(*when)  # type: ignore[arg-type]  # noqa: DTZ001  # year, month, day …; frames hold naive UTC


def maes(metrics: dict[str, dict[str, Any]]) -> list[float]:
    return [metrics[target]["mae"] for target in TARGETS]


def refit(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, Any]:
    """What a plain fit on `train` gives on `test`."""
    suggestions = AnomalyScorer().fit(train).predict(test)
    return {
        target: target_metrics(suggestions[target], test[f"{target}_score"].to_numpy()) for target in TARGETS
    }


def test_grouped_measures_every_record_once() -> None:
    result = evaluate(reports(), protocol="grouped", folds=3)
    assert list(result) == [
        "protocol", "records", "duplicates_dropped", "folds", "rows", "model", "dummy",
    ]  # fmt: skip
    assert (result["protocol"], result["records"], result["folds"], result["rows"]) == (
        "grouped",
        150,
        3,
        150,
    )
    assert all(result[who][target]["rows"] == 150 for who in ("model", "dummy") for target in TARGETS)
    assert max(maes(result["model"])) < 0.1
    assert min(maes(result["dummy"])) > 0.6


def test_grouped_never_splits_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = reports()
    again = frame.assign(description=frame["description"].str.upper() + " !", equipment_id="elsewhere")
    both = pd.concat([frame, again], ignore_index=True)
    learned: list[set[str]] = []
    fit_counts = AnomalyScorer.fit_counts

    def spy(self: AnomalyScorer, counts: Any, train: pd.DataFrame, **options: Any) -> AnomalyScorer:
        learned.append(set(text_groups(train)))
        assert len(train) == 2 * len(learned[-1])
        return fit_counts(self, counts, train, **options)

    monkeypatch.setattr(AnomalyScorer, "fit_counts", spy)
    assert evaluate(both, protocol="grouped")["rows"] == 300
    texts = set(text_groups(frame))
    assert [len(texts - known) for known in learned] == [30] * 5
    assert set.union(*(texts - known for known in learned)) == texts


def test_exact_duplicates_are_dropped_first() -> None:
    frame = reports()
    repeated = pd.concat([frame, frame[:40]], ignore_index=True)
    once, twice = evaluate(frame, protocol="grouped"), evaluate(repeated, protocol="grouped")
    assert twice.pop("duplicates_dropped") == 40
    assert once.pop("duplicates_dropped") == 0
    assert once == twice


def test_temporal_is_a_plain_fit_on_what_came_before() -> None:
    frame = reports()
    result = evaluate(frame, protocol="temporal", cutoff=at(2024, 3, 1))
    before = frame["detected_at"] < at(2024, 3, 1)
    assert result["cutoff"] == "2024-03-01 00:00:00"
    assert (result["train_rows"], result["rows"], result["undated"]) == (107, 43, 0)
    assert result["model"] == refit(frame[before], frame[~before])
    dummy = Suggestion.of(dummy_distributions(frame[before], rows=43)["fiability"])
    assert result["dummy"]["fiability"] == target_metrics(
        dummy, frame.loc[~before, "fiability_score"].to_numpy()
    )


def test_temporal_cutoff_belongs_to_the_held_out_time() -> None:
    frame = reports()
    first = frame["detected_at"].iloc[100].to_pydatetime()
    assert evaluate(frame, protocol="temporal", cutoff=first)["train_rows"] == 100


def test_temporal_cuts_at_80_percent_by_default() -> None:
    shuffled = reports().sample(frac=1, random_state=1)
    result = evaluate(shuffled, protocol="temporal")
    assert (result["train_rows"], result["rows"]) == (120, 30)
    assert result["cutoff"] == "2024-04-25 00:00:00"


def test_temporal_says_how_many_texts_recur() -> None:
    frame = reports()
    later = frame[:7].assign(detected_at=pd.Timestamp(2025, 1, 1), equipment_id="elsewhere")
    result = evaluate(
        pd.concat([frame, later], ignore_index=True), protocol="temporal", cutoff=at(2024, 3, 1)
    )
    assert result["texts_seen_in_training"] == 7


def test_undated_reports_are_on_neither_side_of_a_time_split() -> None:
    frame = reports()
    frame.loc[:9, "detected_at"] = pd.NaT
    for protocol in ("temporal", "rolling"):
        assert evaluate(frame, protocol=protocol, cutoff=at(2024, 3, 1))["undated"] == 10
    assert evaluate(frame, protocol="temporal", cutoff=at(2024, 3, 1))["train_rows"] == 97


def test_rolling_is_a_plain_fit_a_month() -> None:
    frame = reports()
    result = evaluate(frame, protocol="rolling", cutoff=at(2024, 7, 1))
    times = frame["detected_at"]
    july = refit(frame[times < at(2024, 7, 1)], frame[(times >= at(2024, 7, 1)) & (times < at(2024, 8, 1))])
    august = refit(frame[times < at(2024, 8, 1)], frame[times >= at(2024, 8, 1)])
    assert result["periods"] == [
        {
            "label": "2024-07",
            "train_rows": 137,
            "rows": 8,
            "mae": dict(zip(TARGETS, maes(july), strict=True)),
        },
        {
            "label": "2024-08",
            "train_rows": 145,
            "rows": 5,
            "mae": dict(zip(TARGETS, maes(august), strict=True)),
        },
    ]
    assert result["rows"] == 13
    pooled = [(8 * first + 5 * last) / 13 for first, last in zip(maes(july), maes(august), strict=True)]
    assert maes(result["model"]) == pytest.approx(pooled)


def test_rolling_ends_with_the_newest_month_by_default() -> None:
    result = evaluate(reports(), protocol="rolling")
    assert result["cutoff"] == "2023-09-01 00:00:00"
    assert [period["label"] for period in result["periods"]] == [
        f"{year}-{month:02}"
        for year, months in ((2023, range(9, 13)), (2024, range(1, 9)))
        for month in months
    ]


def test_rolling_may_begin_within_a_month_and_skips_empty_ones() -> None:
    frame = reports()
    frame = frame[frame["detected_at"].dt.month != 6]
    result = evaluate(frame, protocol="rolling", cutoff=at(2024, 5, 15))
    assert [(period["label"], period["rows"]) for period in result["periods"]] == [
        ("2024-05", 5), ("2024-07", 8), ("2024-08", 5),
    ]  # fmt: skip


def test_the_same_data_gives_the_same_figures() -> None:
    assert evaluate(reports(), protocol="grouped") == evaluate(reports(), protocol="grouped")


@pytest.mark.parametrize("protocol", ["grouped", "temporal", "rolling"])
def test_result_is_plain_json(protocol: str) -> None:
    result = evaluate(reports(), protocol=protocol)
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_progress_is_told_to_the_end() -> None:
    told: list[tuple[int, int, str]] = []
    evaluate(
        reports(), protocol="temporal", cutoff=at(2024, 3, 1), on_progress=lambda *step: told.append(step)
    )
    assert told == [
        (1, 4, "reports counted"),
        (2, 4, "from 2024-03-01 00:00:00: availability"),
        (3, 4, "from 2024-03-01 00:00:00: fiability"),
        (4, 4, "from 2024-03-01 00:00:00: process_safety"),
    ]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"protocol": "random"}, "There is no protocol 'random': use one of grouped, temporal, rolling."),
        ({"protocol": "grouped", "folds": 1}, "At least two folds are needed."),
        ({"protocol": "grouped", "folds": 151}, "151 folds need as many different texts; there are 150."),
        *(
            (
                {"protocol": protocol, "cutoff": at(year, 1, 1)},
                f"There must be reports both before and after {year}-01-01 00:00:00.",
            )
            for protocol, year in (("temporal", 2030), ("temporal", 2023), ("rolling", 2030))
        ),
    ],
)
def test_what_cannot_be_split_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(EvaluationError) as raised:
        evaluate(reports(), **options)
    assert str(raised.value) == reason


@pytest.mark.parametrize("frame", [frame_of(), frame_of(row(detected_at=None))])
@pytest.mark.parametrize("protocol", ["temporal", "rolling"])
def test_reports_without_times_cannot_be_split_by_time(frame: pd.DataFrame, protocol: str) -> None:
    with pytest.raises(EvaluationError, match=r"^No report says when it was detected: nothing can be split"):
        evaluate(frame, protocol=protocol)


def test_hold_out_goes_by_the_text_alone() -> None:
    frame = reports()
    split = hold_out(frame)
    assert sorted([*split.train, *split.test]) == list(range(150))
    assert 15 < len(split.test) < 45
    chosen = set(text_groups(frame.iloc[split.test]))
    # The same texts in other words' order, other places, among fewer reports.
    later = frame[::-3].assign(equipment_id="x", description=frame["description"].str.upper() + ".")
    again = hold_out(later)
    assert set(text_groups(later.iloc[again.test])) == chosen & set(text_groups(later))
    assert not set(text_groups(later.iloc[again.train])) & chosen


def test_hold_out_is_the_same_for_ever() -> None:
    """Written down: another hash, share or normalisation would compare champions on texts they know."""
    texts = [f"fuite vanne {number}" for number in range(20)]
    split = hold_out(frame_of(*(row(description=text) for text in texts)))
    assert split.test.tolist() == [1, 4, 7, 14]


def test_hold_out_drops_exact_duplicates_on_both_sides() -> None:
    frame = reports()
    split = hold_out(pd.concat([frame, frame], ignore_index=True))
    assert max(*split.train, *split.test) == 149


def test_nothing_is_held_out_when_nothing_would_be_left() -> None:
    frame = reports()
    held_out = frame.iloc[hold_out(frame).test]
    split = hold_out(held_out)
    assert split.train.tolist() == list(range(len(held_out)))
    assert split.test.tolist() == []
    assert len(hold_out(frame_of()).train) == 0


def test_dummy_says_the_median_and_the_frequencies_of_its_training_rows() -> None:
    train = frame_of(row(availability_score=1), row(availability_score=2.5), row(availability_score=2.5))
    said = dummy_distributions(train, rows=2)["availability"]
    assert said == pytest.approx(np.array([[1 / 3, 1 / 3, 1 / 3, 0, 0]] * 2))
    assert median_scores(said).tolist() == [2, 2]


def test_measure_sets_the_dummy_beside_the_model() -> None:
    actual = frame_of(row(process_safety_score=5), row(process_safety_score=5))
    sure = Suggestion.of(np.array([[0.0, 0.0, 0.0, 0.0, 1.0]] * 2))
    found = measure(dict.fromkeys(TARGETS, sure), actual, frame_of(row()))
    assert maes(found["model"]) == [4, 4, 0]
    assert maes(found["dummy"]) == [0, 0, 4]
