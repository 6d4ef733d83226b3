from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.confirming import confirm, sentences
from tests.training.admin.people import said, staff, user_of
from training.models import Anomaly

pytestmark = pytest.mark.django_db
Status = Anomaly.Status
LIST = reverse("admin:training_anomaly_changelist")
SCORES = {"availability_score": 1, "fiability_score": 2, "process_safety_score": 3}


@pytest.fixture
def reviewer() -> Client:
    return staff("training.view_anomaly", "training.review_anomaly")


def ask(client: Client, action: str, *anomalies: Anomaly, query: str = "", across: bool = False) -> Any:
    ids = [anomaly.pk for anomaly in anomalies]
    data = {"action": action, "_selected_action": ids, "select_across": str(int(across)), "index": "0"}
    return client.post(f"{LIST}{query}", data)


def statuses() -> list[str]:
    return list(Anomaly.objects.order_by("pk").values_list("status", flat=True))


def last_change(anomaly: Anomaly) -> tuple[str, str | None, object]:
    newest = Anomaly.history.filter(id=anomaly.pk).latest()
    return newest.status, newest.history_change_reason, newest.history_user


def test_approve_asks_first_and_says_what_is_left_and_why(reviewer: Client) -> None:
    scored, unscored, settled = (
        AnomalyFactory.create(**SCORES),
        AnomalyFactory.create(),
        ApprovedFactory.create(),
    )
    page = ask(reviewer, "approve_selected", scored, unscored, settled)
    assert sentences(page) == [
        "1 anomaly is approved: models learn from it.",
        "1 is left: a score is missing. Open it and give its scores.",
        "1 is left: it is approved already.",
    ]
    assert statuses() == ["pending", "pending", "approved"]
    response = confirm(reviewer, page)
    assert (said(response), response["Location"]) == (["1 anomaly approved."], LIST)
    assert statuses() == ["approved", "pending", "approved"]
    assert last_change(scored) == ("approved", "", user_of(reviewer))


def test_reject_keeps_the_reason(reviewer: Client) -> None:
    approved, pending = ApprovedFactory.create(), AnomalyFactory.create()
    rejected = AnomalyFactory.create(status=Status.REJECTED)
    page = ask(reviewer, "reject_selected", approved, pending, rejected)
    assert sentences(page) == [
        "2 anomalies are rejected: no model will learn from them. Their scores stay.",
        "1 of them is approved now.",
        "1 is left: it is rejected already.",
    ]
    assert said(confirm(reviewer, page, reason="test reports")) == ["2 anomalies rejected."]
    assert statuses() == ["rejected"] * 3
    assert last_change(pending) == ("rejected", "test reports", user_of(reviewer))


def test_reopen_keeps_the_scores(reviewer: Client) -> None:
    approved, pending = ApprovedFactory.create(), AnomalyFactory.create()
    page = ask(reviewer, "reopen_selected", approved, pending)
    assert sentences(page) == [
        "1 anomaly goes back to the review queue. Its scores stay.",
        "1 is left: it is in the review queue already.",
    ]
    assert said(confirm(reviewer, page)) == ["1 anomaly is back in the review queue."]
    approved.refresh_from_db()
    assert (approved.status, approved.availability_score) == (Status.PENDING, 2.0)


@pytest.mark.parametrize(
    ("action", "status", "sentence"),
    [
        (
            "approve_selected",
            Status.PENDING,
            "2 are left: scores are missing. Open them and give their scores.",
        ),
        ("reject_selected", Status.REJECTED, "2 are left: they are rejected already."),
        ("reopen_selected", Status.PENDING, "2 are left: they are in the review queue already."),
    ],
)
def test_where_nothing_would_change_there_is_no_button(
    reviewer: Client, action: str, status: str, sentence: str
) -> None:
    page = ask(reviewer, action, *AnomalyFactory.create_batch(2, status=status))
    assert sentences(page) == [sentence]
    assert 'type="submit"' not in page.content.decode().partition("tp-confirm")[2].partition("</form>")[0]


def test_all_that_is_listed_and_no_more(reviewer: Client) -> None:
    listed = AnomalyFactory.create_batch(3, section="ELEC")
    other = AnomalyFactory.create(section="MECA")
    page = ask(reviewer, "reject_selected", listed[0], query="?section=ELEC", across=True)
    assert sentences(page)[0].startswith("3 anomalies are rejected")
    late = AnomalyFactory.create(section="ELEC")
    assert said(confirm(reviewer, page)) == ["3 anomalies rejected."]
    for anomaly in (other, late):
        anomaly.refresh_from_db()
        assert anomaly.status == Status.PENDING


def test_what_a_colleague_did_meanwhile_is_not_done_twice(reviewer: Client) -> None:
    first, second = AnomalyFactory.create_batch(2)
    page = ask(reviewer, "reject_selected", first, second)
    Anomaly.objects.filter(pk=first.pk).update(status=Status.REJECTED)
    assert said(confirm(reviewer, page)) == ["1 anomaly rejected."]


@pytest.mark.parametrize(("field", "value"), [("_newest", "x"), ("reason", "x" * 1_001)])
def test_what_no_browser_sends_changes_nothing(reviewer: Client, field: str, value: str) -> None:
    page = ask(reviewer, "reject_selected", AnomalyFactory.create())
    assert confirm(reviewer, page, **{field: value}).status_code == 302
    assert statuses() == ["pending"]


@pytest.mark.parametrize("action", ["approve_selected", "reject_selected", "reopen_selected"])
def test_who_may_only_look_has_no_actions(action: str) -> None:
    before = Status.REJECTED if action == "reopen_selected" else Status.PENDING
    anomaly = ApprovedFactory.create(status=before)
    data = {"action": action, "_selected_action": [anomaly.pk], "_confirmed": "1", "_newest": anomaly.pk}
    assert said(staff("training.view_anomaly").post(LIST, data)) == []
    anomaly.refresh_from_db()
    assert anomaly.status == before


def test_what_two_people_score_is_left(reviewer: Client, settings: Settings) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    waiting = AnomalyFactory.create(**SCORES)
    rejected = AnomalyFactory.create(**SCORES, status=Status.REJECTED)
    page = ask(reviewer, "approve_selected", waiting, rejected)
    assert sentences(page) == [
        "1 is left: two people score it, one at a time, in the review.",
        "1 is left: it is rejected. Reopen it first.",
    ]
    assert sentences(ask(reviewer, "reopen_selected", waiting)) == [
        "1 is left: it is in the review queue already."
    ]
    assert statuses() == ["pending", "rejected"]
