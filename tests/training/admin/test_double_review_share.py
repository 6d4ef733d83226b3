"""Who sets how many anomalies two people score, and what is kept of it."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from tests.training.admin.people import client_of, said, staff, user_of
from tests.training.roles import user_as
from training.models import TrainingPolicy
from training.policy import change_policy, current_policy

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:adjudication")
FIELD = "double_review_percent"


@pytest.fixture
def client() -> Client:
    return client_of(user_as("trainer"))


def text_of(client: Client) -> str:
    html = client.get(PAGE).content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_the_setting_is_the_default(client: Client, settings: Settings) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 15
    text = text_of(client)
    assert "Two people score 15 % of the anomalies. Nobody has set it" in text
    assert "Empty: 15, from the setting" in text


def test_it_is_set_and_kept_with_who(client: Client) -> None:
    response = client.post(PAGE, {FIELD: "30"})
    assert said(response) == ["From now on two people score 30 % of the anomalies."]
    assert (response.status_code, response["Location"]) == (302, PAGE)
    assert current_policy().share_for_two == 30
    newest = TrainingPolicy.history.latest()
    assert (newest.history_user, newest.double_review_percent) == (user_of(client), 30)
    text = text_of(client)
    assert "Two people score 30 % of the anomalies." in text
    assert "Nobody has set it" not in text
    assert f"{user_of(client)} 30 %" in text


def test_nothing_is_the_setting_again(client: Client, settings: Settings) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 5
    client.post(PAGE, {FIELD: "0"})
    assert current_policy().share_for_two == 0
    assert said(client.post(PAGE, {FIELD: ""}))[-1] == "From now on two people score 5 % of the anomalies."
    assert f"{user_of(client)} as set in the settings" in text_of(client)


@pytest.mark.parametrize("wrong", ["-1", "101", "2.5", "x", "1" * 400])
def test_what_is_no_share_is_refused(client: Client, wrong: str) -> None:
    assert said(client.post(PAGE, {FIELD: wrong})) == ["Give a whole number from 0 to 100, or nothing."]
    assert not TrainingPolicy.objects.exists()


def test_other_changes_of_the_policy_are_not_listed(client: Client) -> None:
    change_policy(user=user_of(client), changes={"minimum_new": 3})
    assert '<th scope="col">Who</th>' not in client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    ("role", "status"), [("viewer", 403), ("reviewer", 403), ("trainer", 302), ("administrator", 302)]
)
def test_as_each_role(role: str, status: int) -> None:
    client = client_of(user_as(role))
    assert client.post(PAGE, {FIELD: "30"}).status_code == status
    assert current_policy().share_for_two == (30 if status == 302 else 0)


def test_who_only_adjudicates_reads_it(client: Client) -> None:
    reader = staff("training.adjudicate_anomaly")
    assert FIELD not in reader.get(PAGE).content.decode()
    assert reader.post(PAGE, {FIELD: "30"}).status_code == 403
    assert Client().post(PAGE, {FIELD: "30"}).status_code == 302
    assert not TrainingPolicy.objects.exists()


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_costs_the_same_for_many_changes(
    client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for percent in range(1, count + 1):
        change_policy(user=user_of(client), changes={FIELD: percent})
    client.get(PAGE)
    with django_assert_num_queries(12):
        client.get(PAGE)
