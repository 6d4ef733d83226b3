"""GET /api/v1/anomalies/<id>/history/: old, new, who, when, why."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory
from training import review
from training.models import Anomaly

pytestmark = pytest.mark.django_db
SCORES = {"availability_score": 2.0, "fiability_score": 1.0, "process_safety_score": 5.0}


def url_of(anomaly: Anomaly) -> str:
    return f"/api/v1/anomalies/{anomaly.pk}/history/"


def test_only_what_changed_is_told(reader: APIClient, admin_user: User) -> None:
    anomaly = AnomalyFactory.create(anomaly_id="A-1", description="fuite", equipment_name="")
    review.approve(anomalies=[anomaly], scores=SCORES, user=admin_user, reason="clear")
    review.correct(
        anomaly=anomaly, scores=SCORES | {"fiability_score": 2.5}, user=None, reason="seen on site"
    )
    body = reader.get(url_of(anomaly)).json()
    corrected, approved, created = body["results"]
    times = [entry.pop("changed_at") for entry in body["results"]]
    assert times == sorted(times, reverse=True)
    assert corrected == {
        "changed_by": None,
        "reason": "seen on site",
        "changes": [{"field": "fiability_score", "old": 1.0, "new": 2.5}],
    }
    assert approved == {
        "changed_by": "admin",
        "reason": "clear",
        "changes": [
            {"field": "availability_score", "old": None, "new": 2.0},
            {"field": "fiability_score", "old": None, "new": 1.0},
            {"field": "process_safety_score", "old": None, "new": 5.0},
            {"field": "status", "old": "pending", "new": "approved"},
        ],
    }
    assert created == {
        "changed_by": None,
        "reason": "",
        "changes": [
            {"field": "anomaly_id", "old": None, "new": "A-1"},
            {"field": "description", "old": None, "new": "fuite"},
            {"field": "equipment_id", "old": None, "new": "eq-1"},
            {"field": "status", "old": None, "new": "pending"},
        ],
    }


def test_a_copy_without_a_change_is_left_out(reader: APIClient) -> None:
    anomaly = AnomalyFactory.create()
    anomaly.save()
    assert anomaly.history.count() == 2
    assert reader.get(url_of(anomaly)).json()["count"] == 1


@pytest.mark.parametrize("count", [1, 3])
def test_the_history_takes_two_queries_whatever_its_length(
    count: int, reader: APIClient, admin_user: User
) -> None:
    anomaly = AnomalyFactory.create()
    for number in range(count - 1):
        review.correct(anomaly=anomaly, scores={"fiability_score": 1 + number}, user=admin_user)
    reader.get(url_of(anomaly))
    with CaptureQueriesContext(connection) as queries:
        body = reader.get(url_of(anomaly), {"page_size": 2}).json()
    assert (body["count"], len(body["results"])) == (count, min(count, 2))
    assert len(queries) == 2  # the anomaly, its copies
