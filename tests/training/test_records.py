from datetime import UTC, datetime

import pandas as pd
import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from tests.factories import AnomalyFactory, UserFactory, report
from training.frames import approved_frame
from training.models import Anomaly
from training.records import RecordCounts, reports_from_frame, store_records

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    user: User = UserFactory.create()
    return user


def store(*reports, user=None, **options) -> RecordCounts:  # type: ignore[no-untyped-def]  # passes everything on
    return store_records(reports=reports, user=user, source=Anomaly.Source.API, **options)


def test_new_records_are_approved_and_attributed(user: User) -> None:
    assert store(report(1), report(2), user=user) == RecordCounts(created=2)
    anomaly = Anomaly.objects.get(anomaly_id="R-1")
    assert anomaly.status == "approved"
    assert anomaly.source == "api"
    assert anomaly.reviewed_by == user
    assert anomaly.reviewed_at is not None
    assert anomaly.criticality == 9.0


def test_a_known_record_is_updated_and_keeps_its_past(user: User) -> None:
    store(report(1))
    assert store(report(1, fiability_score=4.5), user=user, reason="second look") == RecordCounts(updated=1)
    anomaly = Anomaly.objects.get()
    assert anomaly.fiability_score == 4.5
    newest, first = anomaly.history.all()
    assert (first.fiability_score, first.history_type) == (2.0, "+")
    assert (newest.fiability_score, newest.history_type) == (4.5, "~")
    assert newest.history_user == user
    assert newest.history_change_reason == "second look"


def test_an_identical_record_is_left_alone() -> None:
    store(report(1))
    before = Anomaly.objects.values().get()
    assert store(report(1)) == RecordCounts(unchanged=1)
    assert Anomaly.objects.values().get() == before
    assert Anomaly.history.count() == 1


@pytest.mark.parametrize("status", ["pending", "rejected"])
def test_a_record_in_review_becomes_approved(status: str) -> None:
    AnomalyFactory.create(anomaly_id="R-1", status=status)
    assert store(report(1)) == RecordCounts(updated=1)
    assert Anomaly.objects.get().status == "approved"


def test_what_is_not_stated_stays_unless_exactly() -> None:
    moment = datetime(2025, 3, 1, 8, tzinfo=UTC)
    store(report(1, system="HP", section="34MC", detected_at=moment))
    assert store(report(1)) == RecordCounts(unchanged=1)
    assert store(report(1), exactly=True) == RecordCounts(updated=1)
    anomaly = Anomaly.objects.get()
    assert (anomaly.system, anomaly.section, anomaly.detected_at) == ("", "", None)


def test_pending_records_wait_for_review() -> None:
    assert store(report(1), status=Anomaly.Status.PENDING) == RecordCounts(created=1)
    anomaly = Anomaly.objects.get()
    assert (anomaly.status, anomaly.reviewed_at) == ("pending", None)


def test_an_identical_pending_import_does_not_take_an_approval_back() -> None:
    store(report(1))
    assert store(report(1), status=Anomaly.Status.PENDING) == RecordCounts(unchanged=1)
    assert Anomaly.objects.get().status == "approved"


def test_one_bad_record_stores_nothing() -> None:
    with pytest.raises(IntegrityError):
        store(report(1), report(2, availability_score=6.0))
    assert not Anomaly.objects.exists()
    assert not Anomaly.history.exists()


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_queries_does_not_grow_with_the_batch(count: int) -> None:
    store(report(0))
    with CaptureQueriesContext(connection) as queries:
        store(report(0, fiability_score=5.0), *(report(n) for n in range(1, count)))
    inserts = 2 if count == 1 else 3  # the rows, and the history of the new and of the known
    assert len(queries) == 4 + inserts  # SAVEPOINT, SELECT, …, reviews set aside, RELEASE


def test_reports_survive_the_way_through_a_frame() -> None:
    moment = datetime(2025, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
    reports = [
        report(1, system="HP", section="", detected_at=moment, availability_score=2.5),
        report(2, system="", section="34MC"),
    ]
    store(*reports)
    frame = approved_frame()
    assert frame["detected_at"].dtype == "datetime64[us]"
    assert frame["detected_at"][0] == pd.Timestamp("2025-03-01 08:00:00.123456")
    assert reports_from_frame(frame) == reports
