"""Which columns a list shows, in which order, is each person's own."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import AnomalyFactory, UserFactory, user_with
from tests.training.admin.people import client_of, staff, superuser
from training.models import ListLayout

pytestmark = pytest.mark.django_db

LIST = reverse("admin:training_anomaly_changelist")
COLUMNS = reverse("admin:training_anomaly_columns")
DEFAULT = [
    "report",
    "equipment",
    "detected_on",
    "scores",
    "criticality_badge",
    "suggested_badge",
    "status_badge",
]
MORE = ["system", "section", "source", "created_at", "reviewed_at", "reviewed_by"]


@pytest.fixture
def reader(db: None) -> User:
    user = user_with("training.view_anomaly")
    user.is_staff = True
    user.save()
    return user


def shown(client: Client, address: str = LIST) -> list[str]:
    response = client.get(address)
    assert response.status_code == 200
    return [str(name) for name in response.context["cl"].list_display if name != "action_checkbox"]


def choose(client: Client, *columns: str, **more: str) -> str:
    response = client.post(COLUMNS, {"order": [*columns], "shown": [*columns], **more})
    assert response.status_code == 302
    return str(response["Location"])


def test_at_first_everybody_sees_the_same(reader: User) -> None:
    client = client_of(reader)
    assert shown(client) == DEFAULT
    assert f'href="{COLUMNS}"' in client.get(LIST).content.decode()
    page = client.get(COLUMNS).context["columns"]
    assert [column["name"] for column in page] == [*DEFAULT, *MORE]
    assert [column["name"] for column in page if column["is_shown"]] == DEFAULT


def test_what_was_chosen_is_shown_in_every_browser_and_to_nobody_else(reader: User) -> None:
    AnomalyFactory.create(system="Vapeur", section="34MC")
    assert choose(client_of(reader), "status_badge", "section", "report") == LIST
    again = client_of(reader)
    assert shown(again) == ["status_badge", "section", "report"]
    assert "34MC" in again.get(LIST).content.decode()
    assert shown(superuser()) == DEFAULT


def test_back_to_default(reader: User) -> None:
    client = client_of(reader)
    choose(client, "report")
    choose(client, "report", default="1")
    assert shown(client) == DEFAULT
    assert not ListLayout.objects.exists()


def test_a_column_moves_by_one_place(reader: User) -> None:
    client = client_of(reader)
    assert choose(client, "report", "scores", "source", move="up:source") == f"{COLUMNS}?moved=up:source"
    assert shown(client) == ["report", "source", "scores"]
    choose(client, "report", "source", "scores", move="down:report")
    assert shown(client) == ["source", "report", "scores"]
    choose(client, "source", "report", "scores", move="up:source")
    assert shown(client) == ["source", "report", "scores"]
    page = client.get(f"{COLUMNS}?moved=up:scores").content.decode()
    assert 'value="up:source" title="Move up: Source" aria-label="Move up: Source" disabled' in page
    assert 'value="up:scores" title="Move up: Scores (A · F · S)"' in page
    assert page.count("autofocus") == 1


@pytest.mark.parametrize("sent", [[], ["nonsense"], ["delete_selected", "__class__"]])
def test_at_least_one_column_of_the_list(reader: User, sent: list[str]) -> None:
    client = client_of(reader)
    assert choose(client, *sent) == COLUMNS
    assert "Choose at least one column." in client.get(COLUMNS).content.decode()
    assert not ListLayout.objects.exists()


def test_what_is_no_column_is_passed_over_and_none_comes_twice(reader: User) -> None:
    client = client_of(reader)
    choose(client, "scores", "password", "scores", "report")
    assert shown(client) == ["scores", "report"]


def test_a_saved_column_that_a_release_took_away_is_passed_over(reader: User) -> None:
    ListLayout.objects.create(
        user=reader, list_name="training.Anomaly", columns=["gone", "report"], ordering=["-gone", "report"]
    )
    client = client_of(reader)
    assert shown(client) == ["report"]
    ListLayout.objects.update(columns=["gone"])
    assert shown(client) == DEFAULT


def test_a_row_opens_by_the_first_column_when_its_own_is_not_shown(reader: User) -> None:
    anomaly = AnomalyFactory.create()
    client = client_of(reader)
    choose(client, "section", "status_badge")
    assert reverse("admin:training_anomaly_change", args=[anomaly.pk]) in client.get(LIST).content.decode()


def test_the_order_of_the_rows_is_kept_too(reader: User) -> None:
    for name in ("b", "c", "a"):
        AnomalyFactory.create(anomaly_id=name)
    client = client_of(reader)

    def ids(query: str = "") -> list[str]:
        return [row.anomaly_id for row in client.get(LIST + query).context["cl"].result_list]

    newest_first = ids()
    report = client.get(LIST).context["cl"].list_display.index("report")
    assert ids(f"?o={report}") == ["a", "b", "c"]
    assert ids() == ["a", "b", "c"]
    assert ids(f"?o=-{report}") == ["c", "b", "a"]
    choose(client, "status_badge", "report")  # other columns, the same order
    assert ids() == ["c", "b", "a"]
    assert ids("?o=") == newest_first
    assert ids() == newest_first
    assert ids("?o=99.x.-") == newest_first


def test_it_costs_one_query_a_list(reader: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for _ in range(3):
        AnomalyFactory.create(reviewed_by=UserFactory.create())
    client = client_of(reader)
    choose(client, "report", "reviewed_by", "reviewed_at")
    with django_assert_num_queries(10):
        client.get(LIST)


def test_who_may_not_see_the_list_may_not_choose_its_columns(db: None) -> None:
    client = staff("training.view_backup")
    assert client.get(COLUMNS).status_code == 403
    assert client.post(COLUMNS, {"order": "report", "shown": "report"}).status_code == 403
    assert Client().get(COLUMNS).status_code == 302
    assert not ListLayout.objects.exists()


@pytest.mark.parametrize(
    "name",
    [
        "predictions_prediction",
        "predictions_predictionjob",
        "training_trainingsession",
        "training_modelversion",
        "training_backup",
        "training_labelfinding",
        "training_fileimport",
        "training_delivery",
    ],
)
def test_every_list_has_its_columns(name: str) -> None:
    client = superuser()
    address = reverse(f"admin:{name}_columns")
    columns = [column["name"] for column in client.get(address).context["columns"]]
    client.post(address, {"order": columns[::-1], "shown": columns[::-1]})
    assert shown(client, reverse(f"admin:{name}_changelist")) == columns[::-1]
