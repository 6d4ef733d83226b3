import shutil
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from predictions import predictor, probes
from tests.predictions.test_api import no_database
from training import artifacts
from training.models import ModelVersion

READY = (200, {"status": "ready", "reasons": []})


def get(client: Client, path: str) -> tuple[int, object]:
    response = client.get(path)
    return response.status_code, response.json()


def not_ready(*reasons: str) -> tuple[int, object]:
    return 503, {"status": "not ready", "reasons": list(reasons)}


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.Migrations, "are_applied", False)


@pytest.mark.django_db
def test_alive_without_a_query(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        assert get(client, "/livez") == (200, {"status": "alive"})


def test_alive_without_a_database(client: Client) -> None:
    """No database is set up for this test: asking it would fail."""
    assert get(client, "/livez") == (200, {"status": "alive"})


@pytest.mark.django_db
def test_not_ready_before_the_first_model(client: Client) -> None:
    """Nothing could be predicted; the web answers all the same, so that one can be trained."""
    assert get(client, "/readyz") == not_ready("no model")


def test_ready_with_a_model_for_one_query(
    client: Client, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert get(client, "/readyz") == READY
    with django_assert_num_queries(1):
        assert get(client, "/readyz") == READY


def test_not_ready_with_a_model_that_cannot_be_loaded(client: Client, version: ModelVersion) -> None:
    (artifacts.directory_of(version) / "features.pkl").unlink()
    assert get(client, "/readyz") == not_ready("model")


@pytest.mark.parametrize("path", ["/readyz", "/predict"])
def test_who_loads_for_long_keeps_nobody_waiting(
    client: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(predictor, "LOADING", 0.01)
    with predictor._predictor._loading:  # a storage is silent, say
        report = {"anomaly_id": "P-1", "description": "fuite", "equipment_id": "eq-1", "equipment_name": ""}
        answer = client.get(path) if path == "/readyz" else client.post(path, report, "application/json")
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    if path == "/readyz":
        assert answer.json()["reasons"] == ["loading"]
    else:
        assert answer.json()["message"] == "The model is being loaded. Please try again in a moment."
    assert get(client, "/readyz") == READY


def test_not_ready_without_a_database_before_a_model_was_loaded(
    client: Client, version: ModelVersion
) -> None:
    with no_database():
        assert get(client, "/readyz") == not_ready("database")
    assert get(client, "/readyz") == READY


def test_ready_without_a_database_once_a_model_is_loaded(client: Client, version: ModelVersion) -> None:
    assert get(client, "/readyz") == READY
    with no_database():
        assert get(client, "/readyz") == (200, READY[1] | {"model_state": "last_known"})
    assert get(client, "/readyz") == READY


@pytest.mark.django_db
def test_not_ready_before_the_migrations(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = "django.db.migrations.executor.MigrationExecutor.migration_plan"
    monkeypatch.setattr(plan, lambda *_: ["a migration"])
    assert get(client, "/readyz") == not_ready("migrations")


def test_ready_without_storage(client: Client, version: ModelVersion, media_root: Path) -> None:
    """A loaded model needs none; a shared disk that fills up would take out all nodes at once."""
    assert get(client, "/readyz") == READY
    shutil.rmtree(media_root)
    assert get(client, "/readyz") == READY


def test_open_where_reads_are_not(client: Client, version: ModelVersion, settings: Settings) -> None:
    settings.ANONYMOUS_READ = False
    assert client.get("/train/status").status_code == 401
    assert [client.get(path).status_code for path in ("/livez", "/readyz", "/health")] == [200, 200, 200]
