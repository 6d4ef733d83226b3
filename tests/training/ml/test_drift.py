import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.training.ml.frames import frame_of, row
from tests.training.ml.worlds import in_month, plant, with_prefix
from training.ml.drift import DriftReport, Period, drift_report
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.ml.scorer import Suggestion
from training.ml.stretches import Suggested

TOO_FEW_BEFORE = 5  # months of 40 reports until there are 200


def verdicts(report: DriftReport) -> dict[str, str]:
    """Those that are not quiet."""
    return {each.label: each.verdict for each in report.periods if each.verdict not in {"ok", "too few"}}


def period(report: DriftReport, label: str) -> Period:
    (found,) = (each for each in report.periods if each.label == label)
    return found


def kinds(period: Period) -> list[str]:
    return [finding.kind for finding in period.findings]


def suggested_as(
    frame: pd.DataFrame, *, right: "pd.Series[bool] | bool", sure: float = 0.8, by: str = "version 1"
) -> Suggested:
    """Suggestions for the whole frame of that confidence; where not right, two points off."""
    suggestions = {}
    for target in TARGETS:
        actual = frame[f"{target}_score"].to_numpy().astype(int)
        said = np.where(right, actual, (actual + 1) % 5 + 1)
        distribution = np.full((len(frame), 5), (1 - sure) / 4)
        distribution[np.arange(len(frame)), said - 1] = sure
        suggestions[target] = Suggestion.of(distribution)
    return Suggested(by=by, rows=np.arange(len(frame)), suggestions=suggestions, held_out=None)


@pytest.mark.parametrize("seed", range(5))
def test_a_world_that_stands_still_is_quiet(seed: int) -> None:
    report = drift_report(plant(18, seed=seed))
    assert [each.verdict for each in report.periods] == ["too few"] * TOO_FEW_BEFORE + ["ok"] * 13
    assert [finding for each in report.periods for finding in each.findings] == []


def test_a_new_prefix_that_moves_scores_is_flagged_when_it_appears() -> None:
    report = drift_report(with_prefix(plant(), "URGENT", since="2023-09-01"))
    september = period(report, "2023-09")
    assert [each.label for each in report.periods if each.verdict == "retrain"] == ["2023-09"]
    assert "2023-08" not in verdicts(report)
    (term,) = september.found.terms
    assert term.terms == ["urgent", "urgent …"]
    assert (term.is_new, term.reports, term.mentions_before) == (True, 10, 0)
    assert term.moved == ["process_safety"]
    assert september.findings[0].kind == "term"
    assert september.findings[0].sentence == (
        'New: "urgent", "urgent …", in 25.0% of the reports; in 0.0% before. '
        "Such reports score 2.2 points higher on process safety."
    )


def test_a_new_prefix_without_effect_is_worth_a_look() -> None:
    quiet = with_prefix(plant(), "NOTA", since="2023-09-01", process_safety=None)
    september = period(drift_report(quiet), "2023-09")
    assert (september.verdict, kinds(september)) == ("look", ["term"])
    assert september.found.terms[0].effects is not None


def test_a_new_prefix_of_reports_that_nobody_reviewed_is_worth_a_look() -> None:
    frame = with_prefix(plant(), "URGENT", since="2023-09-01")
    frame.loc[frame["detected_at"] >= "2023-09-01", list(SCORE_COLUMNS)] = np.nan
    september = period(drift_report(frame), "2023-09")
    assert (september.verdict, september.reports, september.reviewed) == ("look", 40, 0)
    assert september.found.terms[0].effects is None
    assert september.findings[0].sentence.endswith("to tell what it does to the scores.")


def test_copies_of_a_report_make_no_term() -> None:
    frame = plant()
    one = frame[in_month(frame, "2023-09")].iloc[[0]].assign(description="URGENT arc flash")
    times = pd.date_range("2023-09-01", periods=20, freq="D")
    copies = pd.concat([one] * 20).assign(
        detected_at=times.astype("datetime64[us]"), equipment_id=[f"eq-{n}" for n in range(20)]
    )
    assert verdicts(drift_report(pd.concat([frame, copies], ignore_index=True))) == {}


