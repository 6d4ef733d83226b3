"""/api/v1/anomalies/: read by anyone who may, changed by reviewers."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.api.v1.conftest import ClientOf
from training import review
from training.models import Anomaly

pytestmark = pytest.mark.django_db
URL = "/api/v1/anomalies/"
SCORES = {"availability_score": 2, "fiability_score": 1.5, "process_safety_score": 5}


def url_of(anomaly: Anomaly, verb: str = "") -> str:
    return f"{URL}{anomaly.pk}/{verb and verb + '/'}"


def ids(response: Any) -> list[str]:
    assert response.status_code == 200, response.json()
    return [row["anomaly_id"] for row in response.json()["results"]]


def refusal(response: Any) -> tuple[int, str]:
    assert response.json()["success"] is False
    return response.status_code, response.json()["error"]


# --- Reading -----------------------------------------------------------------------------------


def test_one_anomaly_field_by_field(reader: APIClient, admin_user: User) -> None:
    anomaly = ApprovedFactory.create(
        anomaly_id="A/1", system="CEX", reviewed_by=admin_user, detected_at=datetime(2026, 1, 2, tzinfo=UTC)
    )
    body = reader.get(url_of(anomaly)).json()
    assert body == {
        "id": anomaly.pk,
        "anomaly_id": "A/1",
        "description": anomaly.description,
        "equipment_name": "Vanne de purge",
        "equipment_id": "eq-1",
        "system": "CEX",
        "section": "",
        "detected_at": "2026-01-02T00:00:00Z",
        "status": "approved",
        "availability_score": 2.0,
        "fiability_score": 1.0,
        "process_safety_score": 3.0,
        "criticality": 6.0,
        "source": "admin",
        "reviewed_by": "admin",
        "reviewed_at": "2026-01-01T00:00:00Z",
        "created_at": anomaly.created_at.isoformat().replace("+00:00", "Z"),
        "updated_at": anomaly.updated_at.isoformat().replace("+00:00", "Z"),
    }


@pytest.mark.parametrize("key", ["0", "9" * 18, "9" * 19, "1.5", "x", "..", "%00", "-1", "1%0a"])
def test_an_unknown_key_is_not_found(key: str, reader: APIClient) -> None:
    status, _ = refusal(reader.get(f"{URL}{key}/"))
    assert status == 404


@pytest.mark.parametrize("count", [1, 3])
def test_a_list_takes_two_queries_whatever_its_length(
    count: int, reader: APIClient, admin_user: User
) -> None:
    ApprovedFactory.create_batch(count, reviewed_by=admin_user)
    reader.get(URL)  # the user's permissions are cached on the user
    with CaptureQueriesContext(connection) as queries:
        response = reader.get(URL)
    assert len(response.json()["results"]) == count
    assert len(queries) == 2  # count, rows


def test_pages_are_linked_and_bounded(reader: APIClient) -> None:
    AnomalyFactory.create_batch(3)
    body = reader.get(URL, {"page_size": 2}).json()
    assert (body["count"], len(body["results"]), body["previous"]) == (3, 2, None)
    assert body["next"] == f"http://testserver{URL}?page=2&page_size=2"
    assert len(reader.get(body["next"]).json()["results"]) == 1


def test_a_page_has_at_most_200_rows(reader: APIClient) -> None:
    Anomaly.objects.bulk_create(AnomalyFactory.build_batch(201))
    assert len(reader.get(URL, {"page_size": 1_000}).json()["results"]) == 200


@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "9" * 5_000])
def test_a_page_that_is_not_there(page: str, reader: APIClient) -> None:
    AnomalyFactory.create()
    assert reader.get(URL, {"page": page}).status_code == 404


# --- Actions -----------------------------------------------------------------------------------


def test_approve_with_scores(reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create()
    response = reviewer.post(url_of(anomaly, "approve"), {"scores": SCORES, "reason": "clear"}, format="json")
    body = response.json()
    anomaly.refresh_from_db()
    assert response.status_code == 200
    assert {name: body[name] for name in SCORES} == SCORES
    assert (body["status"], body["criticality"], body["reviewed_by"]) == (
        "approved",
        8.5,
        Anomaly.history.latest().history_user.username,
    )
    assert (anomaly.status, anomaly.criticality) == ("approved", 8.5)
    assert Anomaly.history.latest().history_change_reason == "clear"


def test_what_two_people_review_is_approved_once_they_agree(
    reviewer: APIClient, client_of: ClientOf, settings: Settings
) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    anomaly, second = AnomalyFactory.create(), client_of("training.review_anomaly")
    body = {"scores": SCORES}
    answers = [client.post(url_of(anomaly, "approve"), body, format="json") for client in (reviewer, second)]
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [
        (202, "pending"),
        (200, "approved"),
    ]
    rejected = AnomalyFactory.create(status="rejected")
    assert reviewer.post(url_of(rejected, "approve"), body, format="json").status_code == 409
    rejected.refresh_from_db()
    assert rejected.status == "rejected"


def test_approve_with_the_scores_that_are_there(reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create(**SCORES)
    response = reviewer.post(url_of(anomaly, "approve"))
    assert (response.status_code, response.json()["status"]) == (200, "approved")


def test_approve_completes_the_scores_that_are_there(reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create(availability_score=2, fiability_score=1.5)
    response = reviewer.post(
        url_of(anomaly, "approve"), {"scores": {"process_safety_score": 5}}, format="json"
    )
    assert {name: response.json()[name] for name in SCORES} == SCORES


def test_a_filter_does_not_hide_the_row_that_the_address_names(reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create(**SCORES)
    response = reviewer.post(f"{url_of(anomaly, 'approve')}?status=pending&search=x")
    assert (response.status_code, response.json()["status"]) == (200, "approved")


def test_approve_needs_all_three_scores(reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create(availability_score=2)
    response = reviewer.post(url_of(anomaly, "approve"), {"scores": {"fiability_score": 1}}, format="json")
    assert response.status_code == 400
    assert response.json()["validation_errors"] == ["scores: process_safety_score: not given yet"]
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.fiability_score) == ("pending", None)


@pytest.mark.parametrize("status", ["approved", "rejected"])
@pytest.mark.parametrize("body", [{}, {"scores": SCORES}, {"scores": {"fiability_score": 5}, "reason": "x"}])
def test_approving_what_is_settled_is_a_conflict(
    reviewer: APIClient, status: str, body: dict[str, Any]
) -> None:
    anomaly = ApprovedFactory.create(status=status)
    before = anomaly.scores
    response = reviewer.post(url_of(anomaly, "approve"), body, format="json")
    assert refusal(response) == (409, f"The anomaly is {status} already.")
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.history.count()) == (status, before, 1)


@pytest.mark.django_db(transaction=True)
def test_of_twelve_who_approve_at_once_one_does(client_of: ClientOf) -> None:
    anomaly = AnomalyFactory.create()
    clients = [client_of("training.review_anomaly") for _ in range(12)]
    barrier = Barrier(len(clients))

    def approve(number: int) -> int:
        scores = dict.fromkeys(SCORES, 1 + number / 4)
        barrier.wait()
        try:
            response = clients[number].post(url_of(anomaly, "approve"), {"scores": scores}, format="json")
            return int(response.status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = list(pool.map(approve, range(len(clients))))
    assert sorted(statuses) == [200] + [409] * 11
    anomaly.refresh_from_db()
    assert anomaly.availability_score == 1 + statuses.index(200) / 4
    assert anomaly.history.count() == 2


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (0.99, "must be between 1 and 5, got 0.99"),
        (6, "must be between 1 and 5, got 6"),
        (True, "must be a finite number, got bool"),
        ("3", "must be a finite number, got str"),
        ("1_000", "must be a finite number, got str"),
        (None, "This field may not be null."),
        ([], "must be a finite number, got list"),
        (float("nan"), "must be a finite number, got nan"),
        (float("-inf"), "must be a finite number, got -inf"),
        (10**400, "must be a finite number, got inf"),
    ],
)
@pytest.mark.parametrize("verb", ["approve", "correct"])
def test_what_is_no_score_is_refused(verb: str, value: object, problem: str, reviewer: APIClient) -> None:
    anomaly = AnomalyFactory.create(**SCORES)
    body = {"scores": SCORES | {"fiability_score": value}, "reason": "x"}
    response = reviewer.post(url_of(anomaly, verb), json.dumps(body), content_type="application/json")
    assert response.status_code == 400
    assert response.json()["validation_errors"] == [f"scores: fiability_score: {problem}"]
    assert anomaly.history.count() == 1


def test_reject_says_why(reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    response = reviewer.post(url_of(anomaly, "reject"), {"reason": "a duplicate"}, format="json")
    assert (response.status_code, response.json()["status"]) == (200, "rejected")
    assert anomaly.history.latest().history_change_reason == "a duplicate"
    again = reviewer.post(url_of(anomaly, "reject"), {"reason": "a duplicate"}, format="json")
    assert refusal(again) == (409, "The anomaly is rejected already.")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "reason: This field is required."),
        ({"reason": " "}, "reason: must not be blank"),
        ({"reason": None}, "reason: This field may not be null."),
        ({"reason": 1}, "reason: must be a string, got int"),
        ({"reason": "a\0"}, "reason: must not contain NUL characters"),
        ({"reason": "x", "status": "approved"}, "status: unknown field"),
        ([], "Invalid data. Expected a dictionary, but got list."),
    ],
)
def test_reject_needs_a_reason(body: object, error: str, reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    response = reviewer.post(url_of(anomaly, "reject"), body, format="json")
    assert (response.status_code, response.json()["validation_errors"]) == (400, [error])
    anomaly.refresh_from_db()
    assert anomaly.status == "approved"


def test_a_reason_may_be_long_but_not_endless(reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    limit = review.MAX_REASON
    too_long = reviewer.post(url_of(anomaly, "reject"), {"reason": "x" * (limit + 1)}, format="json")
    assert too_long.status_code == 400
    assert reviewer.post(url_of(anomaly, "reject"), {"reason": "x" * limit}, format="json").status_code == 200
    assert anomaly.history.latest().history_change_reason == "x" * limit


def test_reopen_puts_it_back_in_the_queue(reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    body = reviewer.post(url_of(anomaly, "reopen")).json()
    assert (body["status"], body["criticality"]) == ("pending", 6.0)
    expected = (409, "The anomaly is pending already.")
    assert refusal(reviewer.post(url_of(anomaly, "reopen"))) == expected


def test_correct_changes_some_scores(reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    body = {"scores": {"availability_score": 4}, "reason": "seen on site"}
    answer = reviewer.post(url_of(anomaly, "correct"), body, format="json").json()
    assert (answer["availability_score"], answer["criticality"], answer["status"]) == (4.0, 8.0, "approved")
    expected = (409, "These are the scores that the anomaly already has.")
    assert refusal(reviewer.post(url_of(anomaly, "correct"), body, format="json")) == expected


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"reason": "x"}, ["scores: This field is required."]),
        ({"reason": "x", "scores": {}}, ["scores: Give at least one score."]),
        ({"scores": {"fiability_score": 3}}, ["reason: This field is required."]),
        ({"reason": "x", "scores": {"reliability_score": 3}}, ["scores: reliability_score: unknown field"]),
    ],
)
def test_correct_needs_scores_and_a_reason(body: object, errors: list[str], reviewer: APIClient) -> None:
    anomaly = ApprovedFactory.create()
    response = reviewer.post(url_of(anomaly, "correct"), body, format="json")
    assert (response.status_code, response.json()["validation_errors"]) == (400, errors)


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
def test_an_anomaly_is_neither_overwritten_nor_deleted(method: str, client_of: ClientOf) -> None:
    anomaly = AnomalyFactory.create()
    client = client_of("training.view_anomaly", "training.change_anomaly", "training.delete_anomaly")
    assert getattr(client, method)(url_of(anomaly), {}, format="json").status_code == 405
    assert Anomaly.objects.filter(pk=anomaly.pk).exists()
