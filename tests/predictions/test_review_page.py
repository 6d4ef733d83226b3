"""The review screen: what it shows, what each decision does, and what it refuses."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import staff, superuser, user_of
from training import review
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, ModelVersion, Review, ReviewLease

pytestmark = pytest.mark.django_db
PAGE = reverse("admin:review")
SCORES = dict(zip(SCORE_COLUMNS, ("2", "1", "5"), strict=True))

STEP = 38  # queries
LOOK_AHEAD = 23


@pytest.fixture
def client() -> Client:
    return staff("training.review_anomaly", "training.view_anomaly")


def decide(client: Client, anomaly: Anomaly, decision: str, after: str = "?after=", **data: Any) -> str:
    """What the next card says; by the script's request, which has the anomalies in `after` already."""
    seen = Anomaly.objects.get(pk=anomaly.pk).updated_at.isoformat()
    sent = {"anomaly": anomaly.pk, "seen": seen, "decision": decision, **data}
    response = client.post(f"{PAGE}{after}", sent)
    assert response.status_code == 200
    return response.content.decode()


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", html))


def test_only_reviewers_get_in() -> None:
    assert staff("training.view_anomaly").get(PAGE).status_code == 403
    assert Client().get(PAGE).status_code == 302


def test_shows_the_report_the_suggestion_and_why(client: Client, version: ModelVersion) -> None:
    similar = ApprovedFactory.create(anomaly_id="fuite vapeur-1", description="fuite vapeur n1")
    earlier = ApprovedFactory.create(description="vieux bruit", equipment_id="eq-7")
    AnomalyFactory.create(description="fuite vapeur n99", equipment_id="eq-7", section="34MC")
    html = client.get(PAGE).content.decode()
    text = text_of(html)
    assert "fuite vapeur n99" in text
    assert "34MC" in text
    assert 'name="process_safety_score" value="5" checked' in html
    assert 'name="availability_score" value="1" checked' in html
    assert re.search(r'<span class="[^"]*rv-process_safety-up2[^"]*">(fuite|vapeur)</span>', html)
    assert "Why: process safety" in text
    assert similar.description in text
    assert earlier.description in text
    assert "1 of 1" in text
    assert str(version) in text


def test_without_a_model_the_scores_are_given_by_hand(client: Client, no_model: None) -> None:
    AnomalyFactory.create(fiability_score=2, process_safety_score=2.5)
    html = client.get(PAGE).content.decode()
    assert "No model suggests anything yet" in html
    assert 'name="fiability_score" value="2" checked' in html
    assert html.count(" checked") == 1
    assert "reported 2.5" in html


def test_approving_shows_the_next_one(client: Client, no_model: None) -> None:
    second, first = AnomalyFactory.create_batch(2)
    html = decide(client, first, "approve", **SCORES)
    assert f"{first} is approved." in html
    assert second.description in html
    assert "2 of 2" in text_of(html)
    first.refresh_from_db()
    assert (first.status, first.scores) == ("approved", {name: float(s) for name, s in SCORES.items()})
    assert first.reviewed_by == user_of(client)
    assert not ReviewLease.objects.filter(anomaly=first).exists()
    assert "Nothing waits for you." in decide(client, second, "approve", **SCORES)


def test_without_a_script_the_page_comes_again(client: Client, no_model: None) -> None:
    anomaly = AnomalyFactory.create()
    seen = anomaly.updated_at.isoformat()
    data = {"anomaly": anomaly.pk, "seen": seen, "decision": "approve", **SCORES}
    response = client.post(f"{PAGE}?order=newest", data, follow=True)
    assert response.redirect_chain == [(f"{PAGE}?order=newest", 302)]
    assert f"{anomaly} is approved." in response.content.decode()


def test_rejecting_needs_a_reason(client: Client, no_model: None) -> None:
    anomaly = AnomalyFactory.create()
    assert "Say why it is rejected." in decide(client, anomaly, "reject")
    assert Anomaly.objects.get().status == "pending"
    assert "is rejected" in decide(client, anomaly, "reject", reason="duplicate of A-1")
    assert Anomaly.objects.get().status == "rejected"
    assert anomaly.history.latest("history_id").history_change_reason == "duplicate of A-1"


