"""/api/v1/training-sessions/: start, watch, cancel."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory, ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.training.api.v1.conftest import ClientOf
from training.models import SessionLogEntry, TrainingSession

pytestmark = pytest.mark.django_db
URL = "/api/v1/training-sessions/"
Status = TrainingSession.Status


@pytest.fixture
def owner(client_of: ClientOf) -> APIClient:
    return client_of(
        "training.view_trainingsession", "training.train_models", "training.cancel_trainingsession"
    )


def url_of(session: TrainingSession, verb: str = "") -> str:
    return f"{URL}{session.pk}/{verb and verb + '/'}"


def conflict(response: Any) -> dict[str, Any]:
    assert response.status_code == 409
    body: dict[str, Any] = response.json()
    return body


def test_one_session_field_by_field(owner: APIClient, admin_user: User) -> None:
    begin = timezone.now().replace(microsecond=0)
    session = SessionFactory.create(
        requested_by=admin_user,
        status=Status.SUCCEEDED,
        step=TrainingSession.Step.PUBLISH,
        progress=100,
        attempts=1,
        queued_at=begin,
        started_at=begin,
        heartbeat_at=begin,
        finished_at=begin + timedelta(seconds=4.5),
        records_received=6,
        records_created=3,
        records_updated=2,
        records_unchanged=1,
        backup=BackupFactory.create(name="backup_20260101_000001"),
        model_version=VersionFactory.create(),
    )
    moment = begin.isoformat().replace("+00:00", "Z")
    assert owner.get(url_of(session)).json() == {
        "id": session.pk,
        "status": "succeeded",
        "trigger": "command",
        "requested_by": "admin",
        "step": "publish",
        "progress": 100,
        "attempts": 1,
        "cancel_requested": False,
        "reason": "",
        "queued_at": moment,
        "started_at": moment,
        "heartbeat_at": moment,
        "finished_at": session.finished_at.isoformat().replace("+00:00", "Z"),
        "seconds": 4.5,
        "records_received": 6,
        "records_created": 3,
        "records_updated": 2,
        "records_unchanged": 1,
        "backup": "backup_20260101_000001",
        "model_version": session.model_version_id,
    }


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_takes_three_queries_whatever_its_length(
    count: int, owner: APIClient, admin_user: User
) -> None:
    for _ in range(count):
        SessionFactory.create(
            status=Status.FAILED, requested_by=admin_user, backup=BackupFactory.create(), reason="x"
        )
    owner.get(URL)
    with CaptureQueriesContext(connection) as queries:
        response = owner.get(URL)
    assert len(response.json()["results"]) == count
    assert len(queries) == 3  # what must be recovered, count, rows


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["cancelled", "failed", "skipped"]),
        ({"status": ["failed", "cancelled"]}, ["cancelled", "failed"]),
        ({"trigger": "schedule"}, ["skipped"]),
        ({"search": "disk"}, ["failed"]),
        ({"ordering": "queued_at"}, ["skipped", "failed", "cancelled"]),
        ({"queued_after": "2026-01-02", "queued_before": "2026-01-02T23:00:00Z"}, ["failed"]),
    ],
)
def test_each_filter(query: dict[str, Any], expected: list[str], owner: APIClient) -> None:
    SessionFactory.create(status="skipped", trigger="schedule", queued_at="2026-01-01T00:00:00Z")
    SessionFactory.create(status="failed", reason="The disk is full.", queued_at="2026-01-02T00:00:00Z")
    SessionFactory.create(status="cancelled", queued_at="2026-01-03T00:00:00Z")
    assert [row["status"] for row in owner.get(URL, query).json()["results"]] == expected


def test_start_queues_a_session_and_says_where_to_look(owner: APIClient) -> None:
    ApprovedFactory.create()
    response = owner.post(URL)
    session = TrainingSession.objects.get()
    body = response.json()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver{url_of(session)}"
    assert (body["id"], body["status"], body["trigger"], body["step"]) == (
        session.pk,
        "queued",
        "api",
        "wait",
    )
    assert body["requested_by"] == str(session.requested_by)
    assert OrmQ.objects.count() == 1
    assert owner.get(response["Location"]).json()["id"] == session.pk


def test_a_second_start_is_a_conflict(owner: APIClient) -> None:
    ApprovedFactory.create()
    owner.post(URL)
    assert conflict(owner.post(URL)) == {
        "success": False,
        "error": "Training already in progress. Please wait and try again.",
        "is_training": True,
    }
    assert TrainingSession.objects.count() == OrmQ.objects.count() == 1


def test_nothing_approved_is_a_conflict(owner: APIClient) -> None:
    AnomalyFactory.create()
    assert conflict(owner.post(URL)) == {
        "success": False,
        "error": "There is no approved anomaly to train on. Import or approve some first.",
    }
    assert not TrainingSession.objects.exists()


def test_cancelling_a_queued_session_ends_it(owner: APIClient) -> None:
    session = SessionFactory.create()
    response = owner.post(url_of(session, "cancel"))
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    assert conflict(owner.post(url_of(session, "cancel")))["error"] == (
        "The training session has already ended."
    )


def test_cancelling_a_running_session_asks_its_supervisor(owner: APIClient) -> None:
    session = SessionFactory.create(
        status=Status.RUNNING, attempts=1, started_at=timezone.now(), heartbeat_at=timezone.now()
    )
    response = owner.post(url_of(session, "cancel"))
    body = response.json()
    assert (response.status_code, body["status"], body["cancel_requested"]) == (202, "running", True)


def test_who_looks_recovers_a_session_whose_worker_died(owner: APIClient) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    session = SessionFactory.create(
        status=Status.RUNNING, attempts=2, started_at=long_ago, heartbeat_at=long_ago
    )
    assert owner.get(url_of(session)).json()["status"] == "failed"


# --- The log ---------------------------------------------------------------------------------------


def logged(count: int = 1) -> TrainingSession:
    """Two attempts; the second one's process says `count` lines."""
    session: TrainingSession = SessionFactory.create(status=Status.FAILED, attempts=2)
    begin = timezone.now().replace(microsecond=0) - timedelta(minutes=1)
    story: list[tuple[int, str, str, str]] = [
        (1, "step", "start", ""),
        (1, "event", "", "The worker died: the session is queued again."),
        (2, "step", "start", ""),
        (2, "step", "backup", ""),
        *((2, "line", "", f"message {number}") for number in range(count)),
    ]
    SessionLogEntry.objects.bulk_create(
        SessionLogEntry(
            session=session,
            attempt=attempt,
            kind=kind,
            step=step,
            text=text,
            at=begin + timedelta(seconds=number),
        )
        for number, (attempt, kind, step, text) in enumerate(story)
    )
    return session


