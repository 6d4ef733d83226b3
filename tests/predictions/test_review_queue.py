"""Who gets which anomaly next."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from predictions import review_queue, services
from predictions.models import Prediction
from predictions.review_queue import Order, Wanted
from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory, report
from training import review
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, ModelVersion, Review, ReviewLease, ScoreChange
from training.records import store_records

ANY = Wanted()
NEWEST = Wanted(order=Order.NEWEST)
RECKONING = 7  # queries


@pytest.fixture
def marie(db: None) -> User:
    user: User = UserFactory.create(username="marie")
    return user


@pytest.fixture
def paul(db: None) -> User:
    user: User = UserFactory.create(username="paul")
    return user


def ranked(version: ModelVersion, priorities: Iterable[float]) -> list[Anomaly]:
    anomalies = [AnomalyFactory.create() for _ in priorities]
    Prediction.objects.bulk_create(
        Prediction(
            anomaly=anomaly,
            model_version=version,
            priority=priority,
            confidence=0.5,
            distributions={},
            availability_score=1,
            fiability_score=1,
            process_safety_score=1,
        )
        for anomaly, priority in zip(anomalies, priorities, strict=True)
    )
    return anomalies


def test_what_matters_most_comes_first(version: ModelVersion, marie: User, paul: User) -> None:
    low, high, middle = ranked(version, [1, 9, 4])
    given = [review_queue.next_anomaly(user=user, wanted=ANY) for user in (marie, paul)]
    assert given == [high, middle]
    third = UserFactory.create()
    assert review_queue.next_anomaly(user=third, wanted=ANY) == low
    assert review_queue.next_anomaly(user=UserFactory.create(), wanted=ANY) is None


def test_the_newest_first_when_asked(version: ModelVersion, marie: User) -> None:
    *_, newest = ranked(version, [9, 5, 1])
    assert review_queue.next_anomaly(user=marie, wanted=NEWEST) == newest


def test_what_has_no_suggestion_comes_last_and_without_a_model_all_the_same(
    version: ModelVersion, marie: User
) -> None:
    unknown = AnomalyFactory.create()
    (known,) = ranked(version, [0])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == known
    assert review_queue.next_anomaly(user=marie, wanted=ANY, skipped=[known.pk]) == unknown


def test_the_suggestions_of_another_version_do_not_count(version: ModelVersion, marie: User) -> None:
    old = ModelVersion.objects.create(
        name="old", digest="0", size_bytes=1, created_at=timezone.now(), dataset_rows=1,
        dataset_fingerprint="0", dataset_read_at=timezone.now(),
    )  # fmt: skip
    ranked(old, [9])
    (now,) = ranked(version, [1])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == now


def test_only_pending_ones(version: ModelVersion, marie: User) -> None:
    ApprovedFactory.create()
    AnomalyFactory.create(status="rejected")
    assert review_queue.next_anomaly(user=marie, wanted=ANY) is None


def test_a_reviewer_who_comes_back_sees_the_same_one(version: ModelVersion, marie: User) -> None:
    first, _ = ranked(version, [5, 4])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == first
    (better,) = ranked(version, [9])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == first
    review_queue.release(anomaly_id=first.pk, user=marie)
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == better


def test_what_comes_after_is_theirs_too(version: ModelVersion, marie: User, paul: User) -> None:
    first, second, third, fourth = ranked(version, [9, 7, 5, 3])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == first
    assert review_queue.next_anomaly(user=marie, wanted=ANY, after=[first.pk]) == second
    assert review_queue.next_anomaly(user=marie, wanted=ANY, after=[first.pk]) == second
    assert review_queue.next_anomaly(user=paul, wanted=ANY) == third
    assert review_queue.next_anomaly(user=paul, wanted=ANY, after=[third.pk]) == fourth
    assert review_queue.next_anomaly(user=marie, wanted=ANY, after=[first.pk, second.pk]) is None


def test_of_two_that_they_have_the_one_shown_last_comes_back(version: ModelVersion, marie: User) -> None:
    first, second = ranked(version, [5, 4])
    for after in ([], [first.pk]):
        review_queue.next_anomaly(user=marie, wanted=ANY, after=after)
    for shown in (first, second):
        assert review_queue.next_anomaly(user=marie, wanted=ANY, shown=shown.pk) == shown


def test_leases_are_renewed_together_and_those_of_others_are_left(
    version: ModelVersion, marie: User, paul: User
) -> None:
    first, second, third = ranked(version, [5, 4, 3])
    for anomaly, user in ((first, marie), (second, marie), (third, paul)):
        assert review_queue.take(anomaly_id=anomaly.pk, user=user)
    soon = timezone.now() + timedelta(seconds=1)
    ReviewLease.objects.update(expires_at=soon)
    review_queue.renew(anomaly_ids=[first.pk, second.pk, third.pk], user=marie)
    renewed = ReviewLease.objects.filter(expires_at__gt=soon)
    assert set(renewed.values_list("pk", flat=True)) == {first.pk, second.pk}
    assert len(set(renewed.values_list("expires_at", flat=True))) == 1


def test_a_refused_one_is_taken_again_while_there_is_something_to_decide(
    version: ModelVersion, marie: User, paul: User
) -> None:
    free, held, scored = ranked(version, [5, 4, 3])
    review_queue.take(anomaly_id=held.pk, user=paul)
    scores = {"availability_score": 1, "fiability_score": 1, "process_safety_score": 1}
    Review.objects.create(anomaly=scored, reviewer=marie, **scores)
    settled = ApprovedFactory.create()
    given = [review_queue.take_again(anomaly_id=a.pk, user=marie) for a in (free, held, scored, settled)]
    assert given == [free, None, None, None]


def test_a_lease_expires(version: ModelVersion, marie: User, paul: User, settings: Settings) -> None:
    (only,) = ranked(version, [5])
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == only
    assert ReviewLease.objects.get().expires_at - timezone.now() > timedelta(
        seconds=settings.REVIEW_LEASE - 5
    )
    assert review_queue.next_anomaly(user=paul, wanted=ANY) is None
    ReviewLease.objects.update(expires_at=timezone.now())
    assert review_queue.next_anomaly(user=paul, wanted=ANY) == only
    assert review_queue.next_anomaly(user=marie, wanted=ANY) is None
    assert not review_queue.take(anomaly_id=only.pk, user=marie)
    assert ReviewLease.objects.valid().get().reviewer == paul


def test_nobody_scores_twice_and_disputes_wait_for_adjudication(
    version: ModelVersion, marie: User, paul: User
) -> None:
    (anomaly,) = ranked(version, [5])
    scores = {"availability_score": 1, "fiability_score": 1, "process_safety_score": 1}
    Review.objects.create(anomaly=anomaly, reviewer=marie, **scores)
    assert review_queue.next_anomaly(user=marie, wanted=ANY) is None
    assert review_queue.next_anomaly(user=paul, wanted=ANY) == anomaly
    review_queue.release(anomaly_id=anomaly.pk, user=paul)
    Review.objects.create(anomaly=anomaly, reviewer=paul, **scores | {"fiability_score": 2})
    assert review_queue.next_anomaly(user=UserFactory.create(), wanted=ANY) is None


def test_by_section_and_by_band(version: ModelVersion, marie: User) -> None:
    leak = AnomalyFactory.create(description="fuite vapeur n99", section="34MC")
    noise = AnomalyFactory.create(description="bruit anormal n99", section="34EL")
    services.suggest_pending()
    assert review_queue.next_anomaly(user=marie, wanted=Wanted(section="34EL")) == noise
    review_queue.release(anomaly_id=noise.pk, user=marie)
    assert review_queue.next_anomaly(user=marie, wanted=Wanted(band="high")) == leak


@pytest.mark.django_db(transaction=True)
def test_twenty_who_ask_at_once_get_twenty_different_ones() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time: nothing can happen at once")
    AnomalyFactory.create_batch(40)
    users = UserFactory.create_batch(20)

    def ask(user: User) -> int | None:
        try:
            found = review_queue.next_anomaly(user=user, wanted=NEWEST)
            return found.pk if found else None
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        given = [key for key in pool.map(ask, users) if key is not None]
    assert len(given) == len(set(given))
    assert len(given) >= review_queue.CANDIDATES
    assert ReviewLease.objects.count() == len(given)


@pytest.mark.django_db(transaction=True)
def test_twenty_who_look_ahead_at_once_never_have_the_same() -> None:
    if connection.vendor == "sqlite":
        pytest.skip("one writer at a time: nothing can happen at once")
    AnomalyFactory.create_batch(60)
    users = UserFactory.create_batch(20)

    def ask(user: User) -> list[int]:
        try:
            mine: list[int] = []
            for _ in range(2):
                found = review_queue.next_anomaly(user=user, wanted=NEWEST, after=mine)
                mine += [found.pk] if found else []
            return mine
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        given = [key for keys in pool.map(ask, users) for key in keys]
    assert len(given) == len(set(given))
    assert len(given) >= 2 * review_queue.CANDIDATES
    assert ReviewLease.objects.count() == len(given)


def test_priority_grows_with_criticality_uncertainty_and_disagreement(version: ModelVersion) -> None:
    plain = AnomalyFactory.create(description="fuite vapeur n98")
    disputed = AnomalyFactory.create(description="fuite vapeur n98", process_safety_score=1)
    services.suggest_pending()
    first, second = (Prediction.objects.get(anomaly=anomaly) for anomaly in (plain, disputed))
    assert first.priority == pytest.approx(first.criticality * (1 - first.confidence))
    assert second.priority == pytest.approx(first.priority * (1 + (5 - 1) / 2))


# --- Priorities follow the scores ------------------------------------------------------------------


def correct(anomaly: Anomaly) -> None:
    review.correct(anomaly=anomaly, scores={"process_safety_score": 1}, user=None)


def import_again(anomaly: Anomaly) -> None:
    ones: dict[str, object] = dict.fromkeys(SCORE_COLUMNS, 1.0)
    known = {"anomaly_id": anomaly.anomaly_id, "description": anomaly.description}
    sent = report(1, **known, **ones)
    store_records(reports=[sent], user=None, source=Anomaly.Source.IMPORT, status=Anomaly.Status.PENDING)


def approve_and_reopen(anomaly: Anomaly) -> None:
    given = dict(zip(SCORE_COLUMNS, (1, 1, 1), strict=True))
    review.approve(anomalies=[anomaly], scores=given, user=None)
    review.reopen(anomalies=[anomaly], user=None)


def approve_and_undo(anomaly: Anomaly) -> None:
    correct(anomaly)
    assert services.refresh_priorities() == 1
    approve_and_reopen(anomaly)
    review.reject(anomalies=[anomaly], user=None)
    review.undo(anomaly=anomaly, change=anomaly.history.latest("history_id"), user=None)


@pytest.mark.parametrize("change", [correct, import_again, approve_and_reopen, approve_and_undo])
def test_priority_follows_the_scores(version: ModelVersion, change: Callable[[Anomaly], None]) -> None:
    anomaly = AnomalyFactory.create(description="fuite vapeur n98")
    services.suggest_pending()
    before = Prediction.objects.get()
    change(anomaly)
    assert services.refresh_priorities() == 1
    assert services.refresh_priorities() == 0
    anomaly.refresh_from_db()
    after = Prediction.objects.get()
    reported = [(anomaly.scores[name], getattr(after, name)) for name in SCORE_COLUMNS]
    points = sum(abs(score - suggested) for score, suggested in reported if score is not None)
    assert points == 4
    assert after.priority == pytest.approx(before.priority * (1 + points / 2))


def test_what_left_the_queue_is_not_noted(version: ModelVersion) -> None:
    anomaly = ApprovedFactory.create()
    correct(anomaly)
    assert not ScoreChange.objects.exists()


def test_without_a_suggestion_there_is_nothing_to_reckon(db: None) -> None:
    correct(AnomalyFactory.create())
    assert services.refresh_priorities() == 1
    assert not ScoreChange.objects.exists()


def test_so_many_at_a_time(version: ModelVersion) -> None:
    for anomaly in ranked(version, [1, 2, 3]):
        correct(anomaly)
        correct_again = {"process_safety_score": 2}
        review.correct(anomaly=anomaly, scores=correct_again, user=None)
    assert [services.refresh_priorities(limit=2) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize("count", [1, 3])
def test_reckoning_again_costs_the_same(
    version: ModelVersion, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for anomaly in ranked(version, range(count)):
        correct(anomaly)
    with django_assert_num_queries(RECKONING):
        services.refresh_priorities()
    with django_assert_num_queries(1):
        services.refresh_priorities()


def test_the_queue_goes_by_the_corrected_scores(version: ModelVersion, marie: User) -> None:
    low, high = ranked(version, [1, 1.2])
    Prediction.objects.update(confidence=0.5)
    correct(low)
    review.correct(anomaly=low, scores={"availability_score": 5}, user=None)
    services.refresh_priorities()
    assert review_queue.next_anomaly(user=marie, wanted=ANY) == low
    assert high.pk > low.pk
