"""What Prometheus scrapes: parsed by its own parser, bounded, and for some eyes alone."""

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as configured
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.authtoken.models import Token

from anomalyproject import gunicorn
from predictions.metrics_api import MayScrape
from tests.factories import (
    AnomalyFactory,
    BackupFactory,
    QueueNodeFactory,
    SessionFactory,
    VersionFactory,
    user_with,
)
from tests.queue_processes import wait_until
from tests.test_keep import free_port
from training.models import Finding, ModelVersion, QualityReport, TrainingSession

LEAK = {"anomaly_id": "A-1", "description": "fuite vapeur", "equipment_id": "eq-1"}
Labels = tuple[tuple[str, str], ...]


def parsed(text: str) -> dict[tuple[str, Labels], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client: Client) -> dict[tuple[str, Labels], float]:
    response = client.get("/metrics")
    assert response["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return parsed(response.content.decode())


def labels(**values: str) -> Labels:
    return tuple(sorted(values.items()))


def requests_of(route: str, method: str = "GET", status: int = 200) -> tuple[str, Labels]:
    return "anomaly_http_requests_total", labels(method=method, route=route, status=str(status))


def test_what_is_predicted_is_counted(client: Client, version: ModelVersion) -> None:
    before = scrape(client)
    for payload in (LEAK, [LEAK] * 3, {}):
        client.post("/predict", json.dumps(payload), content_type="application/json")
    after = scrape(client)

    def grown(key: tuple[str, Labels]) -> float:
        return after[key] - before.get(key, 0)

    assert grown(("anomaly_predictions_total", labels(kind="one"))) == 1
    assert grown(("anomaly_predictions_total", labels(kind="list"))) == 3
    assert grown(("anomaly_predict_seconds_count", labels(kind="list"))) == 1
    assert grown(requests_of("/predict", "POST")) == 2
    assert grown(requests_of("/predict", "POST", 400)) == 1


@pytest.mark.django_db
def test_routes_are_counted_by_their_pattern(client: Client) -> None:
    for path in ("/nowhere/1", "/nowhere/2", "/admin/login/", "/train/restore/backup_1"):
        client.generic("BREW", path)
    found = {dict(key[1])["route"] for key in scrape(client) if key[0] == "anomaly_http_requests_total"}
    assert {"none", "admin", "/train/restore/<slug:backup_name>"} <= found
    methods = {dict(key[1])["method"] for key in scrape(client) if key[0] == "anomaly_http_requests_total"}
    assert "other" in methods
    assert "BREW" not in methods


@pytest.mark.django_db
def test_states_come_from_the_database(client: Client) -> None:
    now = timezone.now()
    QueueNodeFactory.create()
    AnomalyFactory.create_batch(2)
    version = VersionFactory.create(is_active=True, metrics={"model": {"availability": {"mae": 0.25}}})
    SessionFactory.create(
        status=TrainingSession.Status.SUCCEEDED,
        model_version=version,
        started_at=now - timedelta(seconds=9),
        finished_at=now,
    )
    BackupFactory.create(size_bytes=700, created_at=now - timedelta(hours=1), verified_at=now)
    QualityReport.objects.create(
        kind=QualityReport.Kind.DRIFT, content={"verdict": "retrain"}, record_count=1, seconds=1
    )
    Finding.objects.create(code=Finding.Code.DISK_LOW, severity=1)
    found = scrape(client)
    assert {
        name: found[name, key]
        for name, key in (
            ("anomaly_training_sessions", labels(status="succeeded")),
            ("anomaly_last_training_seconds", ()),
            ("anomaly_queue_age_seconds", ()),
            ("anomaly_queue_nodes", ()),
            ("anomaly_model_version", ()),
            ("anomaly_model_mae", labels(score="availability")),
            ("anomaly_pending_anomalies", ()),
            ("anomaly_backup_size_bytes", ()),
            ("anomaly_backup_total_bytes", ()),
            ("anomaly_drift", labels(verdict="retrain")),
            ("anomaly_findings", labels(code="disk_low")),
            ("anomaly_last_successful_training_timestamp_seconds", ()),
            ("anomaly_notices_pending", ()),
        )
    } == {
        "anomaly_training_sessions": 1,
        "anomaly_last_training_seconds": 9,
        "anomaly_last_successful_training_timestamp_seconds": pytest.approx(now.timestamp()),
        "anomaly_queue_age_seconds": 0,
        "anomaly_queue_nodes": 1,
        "anomaly_model_version": version.pk,
        "anomaly_model_mae": 0.25,
        "anomaly_pending_anomalies": 2,
        "anomaly_backup_size_bytes": 700,
        "anomaly_backup_total_bytes": 700,
        "anomaly_drift": 1,
        "anomaly_findings": 1,
        "anomaly_notices_pending": 0,
    }
    assert 3600 <= found["anomaly_backup_age_seconds", ()] < 3700


@pytest.mark.django_db
def test_what_is_wrong_has_a_severity(client: Client) -> None:
    QueueNodeFactory.create()
    Finding.objects.create(code=Finding.Code.DISK_LOW, severity=Finding.Severity.WARNING)
    found = scrape(client)
    assert found["anomaly_health_issues", labels(code="disk_low", severity="warning")] == 1
    assert found["anomaly_health_issues", labels(code="disk_low", severity="serious")] == 0
    assert sum(value for (name, _), value in found.items() if name == "anomaly_health_issues") == 1


@pytest.mark.django_db
def test_an_empty_installation_has_metrics_too(client: Client) -> None:
    found = scrape(client)
    assert found["anomaly_model_version", ()] == 0
    assert ("anomaly_backup_age_seconds", ()) not in found
    assert found["anomaly_findings", labels(code="queue_silent")] == 1


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 3])
def test_the_scrape_costs_the_same_for_one_and_for_three(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    BackupFactory.create_batch(count)
    AnomalyFactory.create_batch(count)
    with django_assert_num_queries(14):
        client.get("/metrics")


# --- Who may scrape ----------------------------------------------------------------------------


@pytest.mark.django_db
def test_from_an_allowed_network_without_credentials(client: Client, settings: Settings) -> None:
    def status(**meta: Any) -> int:
        return client.get("/metrics", **meta).status_code

    assert status(REMOTE_ADDR="127.0.0.1") == 200
    assert status(REMOTE_ADDR="::ffff:127.0.0.1") == 200
    assert status(REMOTE_ADDR="") == 401
    assert status(REMOTE_ADDR="10.0.0.7") == 401
    assert status(REMOTE_ADDR="127.0.0.1", HTTP_X_FORWARDED_FOR="10.0.0.7") == 401
    settings.METRICS_ALLOWED_NETWORKS = []
    assert status(REMOTE_ADDR="127.0.0.1") == 401


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("permission", "status"), [("training.view_finding", 200), ("training.view_backup", 403)]
)
def test_from_elsewhere_by_permission(client: Client, permission: str, status: int) -> None:
    token = Token.objects.create(user=user_with(permission))
    headers = {"Authorization": f"Token {token.key}"}
    response = client.get("/metrics", headers=headers, REMOTE_ADDR="10.0.0.7")
    assert response.status_code == status
    if status == 403:
        assert response.json() == {"success": False, "error": MayScrape.message}


