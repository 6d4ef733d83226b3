import re

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import said, staff, superuser, user_of
from training.models import Anomaly

pytestmark = pytest.mark.django_db
Status = Anomaly.Status
LIST = reverse("admin:training_anomaly_changelist")
REVIEW = ("training.view_anomaly", "training.review_anomaly")
SCORES = {"availability_score": "2", "fiability_score": "1.5", "process_safety_score": "5"}


def page(anomaly: Anomaly, name: str = "change") -> str:
    return reverse(f"admin:training_anomaly_{name}", args=[anomaly.pk])


def last_change(anomaly: Anomaly) -> tuple[str, str | None, object]:
    newest = Anomaly.history.filter(id=anomaly.pk).latest()
    return newest.status, newest.history_change_reason, newest.history_user


@pytest.fixture
def reviewer() -> Client:
    return staff(*REVIEW)


# --- The form ----------------------------------------------------------------------------------


def test_the_form_approves_with_the_scores_that_were_typed(reviewer: Client) -> None:
    anomaly = AnomalyFactory.create()
    response = reviewer.post(page(anomaly), SCORES | {"reason": "seen on site", "_approve": ""})
    assert (response.status_code, response["Location"]) == (302, LIST)
    assert said(response) == [f"{anomaly} is approved."]
    anomaly.refresh_from_db()
    assert (anomaly.scores, anomaly.status, anomaly.reviewed_by) == (
        {"availability_score": 2.0, "fiability_score": 1.5, "process_safety_score": 5.0},
        Status.APPROVED,
        user_of(reviewer),
    )
    assert last_change(anomaly) == ("approved", "seen on site", user_of(reviewer))


