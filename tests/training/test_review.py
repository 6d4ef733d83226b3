from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory
from training import review
from training.errors import NotAllowedNowError
from training.models import Anomaly

pytestmark = pytest.mark.django_db
SCORES = {"availability_score": 1.0, "fiability_score": 2.0, "process_safety_score": 5.0}


@pytest.fixture
def user() -> User:
    user: User = UserFactory.create()
    return user


def test_approve_takes_scored_anomalies_only(user: User) -> None:
    scored, bare = AnomalyFactory.create(**SCORES), AnomalyFactory.create()
    assert review.approve(anomalies=[scored, bare], user=user, reason="clear") == 1
    scored.refresh_from_db()
    bare.refresh_from_db()
    assert (scored.status, bare.status) == ("approved", "pending")
    assert scored.reviewed_by == user
    assert scored.updated_at == scored.reviewed_at
    entry = scored.history.first()
    assert (entry.status, entry.history_user, entry.history_change_reason) == ("approved", user, "clear")


def test_approve_can_bring_the_scores(user: User) -> None:
    anomaly = AnomalyFactory.create()
    assert review.approve(anomalies=[anomaly], scores=SCORES, user=user) == 1
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.criticality) == ("approved", 8.0)


def test_approving_twice_changes_nothing(user: User) -> None:
    anomaly = ApprovedFactory.create()
    assert review.approve(anomalies=[anomaly], user=user) == 0
    assert anomaly.history.count() == 1


def test_reject_and_reopen_keep_the_scores(user: User) -> None:
    anomaly = ApprovedFactory.create()
    assert review.reject(anomalies=[anomaly], user=user) == 1
    assert review.reject(anomalies=[anomaly], user=user) == 0
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.availability_score) == ("rejected", 2.0)
    assert review.reopen(anomalies=[anomaly], user=user) == 1
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.availability_score) == ("pending", 2.0)


def test_correct_keeps_the_old_scores_in_the_history(user: User) -> None:
    anomaly = ApprovedFactory.create()
    before = anomaly.reviewed_at
    fresh = review.correct(anomaly=anomaly, scores={"fiability_score": 4.5}, user=user, reason="typing error")
    assert (fresh.fiability_score, fresh.status, fresh.criticality) == (4.5, "approved", 9.5)
    assert fresh.reviewed_at is not None
    assert before is not None
    assert fresh.reviewed_at > before  # newly approved: the next training is due
    assert [entry.fiability_score for entry in fresh.history.all()] == [4.5, 1.0]


def test_correcting_to_the_same_scores_is_refused(user: User) -> None:
    anomaly = ApprovedFactory.create()
    with pytest.raises(NotAllowedNowError):
        review.correct(anomaly=anomaly, scores={"fiability_score": 1.0}, user=user)


@pytest.mark.parametrize("count", [1, 3])
def test_the_number_of_queries_does_not_grow(user: User, count: int) -> None:
    AnomalyFactory.create_batch(count, **SCORES)
    with CaptureQueriesContext(connection) as queries:
        assert review.approve(anomalies=Anomaly.objects.all(), user=user) == count
    assert (
        len(queries) == 8
    )  # policy, SAVEPOINT, SELECT, UPDATE within its savepoint, history, reviews, RELEASE


# --- Undo --------------------------------------------------------------------------------------


def newest(anomaly: Anomaly) -> Any:
    return Anomaly.history.filter(id=anomaly.pk).latest("history_id")


def state(anomaly: Anomaly) -> tuple[str, float | None]:
    anomaly.refresh_from_db()
    return anomaly.status, anomaly.availability_score


def test_undo_puts_status_and_scores_back_and_is_kept(user: User) -> None:
    anomaly = AnomalyFactory.create()
    review.approve(anomalies=[anomaly], scores=SCORES, user=None, reason="clear")
    fresh = review.undo(anomaly=anomaly, change=newest(anomaly), user=user, reason="wrong row")
    assert (fresh.status, fresh.is_scored, fresh.criticality, fresh.reviewed_by) == (
        "pending",
        False,
        None,
        user,
    )
    entry = newest(anomaly)
    assert (entry.status, entry.history_user, entry.history_change_reason) == ("pending", user, "wrong row")
    assert anomaly.history.count() == 3


def test_an_undo_can_be_undone(user: User) -> None:
    anomaly = ApprovedFactory.create()
    review.correct(anomaly=anomaly, scores={"availability_score": 4}, user=user)
    review.undo(anomaly=anomaly, change=newest(anomaly), user=user)
    assert state(anomaly) == ("approved", 2.0)
    assert newest(anomaly).history_change_reason == "Undo"
    review.undo(anomaly=anomaly, change=newest(anomaly), user=user)
    assert state(anomaly) == ("approved", 4.0)


def test_what_changed_since_keeps_an_earlier_change_from_being_undone(user: User) -> None:
    anomaly = ApprovedFactory.create()
    review.correct(anomaly=anomaly, scores={"availability_score": 4}, user=user)
    corrected = newest(anomaly)
    review.reject(anomalies=[anomaly], user=user)
    with pytest.raises(NotAllowedNowError, match="has changed since"):
        review.undo(anomaly=anomaly, change=corrected, user=user)
    assert state(anomaly) == ("rejected", 4.0)
    review.undo(anomaly=anomaly, change=newest(anomaly), user=user)
    assert state(anomaly) == ("approved", 4.0)


def test_a_change_past_the_history_is_seen(user: User) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=user)
    Anomaly.objects.filter(pk=anomaly.pk).update(availability_score=5)
    with pytest.raises(NotAllowedNowError, match="has changed since"):
        review.undo(anomaly=anomaly, change=newest(anomaly), user=user)


def test_a_new_text_since_is_no_decision(user: User) -> None:
    anomaly = ApprovedFactory.create()
    review.reject(anomalies=[anomaly], user=user)
    rejected = newest(anomaly)
    anomaly.refresh_from_db()
    anomaly.description = "fuite huile"
    anomaly.save()
    with pytest.raises(NotAllowedNowError, match="nothing to undo"):
        review.undo(anomaly=anomaly, change=newest(anomaly), user=user)
    fresh = review.undo(anomaly=anomaly, change=rejected, user=user)
    assert (fresh.status, fresh.description) == ("approved", "fuite huile")


def test_the_first_row_and_anothers_row_are_nothing_to_undo(user: User) -> None:
    anomaly, other = ApprovedFactory.create_batch(2)
    review.reject(anomalies=[other], user=user)
    for change in (newest(anomaly), newest(other)):
        with pytest.raises(NotAllowedNowError, match="nothing to undo"):
            review.undo(anomaly=anomaly, change=change, user=user)
    assert [state(anomaly), state(other)] == [("approved", 2.0), ("rejected", 2.0)]