def test_the_log_tells_step_time_and_attempt_of_each_line(owner: APIClient) -> None:
    session = logged()
    SessionLogEntry.objects.create(
        session=SessionFactory.create(status=Status.FAILED), attempt=1, kind="event", text="-"
    )
    body = owner.get(url_of(session, "log")).json()
    assert (body["count"], body["next"]) == (5, None)
    assert [(row["attempt"], row["kind"], row["step"], row["text"]) for row in body["results"]] == [
        (1, "step", "start", ""),
        (1, "event", "start", "The worker died: the session is queued again."),
        (2, "step", "start", ""),
        (2, "step", "backup", ""),
        (2, "line", "backup", "message 0"),
    ]
    first = session.log.earliest("pk")
    assert (body["results"][0]["id"], body["results"][0]["at"]) == (
        first.pk,
        first.at.isoformat().replace("+00:00", "Z"),
    )


def test_a_line_before_the_first_step_has_none(owner: APIClient) -> None:
    session = SessionFactory.create(status=Status.FAILED)
    SessionLogEntry.objects.create(session=session, attempt=0, kind="event", text="Waits.")
    (row,) = owner.get(url_of(session, "log")).json()["results"]
    assert row["step"] == ""


@pytest.mark.parametrize("count", [1, 3])
def test_the_log_takes_four_queries_whatever_its_length(count: int, owner: APIClient) -> None:
    session = logged(count)
    owner.get(url_of(session, "log"))
    with CaptureQueriesContext(connection) as queries:
        body = owner.get(url_of(session, "log"), {"page_size": 7}).json()
    assert len(body["results"]) == 4 + count
    assert len(queries) == 4  # sessions to recover, the session, count, entries


def test_the_log_comes_in_pages(owner: APIClient) -> None:
    body = owner.get(url_of(logged(3), "log"), {"page_size": 2, "page": 2}).json()
    assert [row["step"] for row in body["results"]] == ["start", "backup"]
    assert "page=3" in body["next"]
