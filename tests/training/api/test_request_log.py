"""A name and a line for each request: who asked for what, how it ended; never what was sent."""

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from anomalyproject.logs import JSONFormatter
from predictions.predictor import LoadedModel, State
from tests.factories import user_with
from tests.training.admin.people import superuser
from training.api import request_log

pytestmark = pytest.mark.django_db


class Lines(logging.Handler):
    """What is logged, as a plant's collector gets it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JSONFormatter())
        self.told: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.told.append(json.loads(self.format(record)))

    def access(self) -> dict[str, Any]:
        """The one line about one request, without its time."""
        (line,) = [line for line in self.told if line["logger"] == "training.access"]
        assert line["milliseconds"] >= 0
        return {name: line[name] for name in ("message", "method", "route", "status", "user")}


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logging.root.addHandler(handler)
    yield handler
    logging.root.removeHandler(handler)


@pytest.mark.parametrize("sane", ["12345678", "a-proxys_own.name", "x" * 64])
def test_a_name_that_the_proxy_gave_is_kept(sane: str, lines: Lines) -> None:
    response = Client().get("/train/status", headers={"x-request-id": sane})
    assert response["X-Request-ID"] == sane
    assert {line["request"] for line in lines.told} == {sane}


@pytest.mark.parametrize(
    "odd", ["", "1234567", "x" * 65, "-leading-dash", "new\nline-000", "a b c d e f", "é" * 9]
)
def test_any_other_request_gets_one(odd: str, lines: Lines) -> None:
    headers = {"x-request-id": odd}
    first, second = (Client().get("/train/status", headers=headers)["X-Request-ID"] for _ in range(2))
    assert len(first) == 32
    assert first != second
    assert [line["request"] for line in lines.told] == [first, second]


def test_of_a_probe_only_another_answer_than_before_is_news(
    lines: Lines, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(request_log, "_answered", {})
    ready, broken = State(loaded=LoadedModel(version_id=1, scorer=None)), State()  # type: ignore[arg-type]
    with monkeypatch.context() as patch:
        for state in (ready, ready, broken, broken, ready, ready):
            patch.setattr("predictions.predictor.current_or_last_known", lambda state=state: state)
            Client().get("/readyz")
    assert {line["logger"] for line in lines.told} == {"training.access"}
    told = [line["status"] for line in lines.told]
    assert told == [503, 200]
    caplog.clear()
    with caplog.at_level(logging.DEBUG, logger="training.access"):
        Client().get("/livez")
    assert [record.getMessage() for record in caplog.records] == ["GET /livez 200"]


def test_refusals_are_logged_under_the_name_too(lines: Lines) -> None:
    name = Client().get("/nowhere?secret=1")["X-Request-ID"]
    assert [(line["logger"], line["request"]) for line in lines.told] == [
        ("training.access", name),
        ("django.request", name),
    ]


def test_the_line_of_a_token(lines: Lines) -> None:
    user = user_with("training.view_anomaly")
    token = Token.objects.create(user=user).key
    Client().get("/api/v1/anomalies/?search=fuite", headers={"authorization": f"Token {token}"})
    route = "/api/v1/anomalies/$"
    assert lines.access() == {
        "message": f"GET {route} 200",
        "method": "GET",
        "route": route,
        "status": 200,
        "user": user.username,
    }
    assert "fuite" not in json.dumps(lines.told)


def test_the_line_of_a_session(lines: Lines) -> None:
    superuser().get(reverse("admin:training_backup_changelist"))
    found = lines.access()
    assert (found["route"], found["user"]) == ("/admin/training/backup/", "owner")


@pytest.mark.parametrize(
    ("method", "path", "route", "status"),
    [
        ("POST", "/train/restore/backup_9", "/train/restore/<slug:backup_name>", 404),
        ("GET", "/nowhere/at/all", "unknown", 404),
        ("BREW", "/health", "/health", 405),
        ("GET", "/static/nothing.css", "static", 404),
    ],
)
def test_the_line_names_routes_not_paths(
    method: str, path: str, route: str, status: int, lines: Lines
) -> None:
    Client().generic(method, path)
    found = lines.access()
    assert (found["route"], found["status"], found["user"]) == (route, status, "-")
    assert found["method"] == ("?" if method == "BREW" else method)


def test_a_bug_has_its_line_and_its_traceback(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictions.api._health", lambda: 1 / 0)
    response = Client(raise_request_exception=False).get("/health")
    assert lines.access()["status"] == 500
    (bug,) = [line for line in lines.told if line["level"] == "ERROR"]
    assert bug["exception"].endswith("ZeroDivisionError: division by zero")
    assert bug["request"] == response["X-Request-ID"]


def test_nobody_is_looked_up_for_the_log(
    lines: Lines, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    with django_assert_num_queries(0):
        client.get("/nowhere")
    assert lines.access()["user"] == "-"


def test_the_session_that_a_request_started_is_logged_under_its_name(lines: Lines) -> None:
    client = superuser()
    from tests.factories import ApprovedFactory  # noqa: PLC0415

    ApprovedFactory.create()
    response = client.post("/api/v1/training-sessions/")
    (started,) = [line for line in lines.told if line["logger"] == "training.sessions"]
    assert started["message"] == f"Training session {response.json()['id']} waits for a worker"
    assert started["request"] == response["X-Request-ID"]
