"""The corpus of malformed bodies and queries, sent again: refused in the form, and nothing stored."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as product
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import AnomalyFactory, UserFactory, VersionFactory
from tests.fuzzing.recording import document, read
from tests.fuzzing.replay import Replay, problems
from tests.fuzzing.test_replay import replay  # noqa: F401  # the fixture
from tests.test_every_route import Writes

pytestmark = pytest.mark.django_db

CORPUS = Path(__file__).parent / "corpus"
ACTIONS = ("approve", "reject", "reopen", "correct")
REPORTS = ("/predict", "/api/v1/anomalies/")
RECORDS = (*REPORTS, "/train")  # the other routes take one small object
LISTS = (
    *(f"/api/v1/{name}/" for name in ("anomalies", "training-sessions", "model-versions", "backups")),
    *(f"/api/v1/{name}/" for name in ("predictions", "quality-reports", "label-findings")),
    "/train/status",
)
TYPES = (
    "text/plain",
    "text/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/xml",
    "application/octet-stream",
    "application/json-patch+json",
    "nonsense",
    "application/json\x00",
    "",
)
FOUND = sorted(CORPUS.glob("found/*.jsonl"))


def files(kind: str) -> list[Path]:
    return sorted(path for path in CORPUS.glob(f"{kind}/*") if path.suffix in {".body", ".json"})


def content(path: Path) -> bytes:
    if path.suffix == ".body":
        return path.read_bytes()
    made: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    body: str = made["before"] + made["part"] * made["times"] + made["after"]
    close: str = made.get("close", "") * made["times"]
    return (body + close).encode()


@pytest.fixture
def client(settings: Settings) -> Client:
    settings.OPEN_DEVELOPMENT_MODE = False
    client = Client(raise_request_exception=False)
    client.force_login(
        UserFactory.create(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend"
    )
    return client


@pytest.fixture
def routes() -> dict[str, list[str]]:
    anomaly, version = AnomalyFactory.create(), VersionFactory.create()
    actions = [reverse(f"v1:anomaly-{action}", args=[anomaly.pk]) for action in ACTIONS]
    by_kind = {
        "reports": list(REPORTS),
        "train": ["/train"],
        "actions": [*actions, reverse("v1:version-activate", args=[version.pk])],
    }
    others = ["/api/v1/quality-reports/", "/api/v1/training-policy/", "/api/v1/training-policy/freeze/"]
    return by_kind | {"any": [*(path for paths in by_kind.values() for path in paths), *others]}


def refused(client: Client, path: str, body: bytes, content_type: str = "application/json") -> int:
    """The status of a refusal that has the form, and wrote nothing."""
    writes = Writes()
    with transaction.atomic(), connection.execute_wrapper(writes):
        method = "PATCH" if path.endswith("/training-policy/") else "POST"
        response: Any = client.generic(method, path, body, content_type)
        transaction.set_rollback(True)
    assert writes.found == [], path
    told = response.json()
    assert set(told) <= {"success", "error", "message", "validation_errors"}, path
    sentence = told.get("message") or told["error"]
    assert sentence, path
    assert len(response.content) < 20_000, path
    status: int = response.status_code
    return status


def test_the_routes_that_read_a_body_are_all_of_them(routes: dict[str, list[str]]) -> None:
    reading = [
        path
        for path, operations in document()["paths"].items()
        for operation in operations.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    assert len(reading) == len(routes["any"])


@pytest.mark.parametrize("kind", ["any", "reports", "train", "actions"])
def test_bodies_are_refused(
    kind: str, client: Client, routes: dict[str, list[str]], subtests: pytest.Subtests
) -> None:
    assert files(kind)
    for path in files(kind):
        body = content(path)
        for route in routes[kind]:
            limit = product.REQUEST_BODY_LIMIT if route in RECORDS else product.SMALL_BODY_LIMIT
            expected = 413 if len(body) > limit else 400
            with subtests.test(f"{path.name} {route}"):
                assert refused(client, route, body) == expected


@pytest.mark.parametrize("content_type", TYPES)
def test_other_content_types_are_refused(
    content_type: str, client: Client, routes: dict[str, list[str]]
) -> None:
    for route in routes["any"]:
        assert refused(client, route, b'{"reason": "x"}', content_type) == 415, route


def test_queries_are_answered_or_refused(client: Client, subtests: pytest.Subtests) -> None:
    lines = (CORPUS / "queries.txt").read_text(encoding="utf-8").splitlines()
    queries = [line for line in lines if not line.startswith("#")]
    assert len(queries) > 50
    for query in queries:
        for path in LISTS:
            with subtests.test(f"{path} {query}"):
                response = client.get(f"{path}?{query}")
                body = response.json()
                assert response.status_code in {200, 400, 404}
                assert ("error" in body) == (response.status_code != 200)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_once_is_mended(path: Path, replay: Replay) -> None:  # noqa: F811  # the fixture
    for recorded in read(path):
        assert list(problems(recorded, replay.send(recorded), document())) == []
