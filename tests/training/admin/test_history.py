from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import said, staff, superuser, user_of
from training import review
from training.models import Anomaly

pytestmark = pytest.mark.django_db
SCORES = {"availability_score": "2", "fiability_score": "1.5", "process_safety_score": "5"}


@pytest.fixture
def reviewer() -> Client:
    return staff("training.view_anomaly", "training.review_anomaly")


def page(anomaly: Anomaly, name: str = "history") -> str:
    return reverse(f"admin:training_anomaly_{name}", args=[anomaly.pk])


def undo(anomaly: Anomaly, change: Any) -> str:
    return reverse("admin:training_anomaly_undo", args=[anomaly.pk, change.history_id])


def newest(anomaly: Anomaly) -> Any:
    return Anomaly.history.filter(id=anomaly.pk).latest("history_id")


def test_the_history_shows_old_and_new_who_and_why(reviewer: Client) -> None:
    anomaly = AnomalyFactory.create()
    reviewer.post(page(anomaly, "change"), SCORES | {"reason": "seen on site", "_approve": ""})
    response = reviewer.get(page(anomaly))
    changes = response.context["page_obj"][0].history_delta_changes
    assert {change["field"]: (change["old"], change["new"]) for change in changes} == {
        "Availability": ("–", "2.0"),
        "Fiability": ("–", "1.5"),
        "Process safety": ("–", "5.0"),
        "Status": ("pending", "approved"),
    }
    html = response.content.decode()
    assert "seen on site" in html
    assert user_of(reviewer).username in html


def test_an_old_state_is_not_written_back_past_the_review(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    state = Anomaly.history.filter(id=anomaly.pk).latest()
    url = reverse("admin:training_anomaly_simple_history", args=[anomaly.pk, state.pk])
    assert (reviewer.get(url).status_code, reviewer.post(url, SCORES).status_code) == (404, 404)
    anomaly.refresh_from_db()
    assert anomaly.fiability_score == 1.0


def test_the_last_row_of_a_page_tells_what_it_changed(reviewer: Client) -> None:
    anomaly = AnomalyFactory.create()
    for _ in range(13):
        review.reject(anomalies=[anomaly], user=None)
        review.reopen(anomalies=[anomaly], user=None)
    pages = [reviewer.get(page(anomaly), {"p": n}).context["page_obj"] for n in (1, 2)]
    assert [len(rows) for rows in pages] == [25, 2]
    (change,) = pages[0][24].history_delta_changes
    assert (change["field"], change["old"], change["new"]) == ("Status", "rejected", "pending")
    assert [row.history_type for row in pages[1]] == ["~", "+"]


def test_undo_asks_and_puts_back_with_a_reason(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    review.correct(anomaly=anomaly, scores={"fiability_score": 4.5}, user=user_of(reviewer))
    change = newest(anomaly)
    assert undo(anomaly, change) in reviewer.get(page(anomaly)).content.decode()
    html = unescape(reviewer.get(undo(anomaly, change)).content.decode())
    assert "Fiability: 4.5 → 1.0" in html
    assert f"Made by {user_of(reviewer)}, " in html
    assert newest(anomaly) == change
    response = reviewer.post(undo(anomaly, change), {"reason": "other row"})
    assert (response.status_code, response["Location"]) == (302, page(anomaly))
    assert said(response) == [f"The change of {anomaly} is undone."]
    anomaly.refresh_from_db()
    assert (anomaly.fiability_score, anomaly.status) == (1.0, "approved")
    entry = newest(anomaly)
    assert (entry.history_user, entry.history_change_reason) == (user_of(reviewer), "other row")


def test_the_products_own_reasons_speak_french(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=None, reason="Imported from a.csv")
    review.undo(anomaly=anomaly, change=newest(anomaly), user=None)
    french = reviewer.get(page(anomaly), headers={"accept-language": "fr"})
    assert [row.reason for row in french.context["page_obj"]] == ["Annulation", "Importé de a.csv", ""]
    assert "Importé de a.csv" in french.content.decode()


def test_the_newest_decision_alone_can_be_undone(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=None)
    rejected = newest(anomaly)
    review.reopen(anomalies=[anomaly], user=None)
    html = reviewer.get(page(anomaly)).content.decode()
    assert (undo(anomaly, rejected) in html, undo(anomaly, newest(anomaly)) in html) == (False, True)
    for method in (reviewer.get, reviewer.post):
        response = method(undo(anomaly, rejected))
        assert response.status_code == 302
        assert said(response)[-1] == "The status or a score has changed since: undo that change first."
    anomaly.refresh_from_db()
    assert anomaly.status == "pending"


def test_a_reason_too_long_is_refused(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=None)
    response = reviewer.post(undo(anomaly, newest(anomaly)), {"reason": "x" * 1_001})
    assert said(response) == ["A reason may have 1,000 characters. Nothing was changed."]
    anomaly.refresh_from_db()
    assert anomaly.status == "rejected"


def test_who_may_only_look_undoes_nothing(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=None)
    client = staff("training.view_anomaly")
    html = client.get(page(anomaly)).content.decode()
    assert "rejected" in html
    assert "/undo/" not in html
    assert client.get(undo(anomaly, newest(anomaly))).status_code == 403
    assert client.post(undo(anomaly, newest(anomaly))).status_code == 403
    anomaly.refresh_from_db()
    assert anomaly.status == "rejected"


def test_the_change_of_another_anomaly_is_not_found(reviewer: Client) -> None:
    anomaly, other = ApprovedFactory.create_batch(2)
    review.reject(anomalies=[other], user=None)
    assert reviewer.post(undo(anomaly, newest(other))).status_code == 404


@pytest.mark.parametrize("count", [1, 3])
def test_the_history_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client, anomaly = superuser(), ApprovedFactory.create()
    for _ in range(count):
        review.reject(anomalies=[anomaly], user=None)
        review.reopen(anomalies=[anomaly], user=None)
    with django_assert_num_queries(8):
        client.get(page(anomaly))
