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


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_approve_overwrites_nothing_that_is_settled(user: User, status: str) -> None:
    anomaly = ApprovedFactory.create(status=status)
    before = anomaly.scores
    assert review.approve(anomalies=[anomaly], scores=SCORES, user=user) == 0
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.history.count()) == (status, before, 1)


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


@pytest.mark.parametrize(("count", "chunks"), [(1, 1), (2, 1), (5, 3)])
def test_five_queries_a_chunk(user: User, count: int, chunks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "CHUNK", 2)
    AnomalyFactory.create_batch(count, **SCORES)
    with CaptureQueriesContext(connection) as queries:
        assert review.approve(anomalies=Anomaly.objects.all(), user=user) == count
    # The policy, ids, SAVEPOINT, RELEASE; of each chunk the locked rows, open reviews, UPDATE, history and
    # the reviews that are set aside.
    assert len(queries) == 4 + 5 * chunks
    locking = sum("FOR UPDATE" in query["sql"] for query in queries)
    assert locking == (chunks if connection.features.has_select_for_update else 0)


def test_every_row_of_many_has_its_history(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "CHUNK", 2)
    many = [*AnomalyFactory.create_batch(2, **SCORES), AnomalyFactory.create()]
    untouched = ApprovedFactory.create()
    assert review.approve(anomalies=[*many, untouched], scores=SCORES, user=user, reason="clear") == 3
    for anomaly in many:
        anomaly.refresh_from_db()
        assert (anomaly.status, anomaly.scores, anomaly.reviewed_by) == ("approved", SCORES, user)
        entry = newest(anomaly)
        assert (entry.status, entry.history_type, entry.history_user) == ("approved", "~", user)
        assert {name: getattr(entry, name) for name in SCORES} == SCORES
        assert (entry.history_change_reason, entry.reviewed_at) == ("clear", anomaly.reviewed_at)
        assert anomaly.history.count() == 2
    assert untouched.history.count() == 1


def test_many_change_together_or_not_at_all(user: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review, "CHUNK", 1)
    anomalies = AnomalyFactory.create_batch(2)
    seen: list[Anomaly] = []

    def interrupt(anomaly: Anomaly) -> bool:
        seen.append(anomaly)
        if len(seen) == 2:
            raise InterruptedError
        anomaly.status = Anomaly.Status.REJECTED
        return True

    with pytest.raises(InterruptedError):
        review._change_all(anomalies, interrupt, user=user, reason="")
    assert [state(anomaly) for anomaly in anomalies] == [("pending", None)] * 2
    assert [anomaly.history.count() for anomaly in anomalies] == [1, 1]


def test_what_counts_is_the_row_and_not_what_was_read_before(user: User) -> None:
    seen = AnomalyFactory.create(**SCORES)
    Anomaly.objects.filter(pk=seen.pk).update(status="rejected", availability_score=4)
    assert review.reject(anomalies=[seen], user=user) == 0
    assert review.approve(anomalies=[seen], user=user) == 0
    Anomaly.objects.filter(pk=seen.pk).update(status="pending")
    assert review.approve(anomalies=[seen, seen], user=user) == 1
    assert state(seen) == ("approved", 4.0)
    assert newest(seen).availability_score == 4.0


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
