import hashlib
import uuid

import numpy as np
import pandas as pd
import pytest

from training.datafiles.cells import derive_ids
from training.datafiles.checks import find_faults
from training.ml.evaluate import evaluate
from training.ml.records import COLUMNS, SCORE_COLUMNS, TARGETS, TEXT_COLUMNS
from training.ml.scorer import AnomalyScorer
from training.sample import sample_frame, unscored_sample_frame
from training.sample.tables import HAZARDS, KINDS, PLACES


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return sample_frame()


def test_the_sample_is_always_the_same(frame: pd.DataFrame) -> None:
    digest = hashlib.sha256(frame.to_csv(index=False).encode()).hexdigest()
    assert digest == "c9b1e528ba9a539bf631f7c14f418b7cacbf1976c27ca2147eaf4480f6d47a60"
    assert sample_frame().equals(frame)


def test_the_sample_is_large_varied_and_sound(frame: pd.DataFrame) -> None:
    assert list(frame.columns) == list(COLUMNS)
    assert frame.dtypes.astype(str).unique().tolist() == ["str", "datetime64[us]", "float64"]
    assert len(frame) == frame["anomaly_id"].nunique() == 720
    assert 100 <= frame["equipment_id"].nunique() <= 130
    assert frame["description"].nunique() > 450
    assert {str(uuid.UUID(value)) for value in frame["equipment_id"]} == set(frame["equipment_id"])
    assert frame.groupby("equipment_id")["equipment_name"].nunique().max() == 1
    texts = frame.assign(**{column: frame[column].astype(str) for column in ("detected_at", *SCORE_COLUMNS)})
    assert find_faults(texts) == []


def test_ids_are_those_of_an_import_so_that_an_export_needs_no_column_for_them(frame: pd.DataFrame) -> None:
    assert frame["anomaly_id"].equals(derive_ids(frame))


def test_two_years_in_order_and_some_reports_come_again(frame: pd.DataFrame) -> None:
    assert frame["detected_at"].is_monotonic_increasing
    assert (frame["detected_at"].min() < pd.Timestamp("2024-02-01"), frame["detected_at"].max().year) == (
        True,
        2025,
    )
    assert frame.duplicated(["equipment_id", "description"]).mean() > 0.1


@pytest.mark.parametrize(
    ("column", "ones", "fours_and_fives"),
    [
        ("availability_score", 0.51, (0.09, 0.13)),
        ("fiability_score", 0.75, (0.005, 0.02)),
        ("process_safety_score", 0.58, (0.12, 0.16)),
    ],
)
def test_the_scales_are_as_skewed_as_real_ones(
    frame: pd.DataFrame, column: str, ones: float, fours_and_fives: tuple[float, float]
) -> None:
    assert (frame[column] == 1).mean() == pytest.approx(ones, abs=0.03)
    assert fours_and_fives[0] <= (frame[column] >= 4).mean() <= fours_and_fives[1]
    assert frame[column].between(1, 5).all()


def test_a_model_learns_from_it(frame: pd.DataFrame) -> None:
    result = evaluate(frame, protocol="grouped")
    for target in TARGETS:
        assert result["model"][target]["mae"] < 0.75 * result["dummy"][target]["mae"]


def test_the_review_queue_gets_unscored_reports_of_later_weeks(frame: pd.DataFrame) -> None:
    unscored = unscored_sample_frame()
    assert len(unscored) == 30
    assert unscored[list(SCORE_COLUMNS)].isna().all(axis=None)
    assert unscored["detected_at"].min() > frame["detected_at"].max()
    assert set(unscored["equipment_id"]) & set(frame["equipment_id"])
    assert not set(unscored["anomaly_id"]) & set(frame["anomaly_id"])


def test_no_placeholder_is_left_in_a_text(frame: pd.DataFrame) -> None:
    assert not frame["description"].str.contains(r"[{}]").any()
    assert not frame["equipment_name"].str.contains(r"[{}]").any()


def test_every_fault_is_told_in_both_languages_with_scores_and_a_known_hazard() -> None:
    faults = [fault for kind in KINDS for fault in kind.faults]
    assert len(faults) > 100
    for fault in faults:
        assert fault.french != fault.english
        assert all(1 <= score <= 5 for score in fault.scores)
        assert fault.hazard in {"", *HAZARDS}
        for place in PLACES:
            assert (place in fault.french) == (place in fault.english)


def test_each_report_alone_is_its_row_of_the_frame_bit_for_bit(frame: pd.DataFrame) -> None:
    known = frame[::3]
    scorer = AnomalyScorer().fit(known)
    unseen = known.assign(section="", equipment_id=[f"eq-{n}" for n in range(len(known))])
    for reports in (known, known.assign(section="", system=""), unseen):
        together = scorer.predict(reports)
        for number, report in enumerate(reports.to_dict("records")):
            alone = scorer.predict({name: [report[name]] for name in TEXT_COLUMNS})
            for target in TARGETS:
                expected = together[target].distribution[number]
                assert np.array_equal(alone[target].distribution[0], expected), report
