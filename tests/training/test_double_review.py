"""Two reviewers, blind to each other: what settles, what is disputed, what can be taken back."""

from collections.abc import Callable
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from random import Random

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import AnomalyFactory, UserFactory, report
from training import double_review, frames, migrations, review
from training.double_review import Agreement, Outcome
from training.errors import NotAllowedNowError
from training.ml.metrics import weighted_kappa
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, Review, disputed
from training.policy import change_policy
from training.records import store_records

pytestmark = pytest.mark.django_db


def scores(*values: float) -> dict[str, float]:
    return dict(zip(SCORE_COLUMNS, values, strict=True))


@pytest.fixture
def marie() -> User:
    user: User = UserFactory.create(username="marie")
    return user


@pytest.fixture
def paul() -> User:
    user: User = UserFactory.create(username="paul")
    return user


@pytest.fixture
def anomaly(settings: Settings) -> Anomaly:
    """One that two people review."""
    settings.DOUBLE_REVIEW_PERCENT = 100
    anomaly: Anomaly = AnomalyFactory.create()
    return anomaly


def give(anomaly: Anomaly, user: User, *values: float) -> Outcome:
    fresh = Anomaly.objects.get(pk=anomaly.pk)
    return double_review.give_scores(anomaly=fresh, scores=scores(*values), user=user)


def test_without_double_review_one_is_enough(marie: User) -> None:
    anomaly = AnomalyFactory.create()
    assert give(anomaly, marie, 1, 2, 3) is Outcome.APPROVED
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.reviewed_by) == ("approved", scores(1, 2, 3), marie)
    assert not Review.objects.exists()


def test_the_share_is_stable_and_about_as_large_as_was_set() -> None:
    chosen, more = (
        {number for number in range(2_000) if Anomaly(anomaly_id=f"A-{number}").needs_two(percent)}
        for percent in (20, 30)
    )
    assert 340 < len(chosen) < 460
    assert chosen < more


def test_the_share_that_people_set_goes_first(anomaly: Anomaly, marie: User) -> None:
    change_policy(user=marie, changes={"double_review_percent": 0})
    assert give(anomaly, marie, 1, 2, 3) is Outcome.APPROVED
    change_policy(user=marie, changes={"double_review_percent": None})
    assert give(AnomalyFactory.create(), marie, 1, 2, 3) is Outcome.SECOND_NEEDED


@pytest.mark.parametrize("count", [1, 3])
def test_the_share_is_read_once_for_many(
    marie: User, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    change_policy(user=marie, changes={"double_review_percent": 100})
    anomalies = AnomalyFactory.create_batch(count, **scores(1, 2, 3))
    with django_assert_num_queries(5):  # the policy, SAVEPOINT, rows, open reviews, RELEASE
        assert review.approve(anomalies=anomalies, user=marie) == 0


def test_two_who_agree_settle_it(anomaly: Anomaly, marie: User, paul: User) -> None:
    assert give(anomaly, marie, 1, 2, 3) is Outcome.SECOND_NEEDED
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores) == ("pending", dict.fromkeys(SCORE_COLUMNS))
    assert frames.approved_frame().empty
    assert give(anomaly, paul, 1, 2, 3) is Outcome.APPROVED
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.reviewed_by) == ("approved", scores(1, 2, 3), paul)
    assert not Review.objects.open().exists()
    assert len(frames.approved_frame()) == 1