def test_saving_an_approved_one_corrects_it(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    reviewed_at = anomaly.reviewed_at
    response = reviewer.post(page(anomaly), SCORES | {"reason": "typing error"})
    assert said(response) == [f"The scores of {anomaly} are corrected."]
    anomaly.refresh_from_db()
    assert (anomaly.fiability_score, anomaly.status) == (1.5, Status.APPROVED)
    assert anomaly.reviewed_by == user_of(reviewer)
    assert anomaly.reviewed_at > reviewed_at
    assert last_change(anomaly) == ("approved", "typing error", user_of(reviewer))


def seen(client: Client, anomaly: Anomaly) -> dict[str, str]:
    """The fields of the form as the browser would send them back untouched."""
    html = client.get(page(anomaly)).content.decode()
    fields = re.findall(r'<input type="(?:number|hidden)" name="([a-z_-]+_score)" value="([\d.]+)"', html)
    assert len(fields) == 6
    return dict(fields)


def test_saving_without_a_change_changes_nothing(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    assert said(reviewer.post(page(anomaly), seen(reviewer, anomaly))) == ["Nothing was changed."]
    anomaly.refresh_from_db()
    assert anomaly.reviewed_by is None
    assert Anomaly.history.filter(id=anomaly.pk).count() == 1


def test_a_colleagues_score_of_a_moment_ago_is_not_written_back(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    form = seen(reviewer, anomaly)
    Anomaly.objects.filter(pk=anomaly.pk).update(availability_score=4)
    reviewer.post(page(anomaly), form | {"fiability_score": "3"})
    anomaly.refresh_from_db()
    assert anomaly.scores == {"availability_score": 4.0, "fiability_score": 3.0, "process_safety_score": 3.0}


def test_what_the_domain_refuses_is_a_message(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create()
    same = {name: str(score) for name, score in anomaly.scores.items()}
    assert said(reviewer.post(page(anomaly), same)) == ["These are the scores that the anomaly already has."]


@pytest.mark.parametrize(
    ("button", "status", "sentence"),
    [
        ("_reject", "rejected", "{} is rejected: no model will learn from it."),
        ("_reopen", "pending", "{} is back in the review queue."),
    ],
)
def test_the_form_rejects_and_reopens(reviewer: Client, button: str, status: str, sentence: str) -> None:
    anomaly = ApprovedFactory.create()
    response = reviewer.post(page(anomaly), SCORES | {"reason": "not ours", button: ""})
    assert said(response) == [sentence.format(anomaly)]
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.fiability_score) == (status, 1.5)
    assert last_change(anomaly) == (status, "not ours", user_of(reviewer))


@pytest.mark.parametrize(
    ("scores", "field", "error"),
    [
        (SCORES | {"fiability_score": ""}, "fiability_score", "An approved anomaly needs all three scores."),
        (
            SCORES | {"fiability_score": "5.5"},
            "fiability_score",
            "Ensure this value is less than or equal to 5.",
        ),
        (SCORES | {"availability_score": "nan"}, "availability_score", "Enter a number."),
    ],
)
def test_wrong_scores_are_refused_and_nothing_is_stored(
    reviewer: Client, scores: dict[str, str], field: str, error: str
) -> None:
    anomaly = AnomalyFactory.create()
    response = reviewer.post(page(anomaly), scores | {"_approve": ""})
    assert response.status_code == 200
    assert response.context["adminform"].form.errors == {field: [error]}
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.availability_score) == (Status.PENDING, None)


@pytest.mark.parametrize("status", [Status.APPROVED, Status.REJECTED])
def test_the_form_approves_nothing_that_is_settled(reviewer: Client, status: str) -> None:
    """As from a page that was open while a colleague decided."""
    anomaly = ApprovedFactory.create(status=status)
    before = anomaly.scores
    response = reviewer.post(page(anomaly), SCORES | {"reason": "seen on site", "_approve": ""})
    assert said(response) == [f"The anomaly is {status} already."]
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores) == (status, before)


def test_a_score_is_not_taken_back(reviewer: Client) -> None:
    response = reviewer.post(page(ApprovedFactory.create()), SCORES | {"availability_score": ""})
    assert response.context["adminform"].form.errors == {
        "availability_score": ["A score cannot be taken back: reject or reopen the anomaly."]
    }


def test_what_was_reported_stays_as_it_was_reported(reviewer: Client) -> None:
    anomaly = ApprovedFactory.create(description="fuite huile", section="MECA")
    forged = {"description": "x", "section": "x", "status": "rejected", "source": "api", "anomaly_id": "x"}
    reviewer.post(page(anomaly), SCORES | forged)
    fresh = Anomaly.objects.get(pk=anomaly.pk)
    assert (fresh.description, fresh.section, fresh.status) == ("fuite huile", "MECA", "approved")
    assert (fresh.source, fresh.anomaly_id) == (anomaly.source, anomaly.anomaly_id)


@pytest.mark.parametrize(
    ("status", "buttons"),
    [
        (Status.PENDING, ["_approve", "_reject"]),
        (Status.APPROVED, ["_reject", "_reopen"]),
        (Status.REJECTED, ["_reopen"]),
    ],
)
def test_the_buttons_are_what_the_status_allows(reviewer: Client, status: str, buttons: list[str]) -> None:
    anomaly = ApprovedFactory.create(status=status)
    shown = reviewer.get(page(anomaly)).context["actions_submit_line"]
    assert [button.action_name for button in shown] == buttons
    assert staff("training.view_anomaly").get(page(anomaly)).context["actions_submit_line"] == []


def test_a_new_report_is_pending_and_entered_by_hand() -> None:
    client = staff("training.add_anomaly", *REVIEW)
    typed = {"anomaly_id": "H-1", "description": "bruit", "equipment_id": "eq-9", "_approve": ""}
    assert client.post(reverse("admin:training_anomaly_add"), typed).status_code == 302
    anomaly = Anomaly.objects.get()
    assert (anomaly.anomaly_id, anomaly.status, anomaly.source) == ("H-1", Status.PENDING, "admin")
    assert (anomaly.reviewed_by, anomaly.is_scored) == (None, False)
    assert last_change(anomaly) == ("pending", None, user_of(client))


@pytest.mark.parametrize(
    ("direction", "sentence"),
    [
        ("5_is_most_critical", "Each score is a number from 1 (harmless) to 5 (most serious)"),
        ("1_is_most_critical", "Each score is a number from 1 (most serious) to 5 (harmless)"),
    ],
)
def test_the_form_says_which_end_is_serious(
    reviewer: Client, settings: Settings, direction: str, sentence: str
) -> None:
    settings.SCORE_DIRECTION = direction
    assert sentence in reviewer.get(page(AnomalyFactory.create())).content.decode()


# --- Reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=palier", ["A"]),
        ("q=eq-7", ["B"]),
        ("status__exact=rejected", ["B"]),
        ("band=critical", ["B"]),
        ("band=normal", ["A"]),
        ("source__exact=import", ["A"]),
        ("section=ELEC", ["B"]),
        ("o=1", ["A", "B"]),
        ("o=-5", ["B", "A"]),
    ],
)
def test_search_filters_and_order(reviewer: Client, query: str, found: list[str]) -> None:
    ApprovedFactory.create(anomaly_id="A", description="vibration palier", source="import")
    ApprovedFactory.create(
        anomaly_id="B", equipment_id="eq-7", section="ELEC", status="rejected", availability_score=5
    )
    response = reviewer.get(f"{LIST}?{query}")
    assert response.status_code == 200
    assert [row.anomaly_id for row in response.context["cl"].result_list] == found


def test_bands_are_words_not_colour_alone(reviewer: Client) -> None:
    ApprovedFactory.create(availability_score=5)
    html = reviewer.get(LIST).content.decode()
    assert "9 · critical" in html
    assert "approved" in html


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    ApprovedFactory.create_batch(count)
    with django_assert_num_queries(7):  # one of them: which version would suggest
        client.get(LIST)
