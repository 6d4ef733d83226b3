from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import AnomalyFactory
from tests.training.admin.people import staff, superuser
from training.admin import equipment
from training.models import Anomaly

pytestmark = pytest.mark.django_db
SEARCH = reverse("admin:training_anomaly_equipment")
LIST = reverse("admin:training_anomaly_changelist")


@pytest.fixture
def client() -> Client:
    return staff("training.view_anomaly")


@pytest.fixture
def plant() -> list[Anomaly]:
    return [
        AnomalyFactory.create(equipment_id=equipment_id, equipment_name=name)
        for equipment_id, name in (
            ("fan-2", "Ventilateur tirage B"),
            ("fan-2", "Ventilateur tirage B"),
            ("fan-1", "Ventilateur tirage A"),
            ("v-7", "Vanne d'entrée"),
            ("x-9", ""),
        )
    ]


def search(client: Client, term: str = "", **query: Any) -> list[tuple[str, str]]:
    found = client.get(SEARCH, {"term": term, **query}).json()["results"]
    return [(each["id"], each["text"]) for each in found]


@pytest.mark.usefixtures("plant")
def test_each_is_listed_once_by_name(client: Client) -> None:
    assert search(client) == [
        ("v-7", "Vanne d'entrée"),
        ("fan-1", "Ventilateur tirage A"),
        ("fan-2", "Ventilateur tirage B"),
        ("x-9", "x-9"),
    ]
    AnomalyFactory.create(equipment_id="v-8", equipment_name="Vanne d'entrée ")
    assert search(client, "vanne") == [("v-7", "Vanne d'entrée · v-7"), ("v-8", "Vanne d'entrée · v-8")]


@pytest.mark.usefixtures("plant")
@pytest.mark.parametrize(
    ("term", "ids"),
    [
        ("entree", ["v-7"]),
        ("ENTRÉE vanne", ["v-7"]),
        ("tirage fan 2", ["fan-2"]),
        ("x-9", ["x-9"]),
        ("pompe", []),
    ],
)
def test_it_is_found_by_words_of_its_name_or_id(client: Client, term: str, ids: list[str]) -> None:
    assert [equipment_id for equipment_id, _text in search(client, term)] == ids


@pytest.mark.usefixtures("plant")
def test_they_come_in_pages(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equipment, "PER_PAGE", 3)
    assert client.get(SEARCH).json()["pagination"] == {"more": True}
    assert search(client, page="2") == [("x-9", "x-9")]
    assert client.get(SEARCH, {"page": "2"}).json()["pagination"] == {"more": False}
    assert len(search(client, page="x")) == 3


@pytest.mark.usefixtures("plant")
def test_beyond_the_bound_the_id_alone_finds_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(equipment, "MOST", 2)
    assert [equipment_id for equipment_id, _text in search(client)] == ["fan-1", "fan-2"]
    assert search(client, "v-7") == [("v-7", "Vanne d'entrée")]


def test_the_list_is_narrowed_to_it(client: Client, plant: list[Anomaly]) -> None:
    response = client.get(LIST, {"equipment": "fan-2"})
    assert {row.pk for row in response.context["cl"].result_list} == {plant[0].pk, plant[1].pk}
    html = response.content.decode()
    assert '<option value="fan-2" selected>Ventilateur tirage B</option>' in html
    assert f'data-ajax--url="{SEARCH}"' in html
    assert list(client.get(LIST, {"equipment": "nothing"}).context["cl"].result_list) == []


def test_who_may_not_see_anomalies_finds_none() -> None:
    assert staff("training.view_backup").get(SEARCH).status_code == 403
    assert Client().get(SEARCH).status_code == 302


@pytest.mark.parametrize("count", [1, 3])
def test_the_search_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for number in range(count):
        AnomalyFactory.create(equipment_id=f"e-{number}")
    with django_assert_num_queries(3):
        client.get(SEARCH)
