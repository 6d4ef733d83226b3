"""A list counts and pages no further than MOST rows, says so, and no action goes beyond what was counted."""

from typing import Any

import pytest
from django.db.models import QuerySet
from django.test import Client
from django.urls import reverse

from tests.factories import AnomalyFactory
from tests.training.admin.confirming import confirm
from tests.training.admin.people import said, superuser
from training.admin import long_lists
from training.admin.long_lists import AtLeast, BoundedPaginator
from training.models import Anomaly

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_anomaly_changelist")


@pytest.fixture
def client() -> Client:
    return superuser()


@pytest.fixture(autouse=True)
def most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(long_lists, "MOST", 3)


@pytest.mark.parametrize(("rows", "words"), [(2, "2"), (3, "3"), (4, "3+"), (5, "3+")])
def test_counts_up_to_the_bound(rows: int, words: str) -> None:
    AnomalyFactory.create_batch(rows)
    count = BoundedPaginator(Anomaly.objects.all(), 2).count
    assert str(count) == words
    assert count == min(rows, 3)
    assert isinstance(count, AtLeast) is (rows > 3)


def test_a_longer_list_says_so(client: Client) -> None:
    AnomalyFactory.create_batch(4)
    assert "3+" in client.get(LIST).content.decode()
    assert "3+" not in client.get(f"{LIST}?status__exact=approved").content.decode()


def test_all_that_is_listed_can_be_acted_on_when_it_was_counted(client: Client) -> None:
    AnomalyFactory.create_batch(3)
    response = _reject_all(client, Anomaly.objects.all()[:1])
    assert said(confirm(client, response)) == ["3 anomalies rejected."]
    assert Anomaly.objects.filter(status="rejected").count() == 3


def test_more_than_was_counted_is_left_alone(client: Client) -> None:
    AnomalyFactory.create_batch(4)
    response = _reject_all(client, Anomaly.objects.all()[:1])
    assert said(response) == [
        "Nothing was changed: more than 3 are listed. Narrow the list, then select all."
    ]
    assert not Anomaly.objects.exclude(status="pending").exists()


def test_some_rows_of_a_longer_list_can_be_acted_on(client: Client) -> None:
    first, second, *_ = AnomalyFactory.create_batch(5)
    data = {"action": "reject_selected", "_selected_action": [first.pk, second.pk], "select_across": "0"}
    assert said(confirm(client, client.post(LIST, data))) == ["2 anomalies rejected."]


def _reject_all(client: Client, ticked: "QuerySet[Anomaly]") -> Any:
    ids = [anomaly.pk for anomaly in ticked]
    data = {"action": "reject_selected", "_selected_action": ids, "select_across": "1"}
    return client.post(LIST, data)
