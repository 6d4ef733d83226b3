from datetime import UTC, datetime
from functools import partial

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal

from tests.factories import AnomalyFactory, ApprovedFactory, report
from training.frames import (
    approved_frame,
    approved_frame_by_pk,
    fingerprint,
    iter_approved,
    reported_frame,
)
from training.ml.records import COLUMNS, SCORE_COLUMNS
from training.models import Anomaly, TrainingSession
from training.records import ScoredReport, store_records
from training.sessions import accept_batch

pytestmark = pytest.mark.django_db


def test_only_approved_anomalies_are_learnt_from() -> None:
    AnomalyFactory.create()
    ApprovedFactory.create(anomaly_id="B")
    ApprovedFactory.create(anomaly_id="A")
    frame = approved_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["anomaly_id"].tolist() == ["B", "A"]
    assert frame["process_safety_score"].tolist() == [3.0, 3.0]


def test_rows_may_be_found_by_primary_key() -> None:
    AnomalyFactory.create()
    anomalies = [ApprovedFactory.create() for _ in range(2)]
    keyed = approved_frame_by_pk()
    assert keyed.index.tolist() == [anomaly.pk for anomaly in anomalies]
    assert_frame_equal(keyed.reset_index(drop=True), approved_frame())


def test_an_empty_training_set_is_a_frame_too() -> None:
    frame = approved_frame()
    assert (len(frame), list(frame.columns)) == (0, list(COLUMNS))
    assert list(iter_approved()) == []


def test_chunks_are_the_whole_in_pieces() -> None:
    ApprovedFactory.create_batch(5)
    chunks = list(iter_approved(chunk_size=2))
    assert [len(chunk) for chunk in chunks] == [2, 2, 1]
    ids = [anomaly_id for chunk in chunks for anomaly_id in chunk["anomaly_id"]]
    assert ids == approved_frame()["anomaly_id"].tolist()


def test_the_fingerprint_knows_content_not_order() -> None:
    first = ApprovedFactory.create()
    ApprovedFactory.create()
    frame = approved_frame()
    assert fingerprint(frame) == fingerprint(frame.iloc[::-1])
    first.fiability_score = 1.5
    first.save(update_fields=["fiability_score"])
    assert fingerprint(approved_frame()) != fingerprint(frame)


def batch_of(*reports: ScoredReport) -> TrainingSession:
    """A session that came with these records."""
    session = accept_batch(reports=reports)
    session.refresh_from_db()
    return session


def test_before_a_session_its_batch_was_not_there() -> None:
    store = partial(store_records, user=None, source=Anomaly.Source.API)
    store(reports=[report(1), report(2), report(3)])
    store(reports=[report(3, fiability_score=5.0)], reason="a correction")
    AnomalyFactory.create(anomaly_id="R-4")
    before = approved_frame()
    session = batch_of(report(2), report(3, availability_score=1.0), report(4), report(5))
    assert (session.records_created, session.records_updated, session.records_unchanged) == (1, 2, 1)
    assert approved_frame()["anomaly_id"].tolist() == ["R-1", "R-2", "R-3", "R-4", "R-5"]
    assert_frame_equal(pd.concat(iter_approved(before=session)), before)
    assert_frame_equal(pd.concat(iter_approved(1, before=session), ignore_index=True), before)


def test_before_the_very_first_session_there_was_nothing() -> None:
    assert list(iter_approved(before=batch_of(report(1)))) == []


def test_reported_are_the_approved_and_the_pending_without_scores() -> None:
    when = datetime(2026, 3, 1, 8, tzinfo=UTC)
    approved = ApprovedFactory.create(detected_at=when)
    pending = AnomalyFactory.create(availability_score=5, source="import")
    api = AnomalyFactory.create(source="api")
    AnomalyFactory.create(status="rejected")
    frame = reported_frame()
    assert list(frame) == ["pk", *COLUMNS, "reviewed_at"]
    assert frame["pk"].tolist() == [approved.pk, pending.pk, api.pk]
    assert frame["process_safety_score"].tolist()[0] == 3.0
    assert frame[list(SCORE_COLUMNS)].notna().all(axis="columns").tolist() == [True, False, False]
    assert frame["detected_at"].tolist() == [
        pd.Timestamp(2026, 3, 1, 8), pd.NaT, pd.Timestamp(api.created_at).tz_localize(None),
    ]  # fmt: skip
    assert frame["reviewed_at"].tolist() == [pd.Timestamp(2026, 1, 1), pd.NaT, pd.NaT]


def test_nothing_reported_has_the_same_columns() -> None:
    frame = reported_frame()
    assert (len(frame), str(frame["detected_at"].dtype)) == (0, "datetime64[us]")