@pytest.mark.parametrize("wrong", ["", "0", "6", "2.5", "x"])
def test_all_three_scores_must_be_1_to_5(client: Client, no_model: None, wrong: str) -> None:
    anomaly = AnomalyFactory.create()
    html = decide(client, anomaly, "approve", **SCORES | {"fiability_score": wrong})
    assert 'class="rv-error"' in html
    assert anomaly.description in html
    assert Anomaly.objects.get().status == "pending"


def test_skipping_and_coming_back(client: Client, no_model: None) -> None:
    second, first = AnomalyFactory.create_batch(2)
    assert second.description in decide(client, first, "skip")
    assert "1 anomaly was skipped." in decide(client, second, "approve", **SCORES)
    html = decide(client, second, "undo")
    assert f"Undone: {second} waits again." in html
    assert second.description in html
    html = decide(client, second, "undo")
    assert first.description in html
    assert "There is nothing to undo." in decide(client, first, "undo")


def test_undo_takes_back_the_newest_decision(client: Client, no_model: None) -> None:
    anomaly = AnomalyFactory.create()
    decide(client, anomaly, "approve", **SCORES)
    assert anomaly.description in decide(client, anomaly, "undo")
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores) == ("pending", dict.fromkeys(SCORE_COLUMNS))
    assert ReviewLease.objects.valid().get().reviewer == user_of(client)


def test_undo_leaves_what_a_colleague_did_since(client: Client, no_model: None) -> None:
    anomaly, colleague = AnomalyFactory.create(), user_of(superuser())
    decide(client, anomaly, "approve", **SCORES)
    review.correct(anomaly=anomaly, scores={"fiability_score": 4}, user=colleague)
    assert "Somebody changed" in decide(client, anomaly, "undo")
    assert Anomaly.objects.get().fiability_score == 4


def test_what_a_colleague_approved_meanwhile_stays(client: Client, no_model: None) -> None:
    anomaly, colleague = AnomalyFactory.create(), user_of(superuser())
    given = dict.fromkeys(SCORE_COLUMNS, 3.0)
    review.approve(anomalies=[anomaly], scores=given, user=colleague)
    assert "The anomaly is approved already." in decide(client, anomaly, "approve", **SCORES)
    assert Anomaly.objects.get().scores == given


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_what_changed_since_it_was_seen_is_shown_again(client: Client, no_model: None, decision: str) -> None:
    anomaly = AnomalyFactory.create()
    data = SCORES | {"reason": "twice", "seen": "2020-01-01T00:00:00+00:00"}
    html = decide(client, anomaly, decision, **data)
    assert "was changed since you saw it" in html
    assert Anomaly.objects.get().status == "pending"


@pytest.mark.parametrize("gone", ["999999", "", "x", "-1", str(2**63)])
def test_an_anomaly_that_is_not_there_is_said(client: Client, no_model: None, gone: str) -> None:
    data = {"anomaly": gone, "decision": "approve", **SCORES}
    html = client.post(f"{PAGE}?after=", data).content.decode()
    assert 'class="rv-error"' in html


def test_a_second_reviewer_does_not_see_the_first_ones_scores(
    client: Client, no_model: None, settings: Settings
) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    anomaly, second = AnomalyFactory.create(), superuser()
    assert "a second reviewer is asked" in decide(client, anomaly, "approve", **SCORES)
    assert "Nothing waits for you." in client.get(PAGE).content.decode()
    html = second.get(PAGE).content.decode()
    assert anomaly.description in html
    assert " checked" not in html
    assert "is approved." in decide(second, anomaly, "approve", **SCORES)


def test_undo_of_a_first_review(client: Client, no_model: None, settings: Settings) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    anomaly = AnomalyFactory.create()
    decide(client, anomaly, "approve", **SCORES)
    assert anomaly.description in decide(client, anomaly, "undo")
    assert not Review.objects.exists()


