import pytest

from tests.factories import AnomalyFactory, ApprovedFactory
from training.frames import approved_frame, fingerprint, iter_approved
from training.ml.records import COLUMNS

pytestmark = pytest.mark.django_db


def test_only_approved_anomalies_are_learnt_from() -> None:
    AnomalyFactory.create()
    ApprovedFactory.create(anomaly_id="B")
    ApprovedFactory.create(anomaly_id="A")
    frame = approved_frame()
    assert list(frame.columns) == list(COLUMNS)
    assert frame["anomaly_id"].tolist() == ["B", "A"]
    assert frame["process_safety_score"].tolist() == [3.0, 3.0]


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