def test_nobody_is_both(anomaly: Anomaly, marie: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    with pytest.raises(NotAllowedNowError, match="already"):
        give(anomaly, marie, 1, 2, 3)
    assert Review.objects.count() == 1


def test_two_who_disagree_wait_for_adjudication(anomaly: Anomaly, marie: User, paul: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    assert give(anomaly, paul, 1, 2, 5) is Outcome.DISPUTED
    assert list(disputed()) == [anomaly]
    assert frames.approved_frame().empty
    with pytest.raises(NotAllowedNowError, match="adjudication"):
        give(anomaly, UserFactory.create(), 1, 2, 5)
    with pytest.raises(ValueError, match="process_safety"):
        double_review.adjudicate(anomaly=anomaly, scores={}, user=marie)
    owner = UserFactory.create()
    given = {"process_safety_score": 4.0, "availability_score": 5.0}  # the latter is not disputed
    double_review.adjudicate(anomaly=anomaly, scores=given, user=owner)
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.reviewed_by) == ("approved", scores(1, 2, 4), owner)
    assert not disputed().exists()
    with pytest.raises(NotAllowedNowError, match="approved already"):
        double_review.adjudicate(anomaly=anomaly, scores=given, user=owner)


def test_what_is_not_disputed_is_not_adjudicated(anomaly: Anomaly, marie: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    with pytest.raises(NotAllowedNowError, match="not disputed"):
        double_review.adjudicate(anomaly=anomaly, scores=scores(1, 1, 1), user=marie)


def test_no_other_door_approves_what_two_review(anomaly: Anomaly, marie: User) -> None:
    assert review.approve(anomalies=[anomaly], scores=scores(1, 2, 3), user=marie) == 0
    review.reject(anomalies=[anomaly], user=marie)
    assert review.approve(anomalies=[anomaly], scores=scores(1, 2, 3), user=marie) == 0
    anomaly.refresh_from_db()
    assert anomaly.status == "rejected"


def test_scores_that_wait_for_a_second_reviewer_are_not_passed_over_when_one_is_enough_again(
    anomaly: Anomaly, marie: User
) -> None:
    give(anomaly, marie, 1, 2, 3)
    with override_settings(DOUBLE_REVIEW_PERCENT=0):
        assert review.approve(anomalies=[anomaly], scores=scores(3, 3, 3), user=marie) == 0
    assert Review.objects.open().count() == 1


def test_what_two_agreed_on_and_what_was_adjudicated_stay(anomaly: Anomaly, marie: User, paul: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    give(anomaly, paul, 1, 2, 5)
    owner = UserFactory.create()
    double_review.adjudicate(anomaly=anomaly, scores={"process_safety_score": 4}, user=owner)
    for person in (marie, paul, owner):
        with pytest.raises(NotAllowedNowError, match="approved already"):
            give(anomaly, person, 5, 5, 5)
        assert review.approve(anomalies=[anomaly], scores=scores(5, 5, 5), user=person) == 0
    anomaly.refresh_from_db()
    assert (anomaly.scores, anomaly.reviewed_by) == (scores(1, 2, 4), owner)


def test_scores_that_are_not_given_are_the_anomalys_own_now(marie: User) -> None:
    seen = AnomalyFactory.create(**scores(1, 2, 3))
    review.correct(anomaly=Anomaly.objects.get(), scores={"fiability_score": 4}, user=marie)
    given = {"process_safety_score": 5.0}
    double_review.give_scores(anomaly=seen, scores=given, user=marie, as_seen=False)
    assert Anomaly.objects.get().scores == scores(1, 4, 5)


def test_without_all_three_scores_nothing_is_approved(anomaly: Anomaly, marie: User) -> None:
    with pytest.raises(NotAllowedNowError, match="all three scores"):
        double_review.give_scores(anomaly=anomaly, scores={"fiability_score": 1}, user=marie, as_seen=False)
    assert not Review.objects.exists()


def test_what_changed_since_it_was_seen_is_looked_at_again(marie: User, paul: User) -> None:
    seen = AnomalyFactory.create()
    review.correct(anomaly=Anomaly.objects.get(), scores={"fiability_score": 4}, user=paul)
    with pytest.raises(NotAllowedNowError, match="changed since"):
        double_review.give_scores(anomaly=seen, scores=scores(1, 2, 3), user=marie)
    assert Anomaly.objects.get().status == "pending"


def test_of_two_who_approve_the_second_is_told(marie: User, paul: User) -> None:
    anomaly = AnomalyFactory.create()
    give(anomaly, marie, 1, 2, 3)
    with pytest.raises(NotAllowedNowError, match="approved already"):
        give(anomaly, paul, 5, 5, 5)
    assert Anomaly.objects.get().scores == scores(1, 2, 3)


def test_a_review_can_be_taken_back_while_it_is_not_settled(
    anomaly: Anomaly, marie: User, paul: User
) -> None:
    give(anomaly, marie, 1, 2, 3)
    assert double_review.take_back(anomaly=anomaly, user=marie)
    assert not double_review.take_back(anomaly=anomaly, user=marie)
    give(anomaly, marie, 2, 2, 3)
    assert give(anomaly, paul, 2, 2, 3) is Outcome.APPROVED
    with pytest.raises(NotAllowedNowError):
        double_review.take_back(anomaly=anomaly, user=marie)


def test_undoing_what_settled_it_leaves_the_others_review(anomaly: Anomaly, marie: User, paul: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    give(anomaly, paul, 1, 2, 3)
    change = anomaly.history.latest("history_id")
    fresh = double_review.undo(anomaly=anomaly, change=change, user=paul)
    assert (fresh.status, fresh.scores) == ("pending", dict.fromkeys(SCORE_COLUMNS))
    assert [given.reviewer for given in Review.objects.open()] == [marie]
    assert give(anomaly, paul, 1, 2, 3) is Outcome.APPROVED


def test_undo_puts_back_scores_and_status_and_is_a_change_itself(marie: User) -> None:
    anomaly = AnomalyFactory.create()
    give(anomaly, marie, 1, 2, 3)
    change = anomaly.history.latest("history_id")
    review.undo(anomaly=anomaly, change=change, user=marie, reason="wrong key")
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores) == ("pending", dict.fromkeys(SCORE_COLUMNS))
    newest = anomaly.history.latest("history_id")
    assert (newest.history_user, newest.history_change_reason) == (marie, "wrong key")
    with pytest.raises(NotAllowedNowError, match="changed since"):
        review.undo(anomaly=anomaly, change=change, user=marie)
    review.undo(anomaly=anomaly, change=newest, user=marie)
    anomaly.refresh_from_db()
    assert (anomaly.status, anomaly.scores, anomaly.reviewed_by) == ("approved", scores(1, 2, 3), marie)


def test_how_it_came_cannot_be_undone(marie: User) -> None:
    anomaly = AnomalyFactory.create()
    with pytest.raises(NotAllowedNowError, match="nothing to undo"):
        review.undo(anomaly=anomaly, change=anomaly.history.get(), user=marie)


# --- Anomalies that leave the queue otherwise ---------------------------------------------------------


def store_scored(anomaly: Anomaly, user: User) -> None:
    """As POST /train, imports and restores do."""
    sent = report(1, anomaly_id=anomaly.anomaly_id, **scores(3, 3, 3))
    store_records(reports=[sent], user=user, source=Anomaly.Source.API)


DOORS = {
    "store_records": store_scored,
    "reject": lambda anomaly, user: review.reject(anomalies=[anomaly], user=user),
}


@pytest.mark.parametrize("leave", DOORS.values(), ids=DOORS)
@pytest.mark.parametrize("disputed_before", [False, True])
def test_open_reviews_are_set_aside_whatever_takes_it_out_of_the_queue(
    anomaly: Anomaly,
    marie: User,
    paul: User,
    leave: Callable[[Anomaly, User], object],
    disputed_before: bool,
) -> None:
    give(anomaly, marie, 1, 2, 3)
    if disputed_before:
        give(anomaly, paul, 1, 2, 5)
    leave(anomaly, paul)
    given = Review.objects.filter(anomaly=anomaly)
    anomaly.refresh_from_db()
    assert anomaly.status != "pending"
    assert {(one.settled_at, one.set_aside_at) for one in given} == {(None, anomaly.reviewed_at)}
    assert {found.pairs for found in double_review.agreement().values()} == {0}
    review.reopen(anomalies=[anomaly], user=paul)
    assert not Review.objects.open().exists()
    assert not disputed().exists()
    assert give(anomaly, marie, 2, 2, 3) is Outcome.SECOND_NEEDED
    assert give(anomaly, paul, 2, 2, 3) is Outcome.APPROVED
    assert {found.pairs for found in double_review.agreement().values()} == {1}


def test_undoing_a_reopening_sets_aside_what_was_said_meanwhile(
    anomaly: Anomaly, marie: User, paul: User
) -> None:
    give(anomaly, marie, 1, 2, 3)
    give(anomaly, paul, 1, 2, 3)
    review.reopen(anomalies=[anomaly], user=paul)
    give(anomaly, marie, 5, 5, 5)
    change = anomaly.history.latest("history_id")
    assert double_review.undo(anomaly=anomaly, change=change, user=paul).status == "approved"
    assert not Review.objects.open().exists()
    assert {found.pairs for found in double_review.agreement().values()} == {1}


def test_a_restore_sets_aside_too(anomaly: Anomaly, marie: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    sent = report(1, anomaly_id=anomaly.anomaly_id, **scores(3, 3, 3))
    store_records(reports=[sent], user=None, source=Anomaly.Source.RESTORE, exactly=True)
    assert not Review.objects.open().exists()


def test_pending_records_leave_open_reviews(anomaly: Anomaly, marie: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    sent = report(1, anomaly_id=anomaly.anomaly_id)
    store_records(reports=[sent], user=None, source=Anomaly.Source.IMPORT, status=Anomaly.Status.PENDING)
    assert Review.objects.open().count() == 1


def test_undoing_a_rejection_brings_the_first_review_back(anomaly: Anomaly, marie: User, paul: User) -> None:
    give(anomaly, marie, 1, 2, 3)
    review.reject(anomalies=[anomaly], user=paul)
    change = anomaly.history.latest("history_id")
    double_review.undo(anomaly=anomaly, change=change, user=paul)
    assert [given.reviewer for given in Review.objects.open()] == [marie]
    assert give(anomaly, paul, 1, 2, 3) is Outcome.APPROVED


def test_undoing_a_later_decision_leaves_what_an_earlier_one_settled(
    anomaly: Anomaly, marie: User, paul: User
) -> None:
    give(anomaly, marie, 1, 2, 3)
    give(anomaly, paul, 1, 2, 3)
    review.reopen(anomalies=[anomaly], user=paul)
    review.reject(anomalies=[anomaly], user=paul)
    change = anomaly.history.latest("history_id")
    assert double_review.undo(anomaly=anomaly, change=change, user=paul).status == "pending"
    assert not Review.objects.open().exists()
    assert Review.objects.count() == 2


@pytest.mark.parametrize("count", [1, 3])
def test_setting_aside_is_one_query(
    marie: User, settings: Settings, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    for anomaly in AnomalyFactory.create_batch(count):
        give(anomaly, marie, 1, 2, 3)
    Anomaly.objects.update(status=Anomaly.Status.REJECTED)
    with django_assert_num_queries(1):
        assert Review.objects.set_aside(Anomaly.objects.all()) == count
    assert Review.objects.set_aside(Anomaly.objects.all()) == 0


def test_the_migration_sets_aside_what_was_left_behind(anomaly: Anomaly, marie: User) -> None:
    (path,) = Path(migrations.__path__[0]).glob("[0-9]*_set_reviews_aside.py")
    give(anomaly, marie, 1, 2, 3)
    other = AnomalyFactory.create()
    give(other, marie, 1, 2, 3)
    Anomaly.objects.filter(pk=anomaly.pk).update(status=Anomaly.Status.REJECTED)
    import_module(f"training.migrations.{path.stem}").set_aside(apps, connection.schema_editor())
    assert [given.anomaly for given in Review.objects.open()] == [other]


# --- How far they agree -------------------------------------------------------------------------------


def test_agreement_is_weighted_kappa(marie: User, paul: User, settings: Settings) -> None:
    settings.DOUBLE_REVIEW_PERCENT = 100
    given = [((1, 1, 1), (1, 1, 5)), ((5, 1, 3), (5, 1, 3)), ((3, 1, 5), (2, 1, 5))]
    for first, second in given:
        anomaly = AnomalyFactory.create()
        give(anomaly, marie, *first)
        give(anomaly, paul, *second)
    give(AnomalyFactory.create(), marie, 1, 1, 1)
    found = double_review.agreement()
    assert [(found[column].pairs, found[column].equal) for column in SCORE_COLUMNS] == [
        (3, 2),
        (3, 3),
        (3, 2),
    ]
    assert found["fiability_score"].kappa is None
    # By hand: 1 - Σ w·observed / Σ w·expected, w = (i - j)²: 1 - 1 / (51 / 3) and 1 - 16 / (48 / 3).
    assert found["availability_score"].kappa == pytest.approx(1 - 1 / 17)
    assert found["process_safety_score"].kappa == pytest.approx(0)


def agreement_by_reading_all() -> dict[str, Agreement]:
    """As the figures are defined, review by review."""
    pairs: dict[tuple[int, object], list[Review]] = {}
    for given in Review.objects.filter(set_aside_at=None).order_by("anomaly_id", "id"):
        pairs.setdefault((given.anomaly_id, given.settled_at), []).append(given)
    both = [given for given in pairs.values() if len(given) == 2]
    found = {}
    for column in SCORE_COLUMNS:
        two = [(first.scores[column], second.scores[column]) for first, second in both]
        found[column] = Agreement(
            pairs=len(two), equal=sum(a == b for a, b in two), kappa=weighted_kappa(two) if two else None
        )
    return found


@pytest.mark.parametrize("seed", range(3))
def test_the_database_counts_the_same_pairs(
    marie: User, paul: User, seed: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    random = Random(seed)  # no secret
    kinds = [random.choice(["settled", "disputed", "alone", "set aside", "twice"]) for _ in range(120)]
    for kind, anomaly in zip(kinds, AnomalyFactory.create_batch(len(kinds)), strict=True):
        moment = timezone.now()
        ends: dict[str, list[tuple[datetime | None, datetime | None]]] = {
            "settled": [(moment, None)],
            "set aside": [(None, moment)],
            "twice": [(moment - timedelta(days=1), None), (moment, None)],
        }
        for settled, aside in ends.get(kind, [(None, None)]):
            for user in [marie] if kind == "alone" else random.sample([marie, paul], 2):
                given = scores(*(random.choice([1, 1, 1.5, 2, 2.5, 3, 4, 5]) for _ in SCORE_COLUMNS))
                Review.objects.create(
                    anomaly=anomaly, reviewer=user, settled_at=settled, set_aside_at=aside, **given
                )
    with django_assert_num_queries(3):
        found = double_review.agreement()
    expected = agreement_by_reading_all()
    assert {name: (a.pairs, a.equal) for name, a in found.items()} == {
        name: (a.pairs, a.equal) for name, a in expected.items()
    }
    assert [a.kappa for a in found.values()] == pytest.approx([a.kappa for a in expected.values()])
    assert found["fiability_score"].pairs > 40


def test_without_pairs_there_is_no_agreement() -> None:
    assert {(found.pairs, found.kappa) for found in double_review.agreement().values()} == {(0, None)}
