"""The guide's responses, field by field."""

import json
import threading
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import (
    AnomalyFactory,
    ApprovedFactory,
    BackupFactory,
    SessionFactory,
    VersionFactory,
    user_with,
)
from tests.trained import approved_records, identical, predictions, trained_version
from tests.training.api.conftest import BACKUP, Works, claim, fail, finish
from training.backups import create_backup
from training.models import Activation, Anomaly, Backup, ModelVersion, TrainingSession
from training.policy import freeze

pytestmark = pytest.mark.django_db

RECORD = {
    "anomaly_id": "MAINT_001",
    "description": "Pump bearing overheating during high-load operation",
    "equipment_name": "Primary Circulation Pump",
    "equipment_id": "pump-uuid-123",
    "availability_score": 2,
    "fiability_score": 1,
    "process_safety_score": 3,
}


@pytest.fixture(autouse=True)
def _open(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = True


def records(count: int) -> list[dict[str, Any]]:
    return [RECORD | {"anomaly_id": f"MAINT_{number:03}"} for number in range(1, count + 1)]


def train(client: Client, payload: object, prefer: str | None = None) -> Any:
    headers = {} if prefer is None else {"prefer": prefer}
    return client.post("/train", json.dumps(payload), content_type="application/json", headers=headers)


def same(body: object, expected: object) -> bool:
    """Equal in values and in JSON types: 3, 3.0 and true are three things."""
    assert body == expected
    return json.dumps(body, sort_keys=True) == json.dumps(expected, sort_keys=True)


def ended(status: str = "succeeded", **fields: Any) -> TrainingSession:
    if status == "succeeded":
        fields["model_version"] = VersionFactory.create()
    moment = datetime(2024, 12, 5, 14, 30, 22, 123456, tzinfo=UTC)
    session: TrainingSession = SessionFactory.create(status=status, **{"finished_at": moment} | fields)
    return session


# --- POST /train -------------------------------------------------------------------------------


def test_train_answers_as_the_guide_prints(client: Client, works: Works) -> None:
    works(claim, finish)
    response = train(client, records(3))
    assert response.status_code == 200
    expected = {
        "success": True,
        "message": "Incremental training completed successfully",
        "statistics": {
            "total_records_added": 3,
            "records_updated": 0,
            "records_unchanged": 0,
            "records_per_model": {"availability": 3, "fiability": 3, "process_safety": 3},
            "training_time_seconds": 45.67,
            "models_retrained": {"availability": True, "fiability": True, "process_safety": True},
            "backup_location": f"model_backups/{BACKUP}",
        },
        "training_session_id": TrainingSession.objects.get().pk,
        "is_training": False,
    }
    assert same(response.json(), expected)
    assert "Preference-Applied" not in response


def test_train_stores_the_records_as_approved(client: Client, works: Works) -> None:
    works(claim, finish)
    extra = {"system": "Circuit eau", "section": "Chaudière", "detected_at": "2024-12-05T14:00:00+01:00"}
    assert train(client, [RECORD | extra]).status_code == 200
    anomaly = Anomaly.objects.get()
    told = {name: getattr(anomaly, name) for name in [*RECORD, "system", "section"]}
    assert told == RECORD | {"system": "Circuit eau", "section": "Chaudière"}
    assert anomaly.detected_at == datetime(2024, 12, 5, 13, tzinfo=UTC)
    assert (anomaly.status, anomaly.source, anomaly.reviewed_by) == ("approved", "api", None)


def test_train_counts_what_is_new_changed_and_known(client: Client, works: Works) -> None:
    AnomalyFactory.create(anomaly_id="MAINT_002", status="pending")
    AnomalyFactory.create(anomaly_id="MAINT_003", status="rejected")
    same_content = {name: value for name, value in RECORD.items() if name != "anomaly_id"}
    ApprovedFactory.create(anomaly_id="MAINT_004", **same_content)
    works(claim, finish)
    statistics = train(client, records(4)).json()["statistics"]
    counts = [statistics[f"records_{name}"] for name in ("updated", "unchanged")]
    assert (statistics["total_records_added"], counts) == (1, [2, 1])
    assert statistics["records_per_model"] == {"availability": 1, "fiability": 1, "process_safety": 1}
    assert Anomaly.objects.approved().count() == 4


def test_a_retry_after_a_lost_answer_doubles_nothing(client: Client, works: Works) -> None:
    works(claim, finish)
    assert train(client, records(3)).status_code == 200
    Backup.objects.update(name="backup_20240101_000000")
    works(claim, finish)
    statistics = train(client, records(3)).json()["statistics"]
    assert (statistics["total_records_added"], statistics["records_unchanged"]) == (0, 3)
    assert Anomaly.objects.count() == 3


def test_a_single_object_counts_as_a_list_of_one(client: Client, works: Works) -> None:
    works(claim, finish)
    response = train(client, RECORD)
    assert response.status_code == 200
    assert response.json()["statistics"]["total_records_added"] == 1


def test_the_user_of_a_token_is_noted(client: Client, works: Works) -> None:
    works(claim, finish)
    user = user_with("training.train_models")
    client.force_login(user)
    assert train(client, [RECORD]).status_code == 200
    assert TrainingSession.objects.get().requested_by == user
    assert Anomaly.objects.get().reviewed_by == user


@pytest.mark.parametrize(
    ("prefer", "applied"),
    [
        ("respond-async", "respond-async"),
        ("Respond-Async", "respond-async"),
        ("wait=0", "wait=0"),
        ('wait="0"', "wait=0"),
        ("respond-async, wait=0", "respond-async, wait=0"),
        ("handling=lenient, respond-async;foo=1", "respond-async"),
    ],
)
def test_who_prefers_not_to_wait_is_told_where_to_ask(
    client: Client, works: Works, prefer: str, applied: str
) -> None:
    works(claim)
    response = train(client, records(1), prefer)
    session = TrainingSession.objects.get()
    url = f"http://testserver/train/status?session={session.pk}"
    assert response.status_code == 202
    assert (response["Location"], response["Preference-Applied"], response["Retry-After"]) == (
        url,
        applied,
        "1",
    )
    expected = {
        "success": True,
        "message": f"Training session {session.pk} is in progress. Ask {url} for its result.",
        "training_session_id": session.pk,
        "is_training": True,
        "status_url": url,
    }
    assert same(response.json(), expected)


def test_who_waits_long_enough_gets_the_result(client: Client, works: Works) -> None:
    works(claim, finish)
    response = train(client, records(1), "respond-async, wait=60")
    assert response.status_code == 200
    assert response["Preference-Applied"] == "respond-async, wait=60"


def test_the_wait_runs_out(client: Client, works: Works, settings: Settings) -> None:
    settings.TRAINING_WAIT = 0
    works(claim)
    response = train(client, records(1), "wait=60")
    assert response.status_code == 202


@pytest.mark.parametrize(
    "prefer", ["wait=-1", "wait=soon", "wait", "wait=1.5", "wait=" + "9" * 5_000, ";;,,=", "é"]
)
def test_a_preference_that_makes_no_sense_is_overlooked(client: Client, works: Works, prefer: str) -> None:
    works(claim, finish)
    response = train(client, records(1), prefer)
    assert response.status_code == 200
    assert "Preference-Applied" not in response


# --- GET /train/status -------------------------------------------------------------------------


def test_status_before_the_first_training(client: Client) -> None:
    response = client.get("/train/status")
    assert response.status_code == 200
    expected = {
        "is_training": False,
        "training_sessions_completed": 0,
        "available_backups": 0,
        "last_training": None,
    }
    assert same(response.json(), expected)


def test_status_answers_as_the_guide_prints(client: Client, works: Works) -> None:
    ended()
    BackupFactory.create()
    BackupFactory.create(pruned_at=datetime(2026, 1, 1, tzinfo=UTC))
    works(claim, finish)
    train(client, records(3))
    expected = {
        "is_training": False,
        "training_sessions_completed": 2,
        "available_backups": 2,
        "last_training": {
            "timestamp": "2024-12-05T14:30:22.123456",
            "records_added": 3,
            "training_time": 45.67,
            "models_retrained": 3,
            "backup_path": f"model_backups/{BACKUP}",
            "success": True,
        },
    }
    assert same(client.get("/train/status").json(), expected)


def test_status_after_a_failed_training(client: Client) -> None:
    ended()
    moment = datetime(2024, 12, 6, tzinfo=UTC)
    ended("failed", finished_at=moment, records_created=2, started_at=moment)
    ended("skipped")
    assert same(
        client.get("/train/status").json()["last_training"],
        {
            "timestamp": "2024-12-06T00:00:00.000000",
            "records_added": 2,
            "training_time": 0.0,
            "models_retrained": 0,
            "backup_path": None,
            "success": False,
        },
    )


def test_status_while_training(client: Client, works: Works) -> None:
    works(claim)
    train(client, records(1), "respond-async")
    TrainingSession.objects.update(step="fit", progress=40)
    expected = {
        "is_training": True,
        "training_sessions_completed": 0,
        "available_backups": 0,
        "last_training": None,
        "training_session_id": TrainingSession.objects.get().pk,
        "step": "fit",
        "progress": 40,
    }
    assert same(client.get("/train/status").json(), expected)


def test_status_ends_a_session_whose_worker_died(client: Client) -> None:
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    SessionFactory.create(status="running", attempts=2, started_at=long_ago, heartbeat_at=long_ago)
    body = client.get("/train/status").json()
    assert body["is_training"] is False
    assert body["last_training"]["success"] is False


def test_a_session_can_be_followed_to_its_result(client: Client, works: Works) -> None:
    works(claim)
    session_id = train(client, records(3), "respond-async").json()["training_session_id"]
    url = f"/train/status?session={session_id}"
    following = {"training_session_id": session_id, "step": "start", "progress": 0, "status": "running"}
    assert same(client.get(url).json()["session"], following | {"result": None})
    finish()
    followed = client.get(url).json()["session"]
    assert (followed["status"], followed["progress"]) == ("succeeded", 100)
    assert followed["result"]["statistics"]["total_records_added"] == 3
    assert followed["result"]["statistics"]["backup_location"] == f"model_backups/{BACKUP}"
    assert followed["result"]["is_training"] is False


def test_a_failed_session_is_followed_to_its_reason(client: Client, works: Works) -> None:
    works(claim)
    session_id = train(client, records(1), "respond-async").json()["training_session_id"]
    fail()
    expected = {
        "success": False,
        "error": "The training timed out after 3600 s.",
        "training_session_id": session_id,
        "is_training": False,
    }
    assert same(client.get(f"/train/status?session={session_id}").json()["session"]["result"], expected)


@pytest.mark.parametrize("count", [1, 3])
def test_status_asks_the_database_five_times(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(count):
        last = ended(backup=BackupFactory.create())
    SessionFactory.create()
    with django_assert_num_queries(5):
        client.get("/train/status")
    with django_assert_num_queries(6):
        client.get(f"/train/status?session={last.pk}")


# --- POST /train/reload ------------------------------------------------------------------------


def test_reload_answers_as_the_guide_prints_and_the_newest_serves(client: Client) -> None:
    approved_records()
    trained_version(is_active=True)
    newest = trained_version("version_2")
    response = client.post("/train/reload")
    assert response.status_code == 200
    expected = {"success": True, "message": "Models reloaded successfully", "models_loaded": True}
    assert same(response.json(), expected)
    assert ModelVersion.objects.active() == newest


def test_reload_asks_for_no_reason_where_the_gate_refused(client: Client) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    newest = trained_version("version_2", comparison={"passed": False, "sentence": "Worse."})
    assert client.post("/train/reload").status_code == 200
    assert ModelVersion.objects.active() == newest


def test_reload_while_frozen_answers_as_ever_and_what_serves_goes_on_serving(client: Client) -> None:
    approved_records()
    first = trained_version("version_1", is_active=True)
    trained_version("version_2")
    freeze(user=None, reason="outage")
    response = client.post("/train/reload")
    expected = {"success": True, "message": "Models reloaded successfully", "models_loaded": True}
    assert (response.status_code, response.json()) == (200, expected)
    assert ModelVersion.objects.active() == first


def test_who_reloads_is_noted(client: Client) -> None:
    approved_records()
    trained_version()
    user = user_with("training.activate_modelversion")
    client.force_login(user)
    assert client.post("/train/reload").status_code == 200
    assert Activation.objects.values_list("reason", "activated_by").get() == ("reload", user.pk)


# --- GET /train/backups ------------------------------------------------------------------------


def test_backups_answer_as_the_guide_prints(client: Client) -> None:
    moment = datetime(2024, 12, 5, 14, 30, 22, 999_999, tzinfo=UTC)
    BackupFactory.create(name="backup_20241205_143022", created_at=moment)
    expected = {
        "backups": [
            {
                "name": "backup_20241205_143022",
                "created": "2024-12-05 14:30:22",
                "path": "model_backups/backup_20241205_143022",
            }
        ],
        "count": 1,
    }
    response = client.get("/train/backups")
    assert response.status_code == 200
    assert same(response.json(), expected)


def test_no_backups(client: Client) -> None:
    assert same(client.get("/train/backups").json(), {"backups": [], "count": 0})


def test_backups_come_newest_first_and_only_those_that_are_kept(client: Client) -> None:
    for name in ("backup_20241204_091234", "backup_20241206_000000", "backup_20241205_143022"):
        BackupFactory.create(name=name)
    Backup.objects.filter(name="backup_20241206_000000").update(pruned_at=datetime(2026, 1, 1, tzinfo=UTC))
    names = [backup["name"] for backup in client.get("/train/backups").json()["backups"]]
    assert names == ["backup_20241205_143022", "backup_20241204_091234"]


@pytest.mark.parametrize("count", [1, 3])
def test_backups_ask_the_database_once(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    BackupFactory.create_batch(count)
    with django_assert_num_queries(1):
        client.get("/train/backups")


# --- POST /train/restore/<name> ----------------------------------------------------------------


def test_restore_answers_as_the_guide_prints_and_brings_back_models_and_records(client: Client) -> None:
    kept = approved_records()
    first = trained_version(is_active=True)
    before = predictions(first)
    backup = create_backup(kind=Backup.Kind.MANUAL)
    added = ApprovedFactory.create()
    trained_version("version_2")
    client.post("/train/reload")
    response = client.post(f"/train/restore/{backup.name}")
    assert response.status_code == 200
    expected = {
        "success": True,
        "message": f"Successfully restored from backup {backup.name}",
        "models_reloaded": True,
    }
    assert same(response.json(), expected)
    assert ModelVersion.objects.active() == first
    assert identical(predictions(first), before)
    assert list(Anomaly.objects.approved().order_by("pk")) == kept
    assert list(Anomaly.objects.pending()) == [added]
    assert Backup.objects.filter(kind="before_restore").count() == 1


def test_restoring_to_before_the_first_model_reloads_none(client: Client) -> None:
    approved_records()
    backup = create_backup(kind=Backup.Kind.MANUAL)
    trained_version(is_active=True)
    response = client.post(f"/train/restore/{backup.name}")
    assert response.status_code == 200
    assert response.json()["models_reloaded"] is False
    assert ModelVersion.objects.active() is None


def test_who_restores_is_noted(client: Client) -> None:
    backup = create_backup(kind=Backup.Kind.MANUAL)
    user = user_with("training.restore_backup")
    client.force_login(user)
    assert client.post(f"/train/restore/{backup.name}").status_code == 200
    assert Backup.objects.get(kind="before_restore").created_by == user


def test_a_session_that_died_is_not_in_the_way_of_a_restore(client: Client) -> None:
    backup = create_backup(kind=Backup.Kind.MANUAL)
    long_ago = datetime(2026, 1, 1, tzinfo=UTC)
    SessionFactory.create(status="running", attempts=2, started_at=long_ago, heartbeat_at=long_ago)
    assert client.post(f"/train/restore/{backup.name}").status_code == 200


def test_no_more_wait_than_may(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is one too many is told at once where to ask: threads are left for predictions and probes."""
    monkeypatch.setattr("training.api.guide._places", threading.Semaphore(0))
    response = train(client, records(1))
    assert (response.status_code, response.json()["is_training"]) == (202, True)
