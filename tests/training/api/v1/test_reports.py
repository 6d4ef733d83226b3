"""POST /api/v1/anomalies/: reports come in as pending."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory
from tests.training.api.v1.conftest import granted
from training.models import Anomaly

pytestmark = pytest.mark.django_db
URL = "/api/v1/anomalies/"


def record(n: int = 1, changes: Mapping[str, object] | None = None) -> dict[str, Any]:
    plain = {"anomaly_id": f"N-{n}", "description": f"bruit anormal {n}", "equipment_id": "pump-1"}
    return {**plain, **(changes or {})}


def errors_of(response: Any) -> list[str]:
    assert response.status_code == 400
    body = response.json()
    assert (body["success"], body["error"]) == (False, "Data validation failed")
    assert not Anomaly.objects.exists()
    return list(body["validation_errors"])


def test_a_report_is_stored_as_pending(reporter: APIClient) -> None:
    optional = {"equipment_name": "Pompe", "system": "CEX", "section": "34MC"}
    full = record(1, optional | {"detected_at": "2026-03-01T08:30:00+02:00"})
    response = reporter.post(URL, full, format="json")
    anomaly = Anomaly.objects.get()
    body = response.json()
    assert response.status_code == 201
    assert response["Location"] == f"http://testserver{URL}{anomaly.pk}/"
    assert body.pop("created_at") == anomaly.created_at.isoformat().replace("+00:00", "Z")
    assert body.pop("updated_at") == anomaly.updated_at.isoformat().replace("+00:00", "Z")
    assert body == {
        "id": anomaly.pk,
        **full,
        "detected_at": "2026-03-01T06:30:00Z",
        "status": "pending",
        "availability_score": None,
        "fiability_score": None,
        "process_safety_score": None,
        "criticality": None,
        "source": "api",
        "reviewed_by": None,
        "reviewed_at": None,
    }
    assert anomaly.detected_at == datetime(2026, 3, 1, 6, 30, tzinfo=UTC)


def test_a_list_is_answered_with_a_list_in_its_order(reporter: APIClient) -> None:
    response = reporter.post(URL, [record(2), record(1)], format="json")
    assert response.status_code == 201
    assert [row["anomaly_id"] for row in response.json()] == ["N-2", "N-1"]
    assert Anomaly.objects.count() == 2
    assert "Location" not in response


def test_who_reported_is_kept_in_the_history() -> None:
    user, client = granted("training.add_anomaly"), APIClient()
    client.force_authenticate(user)
    client.post(URL, [record(1), record(2)], format="json")
    entries = Anomaly.history.values_list("history_type", "history_user", "status")
    assert list(entries) == [("+", user.pk, "pending")] * 2


def test_null_and_blank_say_nothing_where_a_field_is_optional(reporter: APIClient) -> None:
    silent = {"equipment_name": "", "system": None, "section": None, "detected_at": None}
    assert reporter.post(URL, record(1, silent), format="json").status_code == 201
    anomaly = Anomaly.objects.get()
    assert (anomaly.equipment_name, anomaly.system, anomaly.section) == ("", "", "")
    assert anomaly.detected_at is None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"anomaly_id": 7}, "anomaly_id: must be a string, got int"),
        ({"anomaly_id": True}, "anomaly_id: must be a string, got bool"),
        ({"anomaly_id": None}, "anomaly_id: This field may not be null."),
        ({"anomaly_id": " "}, "anomaly_id: must not be blank"),
        ({"anomaly_id": "x" * 256}, "anomaly_id: must be at most 255 characters, got 256"),
        ({"anomaly_id": "a\0b"}, "anomaly_id: must not contain NUL characters"),
        ({"description": ""}, "description: must not be blank"),
        ({"description": "x" * 2001}, "description: must be at most 2,000 characters, got 2,001"),
        ({"description": ["x"]}, "description: must be a string, got list"),
        ({"equipment_id": "\t"}, "equipment_id: must not be blank"),
        ({"equipment_name": "x" * 501}, "equipment_name: must be at most 500 characters, got 501"),
        ({"system": "\0"}, "system: must not contain NUL characters"),
        ({"section": 1.5}, "section: must be a string, got float"),
        ({"detected_at": 1700000000}, "detected_at: must be a string, got int"),
        (
            {"detected_at": "yesterday"},
            "detected_at: must be an ISO 8601 date and time between the years 1900 and 2199",
        ),
        (
            {"detected_at": "0001-01-01T00:00:00+14:00"},
            "detected_at: must be an ISO 8601 date and time between the years 1900 and 2199",
        ),
        ({"availability_score": 3}, "availability_score: unknown field"),
        ({"status": "approved"}, "status: unknown field"),
        ({"id": 5}, "id: unknown field"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, object], error: str, reporter: APIClient) -> None:
    response = reporter.post(URL, record(1, change), format="json")
    assert errors_of(response) == [f"Record 1: {error}"]


def test_a_lone_surrogate_is_refused(reporter: APIClient) -> None:
    body = json.dumps(record(1, {"description": "\ud800"}))
    response = reporter.post(URL, body, content_type="application/json")
    assert errors_of(response) == ["Record 1: description: must not contain lone surrogates"]


def test_a_lone_surrogate_in_a_field_name_is_refused(reporter: APIClient) -> None:
    body = json.dumps(record(1, {"\ud800": 1}))
    response = reporter.post(URL, body, content_type="application/json")
    sentence = "A name in the JSON contains lone surrogates."
    assert (response.status_code, response.json()["error"]) == (400, sentence)


def test_everything_wrong_with_a_batch_is_said_at_once(reporter: APIClient) -> None:
    batch = [record(1), {"anomaly_id": "N-9"}, 7, record(1), record(4, {"description": " "}), None]
    assert errors_of(reporter.post(URL, batch, format="json")) == [
        "Record 2: description: This field is required.",
        "Record 2: equipment_id: This field is required.",
        "Record 3: Invalid data. Expected a dictionary, but got int.",
        "Record 5: description: must not be blank",
        "Record 6: This field may not be null.",
        "Record 4: anomaly_id: The same as in record 1.",
    ]


@pytest.mark.parametrize(("count", "shown"), [(0, "0"), (1_001, "1,001")])
def test_a_batch_has_1_to_1000_reports(count: int, shown: str, reporter: APIClient) -> None:
    response = reporter.post(URL, [record(n) for n in range(count)], format="json")
    assert errors_of(response) == [f"Send 1 to 1,000 reports at a time, got {shown}."]


def test_1000_reports_are_stored_in_a_bounded_number_of_queries(reporter: APIClient) -> None:
    reporter.post(URL, record(), format="json")
    with CaptureQueriesContext(connection) as queries:
        response = reporter.post(URL, [record(n) for n in range(1_000, 2_000)], format="json")
    assert response.status_code == 201
    assert Anomaly.objects.count() == 1_001
    assert len(queries) < 60


@pytest.mark.parametrize("body", ['"text"', "7", "null", ""])
def test_another_kind_of_body_is_refused(body: str, reporter: APIClient) -> None:
    assert errors_of(reporter.post(URL, body, content_type="application/json"))


def test_a_known_id_is_a_conflict_and_nothing_is_stored(reporter: APIClient) -> None:
    AnomalyFactory.create(anomaly_id="N-2", description="known")
    response = reporter.post(URL, [record(1), record(2), record(3)], format="json")
    assert response.status_code == 409
    assert response.json() == {
        "success": False,
        "error": "Data validation failed",
        "validation_errors": ["Record 2: anomaly_id: An anomaly of this ID is already known."],
    }
    assert [(row.anomaly_id, row.description) for row in Anomaly.objects.all()] == [("N-2", "known")]
    assert Anomaly.history.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_racers_with_one_id_one_wins_and_nobody_sees_a_server_error() -> None:
    user = granted("training.add_anomaly")

    def post(racer: int) -> int:
        client = APIClient(raise_request_exception=False)
        client.force_authenticate(user)
        batch = [record(1), record(10 + racer), record(2)]
        try:
            return client.post(URL, batch if racer % 2 else batch[::-1], format="json").status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(post, range(8)))
    assert statuses == [201] + [409] * 7
    assert Anomaly.objects.count() == 3
    assert Anomaly.history.count() == 3
