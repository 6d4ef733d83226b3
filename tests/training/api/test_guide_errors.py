"""What the guide's routes refuse, and how: always in the form, never with anything stored."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import Settings

from tests.factories import BackupFactory, SessionFactory
from tests.trained import approved_records, trained_version
from tests.training.api.conftest import Works, cancel, claim, fail
from tests.training.api.test_guide import RECORD, records, same, train
from training import artifacts, sessions
from training.backups import create_backup
from training.models import Anomaly, Backup, ModelVersion, TrainingSession

pytestmark = pytest.mark.django_db

BUSY = {
    "success": False,
    "error": "Training already in progress. Please wait and try again.",
    "is_training": True,
}
NOWHERE = {"success": False, "error": "There is nothing at this address."}


@pytest.fixture(autouse=True)
def _open(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = True


def nothing_stored() -> bool:
    return not any(model.objects.exists() for model in (Anomaly, TrainingSession, Backup))


def refused(*told: str) -> dict[str, Any]:
    return {"success": False, "error": "Data validation failed", "validation_errors": list(told)}


def damage(stored: ModelVersion | Backup, name: str) -> None:
    path = artifacts.directory_of(stored) / name
    path.write_bytes(path.read_bytes()[:-1])


# --- POST /train -------------------------------------------------------------------------------


def test_the_guides_validation_failure(client: Client) -> None:
    wrong = records(2)
    wrong[0]["availability_score"] = 6
    del wrong[1]["equipment_id"]
    response = train(client, wrong)
    assert response.status_code == 400
    expected = refused(
        "Record 1: availability_score must be between 1 and 5, got 6",
        "Record 2: Missing required fields: ['equipment_id']",
    )
    assert same(response.json(), expected)
    assert nothing_stored()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("[]", "A batch holds 1 to 1,000 records, got 0"),
        ("[" + "{}," * 1_000 + "{}]", "A batch holds 1 to 1,000 records, got 1,001"),
        ("null", "The body must be a list of records, got null"),
        ('"text"', "The body must be a list of records, got str"),
        ("[7]", "Record 1: must be a JSON object, got int"),
        (json.dumps(RECORD | {"fiability_score": float("nan")}), "must be a finite number, got nan"),
        (json.dumps(RECORD | {"fiability_score": "3"}), "must be a finite number, got str"),
        (json.dumps(RECORD | {"fiability_score": True}), "must be a finite number, got bool"),
        (json.dumps(RECORD | {"description": "a\0"}), "must not contain NUL characters"),
        (json.dumps(RECORD | {"description": "a\ud800"}), "must not contain lone surrogates"),
        (json.dumps([RECORD, RECORD]), "Record 2: anomaly_id 'MAINT_001' is already used by record 1"),
    ],
)
def test_a_wrong_batch_is_400_and_stores_nothing(client: Client, body: str, told: str) -> None:
    response = client.post("/train", body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"] == "Data validation failed"
    [sentence] = response.json()["validation_errors"]
    assert sentence.endswith(told)
    assert nothing_stored()


def test_one_bad_record_stores_none_of_the_good_ones(client: Client) -> None:
    assert train(client, [*records(999), RECORD]).status_code == 400
    assert nothing_stored()


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (b"", 400, "The request body is empty: send a JSON list of records, with its Content-Length."),
        (b"[}", 400, "The request body is not JSON: Expecting value: line 1 column 2 (char 1)."),
        (b"\xff", 400, "The request body is not UTF-8: see byte 0."),
        (b"[" * 60 + b"]" * 60, 400, "The JSON is nested too deeply: at most 50 levels."),
        (b" " * 121, 413, "The request body is too large: at most 120 bytes."),
    ],
    ids=["empty", "broken", "not UTF-8", "deep", "large"],
)
def test_another_body_is_refused_in_the_form(
    client: Client, settings: Settings, body: bytes, status: int, sentence: str
) -> None:
    settings.REQUEST_BODY_LIMIT = 120
    response = client.post("/train", body, content_type="application/json")
    assert (response.status_code, response.json()) == (status, {"success": False, "error": sentence})
    assert nothing_stored()


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_another_content_type_is_415(client: Client, kind: str) -> None:
    response = client.post("/train", json.dumps(RECORD), content_type=kind)
    body = {"success": False, "error": f'Unsupported media type "{kind}" in request.'}
    assert (response.status_code, response.json()) == (415, body)
    assert nothing_stored()


@pytest.mark.parametrize("status", ["queued", "running"])
def test_the_guides_concurrent_training(client: Client, status: str) -> None:
    SessionFactory.create(status=status)
    response = train(client, records(3))
    assert response.status_code == 409
    assert same(response.json(), BUSY)
    assert Anomaly.objects.count() == 0


def test_a_wrong_batch_is_told_even_while_training(client: Client) -> None:
    SessionFactory.create()
    assert train(client, []).status_code == 400


def test_no_worker_is_503_and_names_the_command(client: Client, settings: Settings) -> None:
    settings.TRAINING_CLAIM_WAIT = 0
    response = train(client, records(3))
    assert response.status_code == 503
    body = response.json()
    assert body["success"] is False
    assert "python manage.py qcluster" in body["error"]
    assert TrainingSession.objects.get().status == "failed"
    assert Anomaly.objects.approved().count() == 3


def test_no_worker_is_503_for_who_would_not_wait_either(client: Client, settings: Settings) -> None:
    settings.TRAINING_CLAIM_WAIT = 0
    assert train(client, records(3), "respond-async").status_code == 503


def test_a_failed_training_is_500_and_keeps_the_records(client: Client, works: Works) -> None:
    works(claim, fail)
    response = train(client, records(3))
    assert response.status_code == 500
    expected = {
        "success": False,
        "error": "The training timed out after 3600 s.",
        "training_session_id": TrainingSession.objects.get().pk,
        "is_training": False,
    }
    assert same(response.json(), expected)
    assert Anomaly.objects.approved().count() == 3


def test_a_training_that_the_disk_refused_is_503_and_keeps_the_records(client: Client, works: Works) -> None:
    def refuse() -> None:
        session = TrainingSession.objects.active().get()
        reason = "The backup could not be written: No space left on device."
        sessions.fail(session.pk, session.attempts, reason=reason, cause=TrainingSession.Cause.DISK)

    works(claim, refuse)
    response = train(client, records(3))
    assert (response.status_code, response["Retry-After"]) == (503, "5")
    sentence = "The backup could not be written: No space left on device. The records are kept."
    assert response.json()["error"] == sentence
    assert Anomaly.objects.approved().count() == 3


def test_a_cancelled_training_is_409_and_keeps_the_records(client: Client, works: Works) -> None:
    works(claim, cancel)
    response = train(client, records(3))
    assert response.status_code == 409
    expected = {
        "success": False,
        "error": "Cancelled.",
        "training_session_id": TrainingSession.objects.get().pk,
        "is_training": False,
    }
    assert same(response.json(), expected)
    assert Anomaly.objects.approved().count() == 3


@pytest.mark.django_db(transaction=True)
def test_of_twenty_requests_at_once_one_trains() -> None:
    start = threading.Barrier(20)

    def request(number: int) -> int:
        start.wait()
        try:
            response = train(Client(), [RECORD | {"anomaly_id": f"RACER_{number}"}], "respond-async")
            return int(response.status_code)
        finally:
            connection.close()

    stop = threading.Event()
    worker = threading.Thread(target=_claim_when_queued, args=(stop,))
    worker.start()
    with ThreadPoolExecutor(20) as pool:
        statuses = sorted(pool.map(request, range(20)))
    stop.set()
    worker.join()
    assert statuses == [202] + [409] * 19
    assert Anomaly.objects.count() == 1
    assert TrainingSession.objects.count() == 1


def _claim_when_queued(stop: threading.Event) -> None:
    while not stop.wait(0.05):
        if TrainingSession.objects.filter(status="queued").exists():
            claim()
    connection.close()


# --- GET /train/status -------------------------------------------------------------------------


def test_the_status_of_an_unknown_session_is_404(client: Client) -> None:
    for number in (7, 10**30):
        response = client.get(f"/train/status?session={number}")
        body = {"success": False, "error": f"There is no training session {number}."}
        assert (response.status_code, response.json()) == (404, body)


@pytest.mark.parametrize("session", ["x", "-1", "0", "1.5", "%00", "9" * 5_000])
def test_a_session_that_is_no_number_is_400(client: Client, session: str) -> None:
    response = client.get(f"/train/status?session={session}")
    assert response.status_code == 400
    [sentence] = response.json()["validation_errors"]
    assert sentence.startswith("session: ")


# --- POST /train/reload ------------------------------------------------------------------------


def test_the_guides_loading_failure_and_the_old_model_serves(client: Client) -> None:
    approved_records()
    works = trained_version(is_active=True)
    broken = trained_version("version_2")
    damage(broken, "availability_model.pkl")
    response = client.post("/train/reload")
    assert response.status_code == 500
    body = response.json()
    assert broken.name in body.pop("error")
    assert same(body, {"success": False, "message": "Failed to reload models", "models_loaded": False})
    assert ModelVersion.objects.active() == works


def test_nothing_to_reload_is_the_same_failure(client: Client) -> None:
    response = client.post("/train/reload")
    assert response.status_code == 500
    expected = {
        "success": False,
        "message": "Failed to reload models",
        "models_loaded": False,
        "error": "No model has been trained yet.",
    }
    assert same(response.json(), expected)


# --- POST /train/restore/<name> ----------------------------------------------------------------


def test_an_unknown_backup_is_404(client: Client) -> None:
    BackupFactory.create(name="backup_20241205_143022", pruned_at="2026-01-01T00:00Z")
    for name in ("backup_20241205_143022", "backup_20241205_143023", "x", "-", "_" * 500):
        response = client.post(f"/train/restore/{name}")
        body = {"success": False, "error": f"There is no backup named {name}."}
        assert (response.status_code, response.json()) == (404, body)


def traversals() -> list[str]:
    ups = ["..", "%2e%2e", "%2E%2E", "..%00", "%252e%252e", "..;", ".", "%c0%ae%c0%ae", "~", "...."]
    separators = ["/", "%2f", "%5c", "\\", "%252f", "//"]
    targets = ["etc/passwd", "model_versions/version_1", "backup_20241205_143022", ".secrets/secret_key"]
    return [
        separator.join([up] * 4 + [target]) for up in ups for separator in separators for target in targets
    ]


def test_traversals_lead_nowhere(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    BackupFactory.create(name="backup_20241205_143022")
    reached: list[Backup] = []
    monkeypatch.setattr("training.api.guide.restore_backup", lambda *, backup, **_: reached.append(backup))
    paths = traversals()
    assert len(set(paths)) == 240
    for path in paths:
        for prefix in ("/train/restore/", "/train/restore/backup_20241205_143022/", "/train/restore//"):
            response = client.post(prefix + path)
            assert (response.status_code, response.json()) == (404, NOWHERE), path
    assert reached == []


def test_restore_during_a_training_is_409(client: Client) -> None:
    backup = create_backup(kind=Backup.Kind.MANUAL)
    SessionFactory.create()
    response = client.post(f"/train/restore/{backup.name}")
    assert response.status_code == 409
    assert same(response.json(), BUSY)
    assert Backup.objects.count() == 1


def test_a_damaged_backup_is_500_and_changes_nothing(client: Client) -> None:
    approved_records()
    version = trained_version(is_active=True)
    backup = create_backup(kind=Backup.Kind.MANUAL)
    damage(backup, "availability_model.pkl")
    response = client.post(f"/train/restore/{backup.name}")
    assert response.status_code == 500
    assert response.json()["success"] is False
    assert "availability_model.pkl" in response.json()["error"]
    assert ModelVersion.objects.active() == version
    assert Anomaly.objects.approved().count() == 12


# --- Methods -----------------------------------------------------------------------------------

ROUTES = {
    "/train": "post",
    "/train/status": "get",
    "/train/reload": "post",
    "/train/backups": "get",
    "/train/restore/backup_20241205_143022": "post",
}


@pytest.mark.parametrize("path", list(ROUTES))
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "trace"])
def test_another_method_is_405_in_the_form(client: Client, path: str, method: str) -> None:
    if ROUTES[path] == method:
        return
    response = getattr(client, method)(path)
    body = {"success": False, "error": f'Method "{method.upper()}" not allowed.'}
    assert (response.status_code, response.json()) == (405, body)
    assert ROUTES[path].upper() in response["Allow"]


def test_head_is_get_without_a_body_and_405_where_there_is_no_get(client: Client) -> None:
    for path, method in ROUTES.items():
        response = client.head(path)
        assert response.status_code == (200 if method == "get" else 405)
        assert response.content == b""


def test_options_tell_what_is_allowed(client: Client) -> None:
    for path, method in ROUTES.items():
        response = client.options(path)
        assert response.status_code == 200
        assert method.upper() in response["Allow"]


def test_a_client_that_takes_no_json_is_406(client: Client) -> None:
    response = client.get("/train/status", headers={"accept": "text/html"})
    body = {"success": False, "error": "Could not satisfy the request Accept header."}
    assert (response.status_code, response.json()) == (406, body)


# --- Whatever comes ----------------------------------------------------------------------------

texts = st.text(st.characters(codec=None, categories=None), max_size=8)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
near_records = st.fixed_dictionaries(
    {name: st.just(value) | json_values for name, value in RECORD.items()},
    optional=dict.fromkeys(("system", "section", "detected_at", "extra"), json_values | texts),
)
payloads = json_values | near_records | st.lists(near_records, max_size=4)
bodies = payloads.map(lambda payload: json.dumps(payload).encode()) | st.binary(max_size=40)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_every_body_is_accepted_whole_or_refused_whole(client: Client, works: Works, body: bytes) -> None:
    works(claim)
    headers = {"prefer": "respond-async"}
    response = client.post("/train", body, content_type="application/json", headers=headers)
    assert response.status_code in {202, 400}
    assert response.json()["success"] is (response.status_code == 202)
    assert nothing_stored() is (response.status_code == 400)
    TrainingSession.objects.all().delete()
    Anomaly.objects.all().delete()