@pytest.mark.parametrize("same", [{"equipment_id": "eq-1"}, {"detected_at": pd.Timestamp(2023, 9, 5)}])
def test_neither_does_one_bad_machine_nor_one_busy_day(same: dict[str, Any]) -> None:
    frame = plant()
    chosen = in_month(frame, "2023-09")
    burst = with_prefix(frame[chosen], "URGENT", since="2023-09-01").assign(**same)
    report = drift_report(pd.concat([frame[~chosen], burst], ignore_index=True))
    assert [each.found.terms for each in report.periods] == [[]] * 12


def test_scores_that_move_without_words_are_worth_a_look() -> None:
    frame = plant()
    chosen = in_month(frame, "2023-10")
    frame.loc[chosen, "availability_score"] = (frame.loc[chosen, "availability_score"] + 2).clip(upper=5)
    report = drift_report(frame)
    october = period(report, "2023-10")
    assert verdicts(report) == {"2023-10": "look"}
    assert kinds(october) == ["scores"]
    assert october.found.scores is not None
    shift = october.found.scores["availability"]
    assert october.findings[0].sentence == (
        f"The scores of availability moved by {shift.distance:.2f} points: mean {shift.mean:.2f}, "
        f"{shift.reference_mean:.2f} before."
    )


def test_the_same_scores_for_everything_are_worth_a_look_and_no_reference() -> None:
    frame = plant()
    frame.loc[in_month(frame, "2023-09"), list(SCORE_COLUMNS)] = [3.0, 1.0, 3.0]
    report = drift_report(frame)
    september = period(report, "2023-09")
    assert verdicts(report) == {"2023-09": "look"}
    assert kinds(september)[-1] == "uniform"
    assert september.findings[-1].sentence == (
        "100% of the reviewed reports have the same scores 3 / 1 / 3 (0% before): "
        "check these reviews before a model learns from them."
    )
    without = drift_report(frame[~in_month(frame, "2023-09")].reset_index(drop=True))
    assert period(report, "2023-10").found.scores == period(without, "2023-10").found.scores


def test_unknown_words_and_equipment_are_worth_a_look() -> None:
    frame = plant()
    chosen = frame.index[in_month(frame, "2023-11")]
    foreign = [f"mot{n}a mot{n}b mot{n}c" for n in range(len(chosen))]
    frame.loc[chosen, "description"] = foreign
    frame.loc[chosen, "equipment_id"] = [f"new-{n}" for n in range(len(chosen))]
    november = period(drift_report(frame), "2023-11")
    assert (november.verdict, kinds(november)) == ("look", ["novelty", "novelty"])
    assert november.findings[0].sentence == "100.0% of the words were never seen before; 0.0% is usual."
    assert november.found.novelty is not None
    assert november.found.novelty.mostly_unknown == 1.0


def test_errors_above_those_of_the_periods_before_ask_to_retrain() -> None:
    frame = plant()
    bad = in_month(frame, "2023-12") & (np.arange(len(frame)) % 2 == 0)
    usual = np.arange(len(frame)) % 5 == 1
    report = drift_report(frame, suggested=[suggested_as(frame, right=~(bad | usual))])
    december = period(report, "2023-12")
    assert verdicts(report) == {"2023-12": "retrain"}
    assert {"error", "calibration"} <= set(kinds(december))
    (measured,) = december.found.accuracy
    found = measured.targets["availability"]
    assert (measured.by, found.rows) == ("version 1", 40)
    assert found.expected is not None
    error = f"{found.mae:.2f} points; {found.expected['mae']:.2f} was expected."
    assert f"version 1, availability: the error on 40 reviewed reports is {error}" in {
        finding.sentence for finding in december.findings
    }


def test_calibration_that_worsened_is_worth_a_look() -> None:
    frame = plant()
    late = in_month(frame, "2023-12").to_numpy()
    sound = suggested_as(frame, right=np.arange(len(frame)) % 5 != 1)
    boasting = suggested_as(frame, right=np.arange(len(frame)) % 5 != 1, sure=0.999)
    suggestions = {
        target: Suggestion.of(
            np.where(late[:, None], boasting.suggestions[target].distribution, each.distribution)
        )
        for target, each in sound.suggestions.items()
    }
    said = Suggested(by="version 1", rows=sound.rows, suggestions=suggestions, held_out=None)
    december = period(drift_report(frame, suggested=[said]), "2023-12")
    assert (december.verdict, kinds(december)) == ("look", ["calibration"] * 3)
    assert december.findings[0].sentence.startswith(
        "version 1, availability: suggestions on 40 reviewed reports are 20% surer than right;"
    )


