"""A real web server whose database goes away in each way that one can, and comes back."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from django.conf import settings as configured
from django.db import connection
from rest_framework.authtoken.models import Token

from tests.factories import UserFactory, user_with
from tests.predictions.published import publish_version
from tests.proxies import Proxy, proxy
from tests.queue_processes import database_url, wait_until
from tests.test_keep import free_port
from training.models import TrainingSession

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="a file has no connection to lose"),
]

LEAK = {"anomaly_id": "A-1", "description": "fuite vapeur", "equipment_id": "eq-1"}
SCORES = {"availability_score": 2, "fiability_score": 3, "process_safety_score": 4}
SCORED: dict[str, Any] = {**LEAK, "equipment_name": "Vanne", **SCORES}


@dataclass(frozen=True, kw_only=True)
class Web:
    """A web server of one worker that knows its caller, and the proxy between it and PostgreSQL."""

    url: str
    token: str
    between: Proxy
    process: "subprocess.Popen[bytes]"
    log: Path

    def ask(self, path: str, body: Any = None, token: str | None = None, **headers: str) -> Any:
        headers["Authorization"] = f"Token {token or self.token}"
        method = "GET" if body is None else "POST"
        return requests.request(method, f"{self.url}{path}", json=body, headers=headers, timeout=60)

    def predicts(self) -> tuple[int, str]:
        """The status of a prediction, and whether it is marked."""
        response = self.ask("/predict", LEAK)
        return response.status_code, response.json().get("model_state", "")

    def says(self) -> dict[str, Any]:
        """What the probes, health and metrics say, beside the prediction."""
        ready, health = self.ask("/readyz"), self.ask("/health").json()
        metrics = self.ask("/metrics")
        (up,) = [line for line in metrics.text.splitlines() if line.startswith("anomaly_database_up ")]
        return {
            "livez": self.ask("/livez").status_code,
            "readyz": (ready.status_code, ready.json().get("model_state", "")),
            "health": (health["status"], [p["code"] for p in health["problems"] if "database" in p["code"]]),
            "metrics": (metrics.status_code, up),
            "predict": self.predicts(),
            "list": self.ask("/api/v1/anomalies/").status_code,
        }


WELL = {
    "livez": 200,
    "readyz": (200, ""),
    "health": ("healthy", []),
    "metrics": (200, "anomaly_database_up 1.0"),
    "predict": (200, ""),
    "list": 200,
}
AWAY = {
    "livez": 200,
    "readyz": (200, "last_known"),
    "health": ("degraded", ["database_silent"]),
    "metrics": (200, "anomaly_database_up 0.0"),
    "predict": (200, "last_known"),
    "list": 503,
}


@pytest.fixture
def web(queue_mark: str, tmp_path: Path) -> Iterator[Web]:
    publish_version(is_active=True)
    user = user_with("training.view_anomaly", "training.view_finding", "training.train_models")
    token = Token.objects.create(user=user).key
    database, port = connection.settings_dict, free_port()
    log = tmp_path / "web.log"
    with proxy(database["HOST"], int(database["PORT"])) as between, log.open("ab") as output:
        command = [sys.executable, "-m", "gunicorn", "--config", "anomalyproject/gunicorn.py"]
        process = subprocess.Popen(
            [*command, "anomalyproject.wsgi"],
            cwd=configured.BASE_DIR,
            env=os.environ
            | {
                "DATABASE_URL": database_url().replace(f":{database['PORT']}/", f":{between.port}/"),
                "HOST": "127.0.0.1",
                "PORT": str(port),
                "WEB_WORKERS": "1",
                "ANONYMOUS_READ": "0",
                "DEBUG": "1",
            },
            stdout=output,
            stderr=output,
        )
        web = Web(url=f"http://127.0.0.1:{port}", token=token, between=between, process=process, log=log)
        try:
            wait_until(lambda: _is_up(web), 120)
            assert web.says() == WELL
            yield web
        finally:
            process.terminate()
            process.wait(30)
            print(log.read_text())  # noqa: T201  # pytest shows it on failure


def _is_up(web: Web) -> bool:
    try:
        return bool(web.ask("/readyz").status_code == 200)
    except requests.RequestException:
        return False


# --- Ways to be away, and back -----------------------------------------------------------------


@contextmanager
def refusing(web: Web) -> Iterator[None]:
    web.between.refuse()
    yield
    web.between.restore()


@contextmanager
def silent(web: Web) -> Iterator[None]:
    web.between.silence()
    yield
    web.between.restore()


@contextmanager
def closed_by_its_owner(_web: Web) -> Iterator[None]:
    """As in an upgrade of the server: everybody is thrown out, and nobody let in."""
    database, this = connection.settings_dict, connection.settings_dict["NAME"]
    login = {"host": database["HOST"], "port": database["PORT"], "user": "postgres", "dbname": "postgres"}
    with psycopg.connect(**login, autocommit=True) as owner:
        owner.execute(f'ALTER DATABASE "{this}" ALLOW_CONNECTIONS false')
        owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [this])
        try:
            connection.close()
            yield
        finally:
            owner.execute(f'ALTER DATABASE "{this}" ALLOW_CONNECTIONS true')


@pytest.mark.parametrize("away", [refusing, silent, closed_by_its_owner])
def test_everybody_says_that_it_is_away_and_that_it_is_back(web: Web, away: Callable[[Web], Any]) -> None:
    stranger = Token.objects.create(user=UserFactory.create()).key
    with away(web):
        assert web.predicts() == (200, "last_known")
        wait_until(lambda: web.ask("/api/v1/anomalies/").status_code == 503)
        assert web.says() == AWAY
        refused = web.ask("/predict", LEAK, token=stranger)
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        statuses = {web.ask("/predict", LEAK).status_code for _ in range(20)}
        assert statuses == {200}
    wait_until(lambda: web.predicts() == (200, ""), 30)
    wait_until(lambda: web.says() == WELL, 30)
    assert "Traceback" not in web.log.read_text()


def test_a_connection_that_the_server_closed_is_made_anew(web: Web) -> None:
    for _ in range(3):
        web.between.cut()
        assert web.predicts()[0] == 200
    wait_until(lambda: web.says() == WELL, 30)


def test_a_database_that_cannot_be_written_hinders_no_prediction(web: Web) -> None:
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    try:
        web.between.cut()
        refused = web.ask("/train", [SCORED])
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "5")
        assert refused.json()["error"] == (
            "The database cannot be written at the moment. Please try again later."
        )
        assert web.predicts() == (200, "")
        assert web.ask("/readyz").status_code == 200
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")
            cursor.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')


# --- Somebody waits for a training -------------------------------------------------------------


def waits(web: Web) -> "subprocess.Popen[bytes]":
    """A client in a process of its own that posts a batch, and waits; returns once it is stored."""
    client = subprocess.Popen(
        [
            *("curl", "--silent", "--show-error", "--write-out", "\n%{http_code}", f"{web.url}/train"),
            *("--header", f"Authorization: Token {web.token}", "--header", "Content-Type: application/json"),
            *("--data", json.dumps([SCORED])),
        ],
        stdout=subprocess.PIPE,
    )
    wait_until(TrainingSession.objects.exists, 60)
    time.sleep(0.2)
    return client


def answer_of(client: "subprocess.Popen[bytes]") -> tuple[int, dict[str, Any]]:
    body, _, status = client.communicate(timeout=60)[0].decode().rpartition("\n")
    return int(status), json.loads(body) if body else {}


def test_whoever_waits_is_answered_before_the_server_ends(web: Web) -> None:
    client = waits(web)
    session = TrainingSession.objects.get()
    web.process.terminate()
    status, body = answer_of(client)
    assert (status, body["training_session_id"]) == (202, session.pk)
    assert body["status_url"] == f"{web.url}/train/status?session={session.pk}"
    assert web.process.wait(30) == 0
    session.refresh_from_db()
    assert (session.status, session.records_created) == (TrainingSession.Status.QUEUED, 1)


@pytest.mark.parametrize("away", [refusing, silent])
def test_the_wait_outlasts_the_database(web: Web, away: Callable[[Web], Any]) -> None:
    """The training ends while the web server cannot see it; the client gets its result all the same."""
    client = waits(web)
    sessions = TrainingSession.objects.all()
    with away(web):
        wait_until(lambda: web.ask("/api/v1/anomalies/").status_code == 503)
        now = sessions.get().queued_at
        sessions.update(status="failed", reason="No luck.", cause="", finished_at=now)
    status, body = answer_of(client)
    assert (status, body["error"]) == (500, "No luck.")