def test_adjudication_asks_what_the_two_disagree_on(
    client: Client, no_model: None, settings: Settings
) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    anomaly, owner = AnomalyFactory.create(), superuser()
    decide(client, anomaly, "approve", **SCORES)
    assert "disagree" in decide(owner, anomaly, "approve", **SCORES | {"fiability_score": "3"})
    page = reverse("admin:adjudication")
    assert client.get(page).status_code == 403
    html = owner.get(page).content.decode()
    assert anomaly.description in html
    assert html.count("<fieldset") == 1
    assert 'name="fiability_score"' in html
    refused = owner.post(page, {"anomaly": anomaly.pk}, follow=True).content.decode()
    assert "Give each score on which the two disagree." in refused
    for wrong in ("", "x", "999999", str(2**63)):
        html = owner.post(page, {"anomaly": wrong, "fiability_score": "2"}, follow=True).content.decode()
        assert "The anomaly is not disputed." in html
    settled = owner.post(page, {"anomaly": anomaly.pk, "fiability_score": "2"}, follow=True).content.decode()
    assert "is settled and approved." in settled
    assert "Nothing is disputed." in settled
    assert Anomaly.objects.get().scores == dict(zip(SCORE_COLUMNS, (2.0, 2.0, 5.0), strict=True))


def test_the_order_and_the_filters_are_kept(client: Client, no_model: None) -> None:
    AnomalyFactory.create(section="34MC", description="dans la section")
    AnomalyFactory.create(section="34EL")
    assert client.get(f"{PAGE}?section=%00").status_code == 400
    html = client.get(f"{PAGE}?section=34MC&order=newest&band=nonsense").content.decode()
    assert "dans la section" in html
    assert f'action="{PAGE}?section=34MC&amp;order=newest' in html


def ahead_of(client: Client, *anomalies: Anomaly) -> str:
    query = "&".join(f"after={anomaly.pk}" for anomaly in anomalies)
    response = client.get(f"{PAGE}?{query}")
    assert response.status_code == 200
    return response.content.decode()


def key_of(html: str) -> int:
    found = re.search(r'name="anomaly" value="(\d+)"', html)
    assert found is not None
    return int(found[1])


def place_of(html: str) -> str:
    found = re.search(r'data-place="(\w+)"', html)
    assert found is not None
    return found[1]


def test_looking_ahead_is_for_reviewers() -> None:
    assert staff("training.view_anomaly").get(f"{PAGE}?after=1").status_code == 403
    assert Client().get(f"{PAGE}?after=1").status_code == 302


def test_the_following_card_is_fetched_ahead_and_kept(client: Client, no_model: None) -> None:
    third, second, first = AnomalyFactory.create_batch(3)
    assert key_of(client.get(PAGE).content.decode()) == first.pk
    html = ahead_of(client, first)
    assert key_of(html) == second.pk
    assert place_of(html) == "next"
    assert "<title>" not in html
    assert f'action="{PAGE}"' in html
    assert set(ReviewLease.objects.valid().values_list("anomaly", "reviewer")) == {
        (first.pk, user_of(client).pk),
        (second.pk, user_of(client).pk),
    }
    assert key_of(client.get(PAGE).content.decode()) == first.pk
    html = decide(client, first, "approve", f"?after={second.pk}", **SCORES)
    assert (key_of(html), place_of(html)) == (third.pk, "next")
    assert f"{first} is approved." in html
    assert key_of(client.get(PAGE).content.decode()) == second.pk


def test_looking_ahead_leaves_what_is_to_be_said(client: Client, no_model: None) -> None:
    second, first = AnomalyFactory.create_batch(2)
    seen = first.updated_at.isoformat()
    client.post(PAGE, {"anomaly": first.pk, "seen": seen, "decision": "approve", **SCORES})
    assert "is approved" not in ahead_of(client, second)
    assert f"{first} is approved." in client.get(PAGE).content.decode()


def test_behind_the_last_one_nothing_waits(client: Client, no_model: None) -> None:
    anomaly = AnomalyFactory.create()
    client.get(PAGE)
    assert "Nothing waits for you." in ahead_of(client, anomaly)
    assert (
        "Nothing waits for you." in client.get(f"{PAGE}?after={anomaly.pk}&after=x&after=-1").content.decode()
    )


