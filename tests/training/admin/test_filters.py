from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import ApprovedFactory
from tests.training.admin.people import staff
from training import review
from training.label_quality import report_label_quality
from training.models import Anomaly

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_anomaly_changelist")


@pytest.fixture
def client() -> Client:
    return staff("training.view_anomaly")


@pytest.fixture
def doubtful() -> list[Anomaly]:
    """One text with two scores on one equipment; and one that nobody doubts."""
    both = [
        ApprovedFactory.create(description="fuite vapeur", process_safety_score=score) for score in (2, 5)
    ]
    ApprovedFactory.create(description="vibration palier ventilateur", equipment_id="fan")
    report_label_quality()
    return both


def found(client: Client, **query: Any) -> set[int]:
    return {row.pk for row in client.get(LIST, query).context["cl"].result_list}


def test_doubtful_labels_are_listed_by_kind(client: Client, doubtful: list[Anomaly]) -> None:
    both = {anomaly.pk for anomaly in doubtful}
    assert found(client, doubt="any") == both
    assert found(client, doubt="conflict") == both
    assert found(client, doubt="near_duplicate") == set()
    assert len(found(client, doubt="nonsense")) == 3


def test_what_was_settled_is_doubtful_no_more(client: Client, doubtful: list[Anomaly]) -> None:
    review.correct(anomaly=doubtful[1], scores={"process_safety_score": 2}, user=None)
    assert found(client, doubt="any") == set()
