"""What the probes, /health, /metrics and /predict say of each part that is away: one table, also in the docs.

The database that is refused, silent or read-only on a real web server: tests/test_outages.py.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from predictions import api, probes
from predictions.predictor import Predictor
from tests.factories import QueueNodeFactory
from tests.predictions.test_predictor import damage
from tests.predictions.test_without_database import LEAK, no_database
from training import dependencies
from training.models import ModelVersion

State = Callable[[ModelVersion, Predictor], AbstractContextManager[None]]


@contextmanager
def well(_version: ModelVersion, _predictor: Predictor) -> Iterator[None]:
    yield


@contextmanager
def database_away(_version: ModelVersion, predictor: Predictor) -> Iterator[None]:
    predictor.current()
    with no_database():
        yield


@contextmanager
def database_away_at_the_start(_version: ModelVersion, _predictor: Predictor) -> Iterator[None]:
    with no_database():
        yield


@contextmanager
def storage_gone(_version: ModelVersion, predictor: Predictor) -> Iterator[None]:
    predictor.current()
    shutil.rmtree(configured.MEDIA_ROOT)
    yield


@contextmanager
def no_model(version: ModelVersion, _predictor: Predictor) -> Iterator[None]:
    ModelVersion.objects.filter(pk=version.pk).update(is_active=False)
    yield


@contextmanager
def damaged_model(version: ModelVersion, _predictor: Predictor) -> Iterator[None]:
    damage(version)
    yield


TABLE: dict[State, tuple[object, ...]] = {
    # readyz, status and codes of /health, anomaly_database_up, /predict
    well: (200, [], "healthy", [], 1, 200),
    database_away: (200, [], "degraded", ["database_silent"], 0, 200),
    database_away_at_the_start: (503, ["database"], "degraded", ["database_silent"], 0, 503),
    storage_gone: (200, [], "healthy", ["storage_unreachable"], 1, 200),
    no_model: (503, ["no model"], "degraded", [], 1, 503),
    damaged_model: (503, ["model"], "degraded", ["version_not_loaded"], 1, 503),
}


@pytest.mark.parametrize("state", TABLE, ids=lambda state: state.__name__)
def test_all_of_them_say_the_same(
    client: Client, version: ModelVersion, own_predictor: Predictor, state: State
) -> None:
    QueueNodeFactory.create()
    with state(version, own_predictor):
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        health = client.get("/health").json()
        metrics = client.get("/metrics")
        predicted = client.post("/predict", json.dumps(LEAK), content_type="application/json")
    codes = [problem["code"] for problem in health["problems"]]
    assert (
        ready.status_code,
        ready.json()["reasons"],
        health["status"],
        codes,
        samples(metrics.content.decode())["anomaly_database_up"],
        predicted.status_code,
    ) == TABLE[state]


def samples(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.labels
    }


def test_health_issues_have_their_severity(client: Client, version: ModelVersion, media_root: Path) -> None:
    QueueNodeFactory.create()
    shutil.rmtree(media_root)
    text = client.get("/metrics").content.decode()
    assert 'anomaly_findings{code="storage_unreachable"} 1.0' in text
    assert 'anomaly_health_issues{code="storage_unreachable",severity="serious"} 1.0' in text
    assert 'anomaly_health_issues{code="storage_unreachable",severity="warning"} 0.0' in text


def test_while_nothing_can_be_written_nobody_counts_the_queues_nodes(
    client: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that cannot write that it lives is not known to be gone: no alert is for it."""
    assert samples(client.get("/metrics").content.decode())["anomaly_queue_nodes"] == 0
    monkeypatch.setattr(dependencies, "is_writable", lambda **_: False)
    assert "anomaly_queue_nodes" not in samples(client.get("/metrics").content.decode())
    QueueNodeFactory.create()
    assert samples(client.get("/metrics").content.decode())["anomaly_queue_nodes"] == 1


# --- From where they are asked -----------------------------------------------------------------

PROBES = ["/livez", "/readyz", "/metrics"]


@pytest.mark.parametrize("path", PROBES)
def test_a_probe_may_name_any_host(client: Client, version: ModelVersion, path: str) -> None:
    """An orchestrator asks the pod by its address."""
    assert client.get(path, headers={"host": "10.1.2.3:5000"}).status_code == 200
    assert client.get("/models/info", headers={"host": "10.1.2.3:5000"}).status_code == 400


@pytest.mark.parametrize("path", [*PROBES, "/health"])
def test_a_probe_needs_no_tls(client: Client, version: ModelVersion, settings: Settings, path: str) -> None:
    from django.middleware.security import SecurityMiddleware  # noqa: PLC0415

    from tests.test_settings import PLANT, settings_of  # noqa: PLC0415

    (exempt,) = settings_of("SECURE_REDIRECT_EXEMPT", **PLANT).values()
    settings.SECURE_SSL_REDIRECT, settings.SECURE_REDIRECT_EXEMPT = True, exempt
    request: Any = client.get(path).wsgi_request
    middleware = SecurityMiddleware(lambda _request: client.get(path))
    assert middleware.process_request(request) is None


def test_health_says_that_the_static_files_are_missing(
    client: Client, version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each page of the admin is a 500 then; predictions are not, and readiness is about those."""
    storage = ManifestStaticFilesStorage(location=str(tmp_path))
    monkeypatch.setattr(api, "staticfiles_storage", storage)
    monkeypatch.setattr(api, "_static_problem", api._static_problem.__wrapped__)
    told = "The admin's pages cannot be shown: python manage.py collectstatic, then restart."
    assert told in client.get("/health").json()["message"]
    assert client.get("/readyz").status_code == 200
    storage.hashed_files = {"a.css": "a.1.css"}
    assert told not in client.get("/health").json()["message"]


def test_health_says_that_the_database_is_not_migrated(
    client: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes.Migrations, "are_applied", False)
    plan = "django.db.migrations.executor.MigrationExecutor.migration_plan"
    monkeypatch.setattr(plan, lambda *_: ["a migration"])
    health = client.get("/health").json()
    assert (health["status"], health["message"]) == (
        "degraded",
        "The database is not prepared for this release: python manage.py migrate.",
    )