# --- Several processes -------------------------------------------------------------------------


def test_the_directory_is_empty_at_each_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = tmp_path / "metrics"
    monkeypatch.setenv(gunicorn.METRICS_DIRECTORY, str(directory))
    gunicorn.make_metrics_directory()
    (directory / "counter_7.db").touch()
    gunicorn.make_metrics_directory()
    assert list(directory.iterdir()) == []


def test_a_directory_of_its_own_ends_with_the_master(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(gunicorn.METRICS_DIRECTORY, "")
    gunicorn.make_metrics_directory()
    directory = Path(os.environ[gunicorn.METRICS_DIRECTORY])
    assert directory.is_dir()
    gunicorn._remove(directory, os.getpid() + 1)
    assert directory.is_dir()
    gunicorn._remove(directory, os.getpid())
    assert not directory.exists()


@pytest.mark.queue
def test_two_workers_add_up(queue_mark: str, tmp_path: Path) -> None:
    port = free_port()
    environment = os.environ | {"PORT": str(port), "HOST": "127.0.0.1", "WEB_WORKERS": "2"}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "anomalyproject/gunicorn.py",
        "anomalyproject.wsgi",
    ]
    with (tmp_path / "log").open("wb") as log:
        web = subprocess.Popen(command, cwd=configured.BASE_DIR, env=environment, stdout=log, stderr=log)
    try:

        def answered() -> bool:
            try:
                return requests.get(f"http://127.0.0.1:{port}/livez", timeout=5).status_code == 200
            except requests.RequestException:
                return False

        wait_until(answered, 60)
        url = f"http://127.0.0.1:{port}"
        for _ in range(20):  # each on a connection of its own: now this worker, now that one
            requests.get(f"{url}/models/info", timeout=10)
        scraped = [parsed(requests.get(f"{url}/metrics", timeout=10).text) for _ in range(6)]
        assert [found[requests_of("/models/info")] for found in scraped] == [20.0] * 6
    finally:
        web.terminate()
        web.wait(30)