def test_a_refused_decision_comes_again_with_its_name(client: Client, no_model: None) -> None:
    third, second, first = AnomalyFactory.create_batch(3)
    client.get(PAGE)
    ahead_of(client, first)
    data = SCORES | {"seen": first.updated_at.isoformat()}
    review.correct(anomaly=first, scores={"fiability_score": 4}, user=user_of(superuser()))
    html = decide(client, first, "approve", f"?after={second.pk}", **data)
    assert (key_of(html), place_of(html)) == (first.pk, "again")
    said = f"{first}: The anomaly was changed since you saw it: look again. It comes again after this one."
    assert said in text_of(html)
    html = decide(client, first, "approve", f"?after={second.pk}", **SCORES)
    assert (key_of(html), place_of(html)) == (third.pk, "next")


def test_a_decision_without_a_score_comes_again(client: Client, no_model: None) -> None:
    second, first = AnomalyFactory.create_batch(2)
    html = decide(client, first, "approve", f"?after={second.pk}", fiability_score="2")
    assert (key_of(html), place_of(html)) == (first.pk, "again")
    assert f"{first}: An approved anomaly needs all three scores. It comes again" in text_of(html)


def test_what_a_colleague_settled_is_named_and_does_not_come_again(client: Client, no_model: None) -> None:
    third, second, first = AnomalyFactory.create_batch(3)
    review.approve(anomalies=[first], scores=dict.fromkeys(SCORE_COLUMNS, 3.0), user=None)
    html = decide(client, first, "approve", f"?after={second.pk}", **SCORES)
    assert (key_of(html), place_of(html)) == (third.pk, "next")
    assert f"{first}: The anomaly is approved already." in text_of(html)
    assert reverse("admin:training_anomaly_change", args=[first.pk]) in html


def test_what_is_undone_comes_at_once(client: Client, no_model: None) -> None:
    third, second, first = AnomalyFactory.create_batch(3)
    decide(client, first, "approve", f"?after={second.pk}", **SCORES)
    html = decide(client, second, "undo", f"?after={second.pk}&after={third.pk}")
    assert (key_of(html), place_of(html)) == (first.pk, "now")
    assert key_of(client.get(PAGE).content.decode()) == first.pk


@pytest.mark.parametrize("count", [2, 6])
def test_looking_ahead_costs_the_same_for_two_and_for_six(
    client: Client, version: ModelVersion, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    AnomalyFactory.create_batch(count, description="fuite vapeur n98")
    client.get(PAGE)
    shown = ReviewLease.objects.get().anomaly
    with django_assert_num_queries(LOOK_AHEAD):
        client.get(f"{PAGE}?after={shown.pk}")


@pytest.mark.parametrize("count", [2, 6])
def test_a_step_behind_the_next_card_costs_as_much(
    client: Client, version: ModelVersion, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    AnomalyFactory.create_batch(count + 1, description="fuite vapeur n98")
    client.get(PAGE)
    shown = ReviewLease.objects.get().anomaly
    ahead = key_of(ahead_of(client, shown))
    seen = shown.updated_at.isoformat()
    data = {"anomaly": shown.pk, "seen": seen, "decision": "approve", **SCORES}
    with django_assert_num_queries(STEP + 1):  # the lease of what is on the screen
        client.post(f"{PAGE}?after={ahead}", data)


@pytest.mark.parametrize("count", [2, 6])
def test_a_step_costs_the_same_for_two_and_for_six(
    client: Client, version: ModelVersion, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    anomalies = AnomalyFactory.create_batch(count, description="fuite vapeur n98")
    client.get(PAGE)
    shown = ReviewLease.objects.get().anomaly
    assert Prediction.objects.count() == len(anomalies)
    seen = shown.updated_at.isoformat()
    data = {"anomaly": shown.pk, "seen": seen, "decision": "approve", **SCORES}
    with django_assert_num_queries(STEP):
        client.post(f"{PAGE}?after=", data)
