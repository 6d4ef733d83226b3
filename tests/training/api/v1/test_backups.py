"""/api/v1/backups/: made, verified, looked into, restored."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory, ApprovedFactory, BackupFactory, SessionFactory
from tests.trained import approved_records, trained_version
from tests.training.api.v1.conftest import ClientOf
from training import artifacts, backups
from training.errors import BackupError
from training.models import Anomaly, Backup, ModelVersion

pytestmark = pytest.mark.django_db
URL = "/api/v1/backups/"


@pytest.fixture
def keeper(client_of: ClientOf) -> APIClient:
    return client_of("training.view_backup", "training.add_backup", "training.restore_backup")


@pytest.fixture
def version() -> ModelVersion:
    approved_records()
    return trained_version("version_1", is_active=True)


@pytest.fixture
def backup(version: ModelVersion) -> Backup:
    return backups.create_backup(kind=Backup.Kind.MANUAL)


def url_of(backup: Backup, verb: str = "") -> str:
    return f"{URL}{backup.name}/{verb and verb + '/'}"


def conflict(response: Any) -> str:
    assert (response.status_code, response.json()["success"]) == (409, False)
    return str(response.json()["error"])


def test_create_backs_up_what_serves(keeper: APIClient, version: ModelVersion) -> None:
    response = keeper.post(URL)
    backup = Backup.objects.get()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver{url_of(backup)}"
    assert response.json() == keeper.get(url_of(backup)).json()
    assert response.json() == {
        "id": backup.pk,
        "name": backup.name,
        "path": f"model_backups/{backup.name}",
        "kind": "manual",
        "is_usable": True,
        "record_count": 12,
        "model_version": version.pk,
        "digest": backup.digest,
        "size_bytes": backup.size_bytes,
        "created_at": backup.created_at.isoformat().replace("+00:00", "Z"),
        "created_by": str(backup.created_by),
        "verified_at": backup.verified_at.isoformat().replace("+00:00", "Z") if backup.verified_at else "",
        "verification_error": "",
        "pruned_at": None,
    }


def test_a_backup_that_cannot_be_written_is_a_server_error(
    keeper: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise BackupError("The backup could not be written: No space left on device.")

    monkeypatch.setattr(backups, "create_backup", refuse)
    assert keeper.post(URL).status_code == 500


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_takes_two_queries_whatever_its_length(
    count: int, keeper: APIClient, admin_user: User
) -> None:
    BackupFactory.create_batch(count, created_by=admin_user)
    keeper.get(URL)
    with CaptureQueriesContext(connection) as queries:
        response = keeper.get(URL)
    assert len(response.json()["results"]) == count
    assert len(queries) == 2  # count, rows


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["b3", "b2", "b1"]),
        ({"kind": ["manual", "before_restore"]}, ["b3", "b2"]),
        ({"available": "true"}, ["b3", "b1"]),
        ({"search": "b1"}, ["b1"]),
        ({"ordering": "record_count"}, ["b2", "b1", "b3"]),
    ],
)
def test_each_filter(query: dict[str, Any], expected: list[str], keeper: APIClient) -> None:
    BackupFactory.create(name="b1", kind="before_training", record_count=2)
    BackupFactory.create(name="b2", kind="before_restore", record_count=1, pruned_at=timezone.now())
    BackupFactory.create(name="b3", kind="manual", record_count=3)
    assert [row["name"] for row in keeper.get(URL, query).json()["results"]] == expected


def test_verify_reads_everything_back(keeper: APIClient, backup: Backup) -> None:
    Backup.objects.update(verified_at=None)
    body = keeper.post(url_of(backup, "verify")).json()
    assert (body["is_usable"], body["verification_error"]) == (True, "")
    assert body["verified_at"] is not None


@pytest.mark.parametrize("verb", ["verify", "preview", "restore"])
def test_a_damaged_backup_is_a_conflict_and_quarantined(verb: str, keeper: APIClient, backup: Backup) -> None:
    (artifacts.directory_of(backup) / "fiabilite.csv").write_bytes(b"something else")
    send = keeper.get if verb == "preview" else keeper.post
    assert "fiabilite.csv" in conflict(send(url_of(backup, verb)))
    body = keeper.get(url_of(backup)).json()
    assert body["is_usable"] is False
    assert "fiabilite.csv" in body["verification_error"]


def test_a_pruned_backup_is_a_conflict(keeper: APIClient, backup: Backup) -> None:
    artifacts.remove(backup)
    assert "were removed" in conflict(keeper.post(url_of(backup, "restore")))


def test_preview_tells_what_would_change_and_changes_nothing(
    keeper: APIClient, backup: Backup, version: ModelVersion
) -> None:
    ApprovedFactory.create(anomaly_id="new")
    Anomaly.objects.filter(anomaly_id="T-001").update(availability_score=5)
    Anomaly.objects.filter(anomaly_id="T-002").update(status="rejected")
    Anomaly.objects.filter(anomaly_id="T-003").delete()
    before = list(Anomaly.objects.order_by("pk").values())
    assert keeper.get(url_of(backup, "preview")).json() == {
        "version_from": version.pk,
        "version_to": version.pk,
        "records_in_backup": 12,
        "records_to_pending": 1,
        "records_reapproved": 1,
        "records_recreated": 1,
        "scores_changed": 1,
        "texts_changed": 0,
    }
    assert list(Anomaly.objects.order_by("pk").values()) == before


def test_preview_of_a_backup_older_than_the_first_model(keeper: APIClient) -> None:
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    AnomalyFactory.create()
    body = keeper.get(url_of(backup, "preview")).json()
    assert (body["version_from"], body["version_to"], body["records_in_backup"]) == (None, None, 0)


def test_restore_brings_back_models_and_training_set(
    keeper: APIClient, backup: Backup, version: ModelVersion
) -> None:
    ApprovedFactory.create(anomaly_id="new")
    Anomaly.objects.filter(anomaly_id="T-001").update(availability_score=5)
    Anomaly.objects.filter(anomaly_id="T-003").delete()
    ModelVersion.objects.update(is_active=False)
    response = keeper.post(url_of(backup, "restore"))
    safety = Backup.objects.get(kind=Backup.Kind.BEFORE_RESTORE)
    assert response.status_code == 200
    assert response.json() == {
        "backup": backup.name,
        "safety_backup": safety.name,
        "model_version": version.pk,
        "records_to_pending": 1,
        "records_recreated": 1,
        "records_changed": 1,
        "records_unchanged": 10,
    }
    assert Anomaly.objects.get(anomaly_id="new").status == "pending"
    assert Anomaly.objects.get(anomaly_id="T-001").availability_score == 2
    assert ModelVersion.objects.active() == version


def test_no_restore_during_a_training(keeper: APIClient, backup: Backup) -> None:
    SessionFactory.create()
    response = keeper.post(url_of(backup, "restore"))
    assert response.json() == {
        "success": False,
        "error": "Training already in progress. Please wait and try again.",
        "is_training": True,
    }
    assert response.status_code == 409
    assert Backup.objects.count() == 1


@pytest.mark.parametrize(
    "name",
    ["unknown", "..", ".", "%2e%2e", "..%2f..%2fetc", "a/b", "%00", "x" * 101, "backup_1.", "é", "a%0a"],
)
@pytest.mark.parametrize("verb", ["", "verify", "preview", "restore"])
def test_another_name_is_not_found(name: str, verb: str, keeper: APIClient, backup: Backup) -> None:
    send = keeper.post if verb in {"verify", "restore"} else keeper.get
    assert send(f"{URL}{name}/{verb and verb + '/'}").status_code == 404
    assert Backup.objects.count() == 1
