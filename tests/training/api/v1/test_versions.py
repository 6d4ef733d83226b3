"""/api/v1/model-versions/: how good they are, and which one serves."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import SessionFactory, VersionFactory
from tests.trained import approved_records, trained_version
from tests.training.api.v1.conftest import ClientOf
from training import artifacts, versions
from training.models import Activation, ModelVersion
from training.policy import freeze

pytestmark = pytest.mark.django_db
URL = "/api/v1/model-versions/"
METRICS = {
    "protocol": "grouped_holdout",
    "rows": 9,
    "model": {
        "availability": {"mae": 0.25, "confusion": [[1, 0], [0, 8]]},
        "fiability": {"mae": 0.5},
        "process_safety": {"mae": None},
    },
    "dummy": {},
}


@pytest.fixture
def owner(client_of: ClientOf) -> APIClient:
    return client_of("training.view_modelversion", "training.activate_modelversion")


def url_of(version: ModelVersion, verb: str = "") -> str:
    return f"{URL}{version.pk}/{verb and verb + '/'}"


def test_one_version_field_by_field(owner: APIClient) -> None:
    version = VersionFactory.create(name="version_1_1", metrics=METRICS, libraries={"numpy": "2.0"})
    session = SessionFactory.create(status="succeeded", model_version=version)
    assert owner.get(url_of(version)).json() == {
        "id": version.pk,
        "name": "version_1_1",
        "path": "model_versions/version_1_1",
        "is_active": False,
        "is_usable": True,
        "training_session": session.pk,
        "dataset_rows": 1,
        "dataset_fingerprint": version.dataset_fingerprint,
        "dataset_read_at": "2026-01-01T00:00:00Z",
        "mae": {"availability": 0.25, "fiability": 0.5, "process_safety": None},
        "libraries": {"numpy": "2.0"},
        "digest": "0" * 64,
        "size_bytes": 1,
        "created_at": version.created_at.isoformat().replace("+00:00", "Z"),
        "verified_at": None,
        "verification_error": "",
        "pruned_at": None,
    }


def test_a_version_without_session_or_measure(owner: APIClient) -> None:
    body = owner.get(url_of(VersionFactory.create())).json()
    assert body["training_session"] is None
    assert body["mae"] == {"availability": None, "fiability": None, "process_safety": None}


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_takes_two_queries_whatever_its_length(count: int, owner: APIClient) -> None:
    for _ in range(count):
        SessionFactory.create(status="succeeded", model_version=VersionFactory.create())
        VersionFactory.create()
    owner.get(URL)
    with CaptureQueriesContext(connection) as queries:
        response = owner.get(URL)
    assert len(response.json()["results"]) == 2 * count
    assert len(queries) == 2  # count, rows


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["v3", "v2", "v1"]),
        ({"is_active": "true"}, ["v2"]),
        ({"available": "false"}, ["v1"]),
        ({"available": "true"}, ["v3", "v2"]),
        ({"search": "v3"}, ["v3"]),
        ({"ordering": "dataset_rows"}, ["v2", "v3", "v1"]),
        ({"created_before": "2025-12-31"}, []),
    ],
)
def test_each_filter(query: dict[str, Any], expected: list[str], owner: APIClient) -> None:
    VersionFactory.create(name="v1", dataset_rows=30, pruned_at=timezone.now())
    VersionFactory.create(name="v2", dataset_rows=10, is_active=True)
    VersionFactory.create(name="v3", dataset_rows=20)
    assert [row["name"] for row in owner.get(URL, query).json()["results"]] == expected


def test_metrics_are_told_in_full(owner: APIClient) -> None:
    comparison = {"passed": True, "sentence": "There was no champion to compare with."}
    version = VersionFactory.create(
        name="v1", metrics=METRICS, statistics={"availability": {}}, comparison=comparison
    )
    assert owner.get(url_of(version, "metrics")).json() == {
        "id": version.pk,
        "name": "v1",
        "metrics": METRICS,
        "statistics": {"availability": {}},
        "comparison": comparison,
    }


def test_activate_makes_it_serve(owner: APIClient) -> None:
    approved_records()
    first = trained_version("version_1", is_active=True)
    second = trained_version("version_2")
    response = owner.post(url_of(second, "activate"))
    body = response.json()
    assert (response.status_code, body["is_active"]) == (200, True)
    assert body["verified_at"] is not None
    assert ModelVersion.objects.active() == second
    entry = Activation.objects.get()
    assert (entry.version, entry.reason) == (second, "request")
    assert entry.activated_by is not None
    assert owner.get(url_of(first)).json()["is_active"] is False


def test_against_the_gate_a_reason_is_needed_and_kept(owner: APIClient) -> None:
    approved_records()
    first = trained_version("version_1", is_active=True)
    refused = trained_version("version_2", comparison={"passed": False, "sentence": "Worse on fiability."})
    response = owner.post(url_of(refused, "activate"))
    assert (response.status_code, response.json()["error"]) == (
        409,
        f"The gate refused {refused}. Worse on fiability. To activate it all the same, give a reason.",
    )
    assert ModelVersion.objects.active() == first
    response = owner.post(url_of(refused, "activate"), {"reason": "new unit"}, format="json")
    assert (response.status_code, response.json()["is_active"]) == (200, True)
    entry = Activation.objects.get()
    assert (entry.reason, entry.note) == ("override", "new unit")


@pytest.mark.parametrize("body", [{"reason": 5}, {"why": "x"}, {"reason": "x" * 501}], ids=str)
def test_a_reason_is_a_text(owner: APIClient, body: dict[str, object]) -> None:
    version = VersionFactory.create()
    assert owner.post(url_of(version, "activate"), body, format="json").status_code == 400


def test_nothing_is_activated_while_frozen(owner: APIClient) -> None:
    first, second = VersionFactory.create(is_active=True), VersionFactory.create()
    freeze(user=None, reason="outage")
    response = owner.post(url_of(second, "activate"))
    assert (response.status_code, response.json()["error"]) == (
        409,
        "Training and activation are frozen until it is lifted: outage",
    )
    assert ModelVersion.objects.active() == first


def test_rolling_back_leads_to_what_served_before(owner: APIClient) -> None:
    approved_records()
    first, second, third = (trained_version(f"version_{number}") for number in range(3))
    for version in (first, second):
        versions.set_active(version=version, reason=Activation.Reason.REQUEST)
    response = owner.post(url_of(third, "roll-back"))
    assert (response.status_code, response.json()["error"]) == (
        409,
        f"{third} is not the version that served before.",
    )
    response = owner.post(url_of(first, "roll-back"))
    assert (response.status_code, response.json()["is_active"]) == (200, True)
    assert Activation.objects.latest("pk").reason == "rollback"


@pytest.mark.parametrize("damage", ["altered", "pruned"])
def test_what_cannot_be_loaded_is_a_conflict_and_the_old_one_serves(damage: str, owner: APIClient) -> None:
    approved_records()
    first = trained_version("version_1", is_active=True)
    second = trained_version("version_2")
    if damage == "pruned":
        artifacts.remove(second)
    else:
        (artifacts.directory_of(second) / "features.pkl").write_bytes(b"something else")
    response = owner.post(url_of(second, "activate"))
    body = response.json()
    assert (response.status_code, body["success"]) == (409, False)
    assert ("features.pkl" if damage == "altered" else "were removed") in body["error"]
    assert ModelVersion.objects.active() == first
