from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from tests.factories import ApprovedFactory, SessionFactory, UserFactory, VersionFactory
from tests.training.admin.people import said, staff, superuser, user_of
from training.models import TrainingSession

pytestmark = pytest.mark.django_db
Status = TrainingSession.Status
LIST = reverse("admin:training_trainingsession_changelist")
TRAIN = reverse("admin:training_trainingsession_train_now")
MAY_TRAIN = ("training.view_trainingsession", "training.train_models")
MAY_CANCEL = ("training.view_trainingsession", "training.cancel_trainingsession")


def page(session: TrainingSession, name: str = "change") -> str:
    return reverse(f"admin:training_trainingsession_{name}", args=[session.pk])


def running(**values: object) -> TrainingSession:
    now = timezone.now()
    session: TrainingSession = SessionFactory.create(
        **{"status": Status.RUNNING, "attempts": 1, "started_at": now, "heartbeat_at": now} | values
    )
    return session


# --- Train now ---------------------------------------------------------------------------------


def test_the_page_before_a_training_says_what_is_new() -> None:
    version = VersionFactory.create()
    SessionFactory.create(status=Status.SUCCEEDED, model_version=version)
    ApprovedFactory.create_batch(2, reviewed_at=timezone.now())
    ApprovedFactory.create(reviewed_at=version.dataset_read_at - timedelta(days=1))
    response = staff(*MAY_TRAIN).get(TRAIN)
    assert response.context["confirmation"].changes[0] == f"2 newly approved records since {version}."
    assert TrainingSession.objects.count() == 1


def test_the_page_before_the_first_training_counts_all() -> None:
    ApprovedFactory.create()
    response = staff(*MAY_TRAIN).get(TRAIN)
    assert response.context["confirmation"].changes[0] == "1 approved record, and no model yet."


def test_train_now_queues_a_session() -> None:
    ApprovedFactory.create()
    client = staff(*MAY_TRAIN)
    response = client.post(TRAIN)
    session = TrainingSession.objects.get()
    assert (response.status_code, response["Location"]) == (302, page(session))
    assert said(response) == [f"Training {session} is queued."]
    assert (session.status, session.trigger, session.requested_by) == ("queued", "admin", user_of(client))
    assert OrmQ.objects.get().args() == (session.pk,)


def test_train_now_without_anything_approved_says_why_not() -> None:
    response = staff(*MAY_TRAIN).post(TRAIN)
    assert said(response) == ["There is no approved anomaly to train on. Approve some first."]
    assert not TrainingSession.objects.exists()


def test_train_now_during_a_training_says_why_not() -> None:
    ApprovedFactory.create()
    running()
    response = staff(*MAY_TRAIN).post(TRAIN)
    assert said(response) == ["A training session is queued or running. Wait for its end, or cancel it."]
    assert TrainingSession.objects.count() == 1


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_only_look_does_not_train(method: str) -> None:
    ApprovedFactory.create()
    client = staff("training.view_trainingsession")
    assert getattr(client, method)(TRAIN).status_code == 403
    assert not TrainingSession.objects.exists()
    assert client.get(LIST).context["actions_list"] == []


def test_a_post_without_the_csrf_token_is_refused() -> None:
    ApprovedFactory.create()
    client = superuser()
    client.handler.enforce_csrf_checks = True
    assert client.post(TRAIN).status_code == 403
    assert not TrainingSession.objects.exists()


# --- One session -------------------------------------------------------------------------------


def test_cancel_asks_first_and_then_requests_it() -> None:
    session = running()
    client = staff(*MAY_CANCEL)
    confirmation = client.get(page(session, "cancel")).context["confirmation"]
    assert confirmation.title == f"Cancel {session}?"
    session.refresh_from_db()
    assert not session.cancel_requested
    response = client.post(page(session, "cancel"))
    assert said(response) == [f"Training {session} is being cancelled."]
    session.refresh_from_db()
    assert (session.status, session.cancel_requested) == ("running", True)
    assert session.reason == f"Cancelled by {user_of(client)}."


def test_a_queued_session_is_cancelled_at_once() -> None:
    session = SessionFactory.create()
    staff(*MAY_CANCEL).post(page(session, "cancel"))
    session.refresh_from_db()
    assert session.status == "cancelled"


def test_cancelling_what_has_ended_is_refused_in_a_message() -> None:
    session = SessionFactory.create(status=Status.FAILED)
    response = staff(*MAY_CANCEL).post(page(session, "cancel"))
    assert said(response) == ["The training session has already ended."]


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_only_look_does_not_cancel(method: str) -> None:
    session = running()
    client = staff("training.view_trainingsession")
    assert getattr(client, method)(page(session, "cancel")).status_code == 403
    session.refresh_from_db()
    assert not session.cancel_requested


def test_a_running_session_shows_its_progress_and_follows_it() -> None:
    session = running(step=TrainingSession.Step.FIT, progress=62)
    client = staff(*MAY_CANCEL)
    response = client.get(page(session))
    html = response.content.decode()
    assert response["Refresh"] == "3"
    assert '<progress max="100" value="62"' in html
    assert "Fitting" in html
    assert [action["title"] for action in response.context["actions_detail"]] == ["Cancel the training"]


def test_an_ended_session_says_why_and_stands_still() -> None:
    session = SessionFactory.create(status=Status.FAILED, reason="The disk is full.")
    response = staff(*MAY_CANCEL).get(page(session))
    assert "The disk is full." in response.content.decode()
    assert "<progress" not in response.content.decode()
    assert "Refresh" not in response
    assert response.context["actions_detail"] == []


def test_looking_takes_a_dead_session_back() -> None:
    session = running(attempts=2, heartbeat_at=timezone.now() - timedelta(hours=1))
    staff("training.view_trainingsession").get(LIST)
    session.refresh_from_db()
    assert session.status == "failed"


def test_the_list_says_what_came_in_and_how_long_it_took() -> None:
    now = timezone.now()
    SessionFactory.create(
        status=Status.FAILED,
        requested_by=UserFactory.create(username="ines"),
        started_at=now - timedelta(seconds=185),
        finished_at=now,
        records_received=6,
        records_created=3,
        records_updated=2,
        records_unchanged=1,
    )
    html = superuser().get(LIST).content.decode()
    for words in ("command · ines", "3 min 5 s", "3 new, 2 changed, 1 unchanged", "failed"):
        assert words in html


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for _ in range(count):
        SessionFactory.create(
            status=Status.SUCCEEDED,
            model_version=VersionFactory.create(),
            requested_by=UserFactory.create(),
        )
    with django_assert_num_queries(6):
        client.get(LIST)
