"""/api/v1/quality-reports/ and /api/v1/label-findings/."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.factories import ApprovedFactory, UserFactory
from tests.training.api.v1.conftest import ClientOf
from training import review
from training.label_quality import report_label_quality
from training.models import Anomaly, LabelFinding, QualityCheck, QualityReport

pytestmark = pytest.mark.django_db
FINDINGS = "/api/v1/label-findings/"
REPORTS = "/api/v1/quality-reports/"
CHECKS = "/api/v1/quality-checks/"
ASK, SEE = "training.add_qualitycheck", "training.view_qualitycheck"


@pytest.fixture
def analyst(client_of: ClientOf) -> APIClient:
    return client_of("training.view_qualityreport")


def contradiction(text: str = "fuite vapeur", **other: Any) -> tuple[Anomaly, Anomaly]:
    """The same text, and what differs."""
    return ApprovedFactory.create(description=text), ApprovedFactory.create(description=text, **other)


@pytest.fixture
def found(db: None) -> QualityReport:
    """About process safety on one equipment (A-1, A-2), about fiability between two (B-1, B-2)."""
    for name, other in (
        ("A", {"process_safety_score": 5}),
        ("B", {"fiability_score": 5, "equipment_id": "eq-2"}),
    ):
        for number, changes in enumerate(({}, other), start=1):
            ApprovedFactory.create(anomaly_id=f"{name}-{number}", description=f"fuite {name}x", **changes)
    return report_label_quality()


def ids(client: APIClient, **query: Any) -> list[str]:
    response = client.get(FINDINGS, query)
    assert response.status_code == 200, response.json()
    return [row["anomaly"]["anomaly_id"] for row in response.json()["results"]]


def as_json(anomaly: Anomaly) -> dict[str, Any]:
    names = ["id", "anomaly_id", "description", "equipment_id", "equipment_name", "detected_at"]
    return {name: getattr(anomaly, name) for name in names} | anomaly.scores


def test_one_finding_field_by_field(reader: APIClient) -> None:
    first, second = contradiction(process_safety_score=5)
    report = report_label_quality()
    stored = LabelFinding.objects.get(anomaly=second)
    assert reader.get(f"{FINDINGS}{stored.pk}/").json() == {
        "id": stored.pk,
        "report": report.pk,
        "kind": "conflict",
        "target": "process_safety",
        "rank": 2,
        "suspicion": 0.9,
        "anomaly": as_json(second),
        "other": as_json(first),
        "evidence": stored.evidence,
    }


def test_before_the_first_report_the_list_is_empty(reader: APIClient) -> None:
    contradiction(fiability_score=4)
    assert reader.get(FINDINGS).json() == {"count": 0, "next": None, "previous": None, "results": []}


@pytest.mark.usefixtures("found")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["A-1", "A-2", "B-1", "B-2"]),
        ({"kind": "conflict"}, ["A-1", "A-2", "B-1", "B-2"]),
        ({"kind": ["implausible", "near_duplicate"]}, []),
        ({"target": "process_safety"}, ["A-1", "A-2"]),
        ({"target": ["fiability", "availability"]}, ["B-1", "B-2"]),
        ({"anomaly_id": "B-2"}, ["B-2"]),
        ({"suspicion_min": 0.5}, ["A-1", "A-2"]),
        ({"suspicion_min": "0.91"}, []),
        ({"search": "bx"}, ["B-1", "B-2"]),
        ({"search": "eq-2"}, ["B-2"]),
        ({"ordering": "-suspicion,-rank"}, ["A-2", "A-1", "B-2", "B-1"]),
        ({"ordering": "target,rank"}, ["B-1", "B-2", "A-1", "A-2"]),
    ],
)
def test_each_filter(query: dict[str, Any], expected: list[str], reader: APIClient) -> None:
    assert ids(reader, **query) == expected


@pytest.mark.usefixtures("found")
def test_the_findings_of_one_anomaly(reader: APIClient) -> None:
    assert ids(reader, anomaly=Anomaly.objects.get(anomaly_id="A-2").pk) == ["A-2"]


@pytest.mark.parametrize(
    "query",
    [{"kind": "other"}, {"target": "x"}, {"suspicion_min": "nan"}, {"anomaly": "x"}, {"anomaly_id": "\0"}],
)
def test_a_wrong_filter_is_refused_and_named(query: dict[str, str], reader: APIClient) -> None:
    response = reader.get(FINDINGS, query)
    (name,) = query
    assert response.status_code == 400
    assert response.json()["validation_errors"][0].startswith(f"{name}: ")


@pytest.mark.usefixtures("found")
def test_what_was_reviewed_since_is_left_out(reader: APIClient) -> None:
    second = LabelFinding.objects.get(anomaly__anomaly_id="A-2")
    review.reject(anomalies=[second.anomaly], user=None)
    assert ids(reader) == ["B-1", "B-2"]
    assert reader.get(f"{FINDINGS}{second.pk}/").status_code == 404


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_findings_takes_two_queries_whatever_its_length(count: int, reader: APIClient) -> None:
    for number in range(count):
        contradiction(f"fuite {number}", fiability_score=5, detected_at=None)
    report_label_quality()
    reader.get(FINDINGS)
    with CaptureQueriesContext(connection) as queries:
        response = reader.get(FINDINGS, {"kind": "conflict"})
    assert len(response.json()["results"]) == 2 * count
    assert len(queries) == 2  # count, rows


def test_one_report_field_by_field(analyst: APIClient) -> None:
    user = UserFactory.create(username="quality")
    report = report_label_quality(user=user)
    assert analyst.get(f"{REPORTS}{report.pk}/").json() == {
        "id": report.pk,
        "kind": "labels",
        "record_count": 0,
        "seconds": report.seconds,
        "created_at": report.created_at.isoformat().replace("+00:00", "Z"),
        "created_by": "quality",
        "content": report.content,
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, [3, 2, 1]),
        ({"kind": "labels"}, [2, 1]),
        ({"kind": ["labels", "drift"]}, [3, 2, 1]),
        ({"ordering": "record_count"}, [1, 2, 3]),
        ({"created_before": "2020-01-01"}, []),
        ({"search": "nobody"}, []),
    ],
)
def test_each_filter_of_reports(query: dict[str, Any], expected: list[int], analyst: APIClient) -> None:
    for number, kind in enumerate(("labels", "labels", "drift"), start=1):
        QualityReport.objects.create(kind=kind, record_count=number, seconds=1, content={"a": [number]})
    results = analyst.get(REPORTS, query).json()["results"]
    assert [row["record_count"] for row in results] == expected


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_reports_takes_two_queries_whatever_its_length(count: int, analyst: APIClient) -> None:
    for _ in range(count):
        report_label_quality(user=UserFactory.create())
    analyst.get(REPORTS)
    with CaptureQueriesContext(connection) as queries:
        response = analyst.get(REPORTS)
    assert len(response.json()["results"]) == count
    assert len(queries) == 2  # count, rows


def test_neither_list_is_for_who_may_see_the_other(reader: APIClient, analyst: APIClient) -> None:
    assert reader.get(REPORTS).status_code == 403
    assert analyst.get(FINDINGS).status_code == 403


# --- Checks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["labels", "drift"])
def test_a_report_is_asked_for_and_the_answer_does_not_wait(kind: str, client_of: ClientOf) -> None:
    client = client_of(ASK, SEE)
    response = client.post(REPORTS, {"kind": kind}, format="json")
    check = QualityCheck.objects.get()
    assert response.status_code == 202
    assert response["Location"] == f"http://testserver{CHECKS}{check.pk}/"
    assert (
        response.json()
        == client.get(response["Location"]).json()
        == {
            "id": check.pk,
            "kind": kind,
            "status": "queued",
            "trigger": "api",
            "requested_by": check.requested_by and check.requested_by.username,
            "progress": 0,
            "attempts": 0,
            "reason": "",
            "queued_at": check.queued_at.isoformat().replace("+00:00", "Z"),
            "started_at": None,
            "finished_at": None,
            "seconds": 0.0,
            "report": None,
        }
    )
    assert check.requested_by is not None


def test_while_one_is_made_another_one_is_refused(client_of: ClientOf) -> None:
    client = client_of(ASK)
    client.post(REPORTS, {"kind": "labels"}, format="json")
    again = client.post(REPORTS, {"kind": "labels"}, format="json")
    assert (again.status_code, again.json()) == (
        409,
        {"success": False, "error": "A quality check of this kind is queued or running already."},
    )
    assert client.post(REPORTS, {"kind": "drift"}, format="json").status_code == 202


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({}, ["kind: This field is required."]),
        ({"kind": "other"}, ['kind: "other" is not a valid choice.']),
        ({"kind": "drift", "backtest": True}, ["backtest: unknown field"]),
    ],
)
def test_a_wrong_request_is_named(body: dict[str, Any], errors: list[str], client_of: ClientOf) -> None:
    response = client_of(ASK).post(REPORTS, body, format="json")
    assert (response.status_code, response.json()["validation_errors"]) == (400, errors)
    assert not QualityCheck.objects.exists()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["drift", "labels"]),
        ({"kind": "labels"}, ["labels"]),
        ({"status": ["failed", "queued"]}, ["drift"]),
        ({"trigger": "schedule"}, ["labels"]),
        ({"queued_before": "2020-01-01"}, []),
        ({"search": "disk"}, ["drift"]),
        ({"ordering": "id"}, ["labels", "drift"]),
    ],
)
def test_each_filter_of_checks(query: dict[str, Any], expected: list[str], client_of: ClientOf) -> None:
    QualityCheck.objects.create(kind="labels", trigger="schedule", status="skipped")
    QualityCheck.objects.create(kind="drift", trigger="api", status="failed", reason="The disk refused.")
    results = client_of(SEE).get(CHECKS, query).json()["results"]
    assert [row["kind"] for row in results] == expected


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_of_checks_takes_two_queries_whatever_its_length(count: int, client_of: ClientOf) -> None:
    client = client_of(SEE)
    for _ in range(count):
        user = UserFactory.create()
        QualityCheck.objects.create(kind="labels", trigger="api", status="failed", requested_by=user)
    client.get(CHECKS)
    with CaptureQueriesContext(connection) as queries:
        response = client.get(CHECKS)
    assert len(response.json()["results"]) == count
    assert len(queries) == 2  # count, rows