def test_errors_against_filled_in_reviews_do_not_ask_to_retrain() -> None:
    frame = plant()
    right = ~in_month(frame, "2023-12")
    frame.loc[~right, list(SCORE_COLUMNS)] = [3.0, 1.0, 3.0]
    december = period(drift_report(frame, suggested=[suggested_as(frame, right=right)]), "2023-12")
    assert {"error", "uniform"} <= set(kinds(december))
    assert december.verdict == "look"


def test_since_a_model_learned() -> None:
    frame = with_prefix(plant(), "URGENT", since="2023-09-01")
    learned = (frame["detected_at"] < "2023-09-01").to_numpy()
    right = suggested_as(frame, right=True)
    other = suggested_as(frame, right=True, by="version 2")
    report = drift_report(frame, suggested=[right, other], learned=learned, learned_by="version 1")
    assert report.since is not None
    assert (report.since.label, report.since.verdict, report.since.reports) == ("version 1", "retrain", 160)
    assert report.since.distinct_texts_before == 320
    assert [each.terms for each in report.since.found.terms] == [["urgent", "urgent …"]]
    assert [each.by for each in report.since.found.accuracy] == ["version 1"]
    assert report.as_json()["verdict"] == "retrain"


def test_nothing_came_since_a_model_learned() -> None:
    frame = plant()
    report = drift_report(frame, learned=np.ones(len(frame), dtype=bool), learned_by="version 1")
    assert report.since is not None
    assert (report.since.verdict, report.since.reports, report.since.findings) == ("too few", 0, [])


def test_undated_reports_belong_to_no_period_but_may_be_unlearned() -> None:
    frame = with_prefix(plant(), "URGENT", since="2023-12-01", every=1)
    frame.loc[in_month(frame, "2023-12"), "detected_at"] = pd.NaT
    learned = frame["detected_at"].notna().to_numpy()
    report = drift_report(frame, learned=learned, learned_by="version 1")
    assert (report.undated, len(report.periods), verdicts(report)) == (40, 11, {})
    assert report.since is not None
    assert (report.since.reports, report.since.found.terms) == (40, [])  # of one day, for all that is known


def test_few_reports_a_month_are_looked_at_by_quarter() -> None:
    report = drift_report(plant(24, a_month=20))
    assert report.period_length == "quarter"
    assert [each.label for each in report.periods][:2] == ["2023Q1", "2023Q2"]
    assert [each.verdict for each in report.periods] == ["too few"] * 4 + ["ok"] * 4


def test_a_small_period_is_not_judged() -> None:
    frame = plant()
    small = pd.concat([frame[~in_month(frame, "2023-12")], frame[in_month(frame, "2023-12")][:19]])
    assert drift_report(small.reset_index(drop=True)).periods[-1].verdict == "too few"


@pytest.mark.parametrize(
    ("frame", "periods"),
    [
        (frame_of(), 0),
        (frame_of(row()), 1),
        (frame_of(row(detected_at=None)), 0),
        (frame_of(row(description="?")), 1),
    ],
)
def test_next_to_nothing(frame: pd.DataFrame, periods: int) -> None:
    learned = np.zeros(len(frame), dtype=bool)
    report = drift_report(frame, learned=learned, learned_by="version 1")
    content = report.as_json()
    assert (content["verdict"], len(content["periods"])) == ("too few", periods)
    assert content["since_version"]["reports"] == len(frame)


def test_the_report_is_plain_json_and_always_the_same() -> None:
    frame = with_prefix(plant(), "URGENT", since="2023-09-01")
    said = [suggested_as(frame, right=True)]
    content = drift_report(frame, suggested=said).as_json()
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert drift_report(frame, suggested=said).as_json() == content


def test_the_order_of_the_rows_does_not_matter() -> None:
    frame = with_prefix(plant(), "URGENT", since="2023-09-01")
    shuffled = frame.sample(frac=1, random_state=1).reset_index(drop=True)
    assert verdicts(drift_report(shuffled)) == verdicts(drift_report(frame))
