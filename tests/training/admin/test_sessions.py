from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from tests.factories import ApprovedFactory, SessionFactory, UserFactory, VersionFactory
from tests.training.admin.people import client_of, said, staff, superuser, user_of
from training.admin.session_pages import advice_of, progress_of
from training.models import SessionLogEntry, TrainingSession
from training.policy import freeze
from training.schedules import ensure_schedule
from training.session_log import note_event, note_step

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


def test_the_page_before_a_training_says_that_it_is_frozen() -> None:
    freeze(user=UserFactory.create(username="ines"), reason="outage")
    changes = staff(*MAY_TRAIN).get(TRAIN).context["confirmation"].changes
    assert changes[1].startswith("Frozen by ines since ")


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
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in html
    assert f'data-follow="{page(session, "progress")}"' in html
    assert "training/follow.js" in html
    assert '<progress data-slot="bar" max="100" value="62"' in html
    assert "Fitting" in html
    assert [action["title"] for action in response.context["actions_detail"]] == ["Cancel the training"]


def test_an_ended_session_says_why_and_stands_still() -> None:
    session = SessionFactory.create(status=Status.FAILED, reason="The disk is full.")
    response = staff(*MAY_CANCEL).get(page(session))
    assert "The disk is full." in response.content.decode()
    assert "<progress" not in response.content.decode()
    assert 'http-equiv="refresh"' not in response.content.decode()
    assert response.context["actions_detail"] == []


def test_the_script_asks_for_the_part_that_changes() -> None:
    session = running(step=TrainingSession.Step.FIT, progress=62)
    note_step(session.pk, 1, TrainingSession.Step.FIT)
    client = staff("training.view_trainingsession")
    response = client.get(page(session, "progress"))
    html = response.content.decode()
    assert "X-Session-Ended" not in response
    assert "<html" not in html
    for slot in ('data-slot="step" aria-live="polite">Fitting', 'value="62"', 'data-slot="left">62 % · '):
        assert slot in html
    assert '<li aria-current="step">' in html
    TrainingSession.objects.update(status=Status.FAILED, finished_at=timezone.now())
    assert client.get(page(session, "progress"))["X-Session-Ended"] == "failed"


def test_the_progress_is_for_who_may_see_the_session() -> None:
    session = running()
    assert staff().get(page(session, "progress")).status_code == 404
    assert client_of(UserFactory.create()).get(page(session, "progress")).status_code == 302


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "How long it still takes is not known yet."),
        (3.0, "A few seconds left."),
        (23.0, "About 25 s left."),
        (86.0, "About 1 min left."),
        (200.0, "About 3 min left."),
    ],
)
def test_what_is_left_is_said_no_finer_than_it_is_known(
    seconds: float | None, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.admin.session_pages.seconds_left", lambda _session: seconds)
    assert progress_of(running())["left"] == words


def test_a_failure_says_what_happened_what_was_kept_and_what_to_do() -> None:
    session = SessionFactory.create(status=Status.FAILED, reason="It timed out.", cause="timeout")
    html = staff(*MAY_CANCEL).get(page(session)).content.decode()
    assert "It timed out." in html
    assert "It may take 3600 s (setting TRAINING_TIMEOUT)" in html
    assert "The model that serves keeps serving, and all records are kept." in html


def test_every_cause_has_its_advice() -> None:
    advice = [advice_of(TrainingSession(cause=cause)) for cause in TrainingSession.Cause]
    assert all(advice)
    assert advice_of(TrainingSession()) == ""


def test_the_log_tells_each_attempt_with_its_times() -> None:
    begin = datetime(2026, 3, 1, 12, tzinfo=UTC)
    session = SessionFactory.create(
        status=Status.FAILED, reason="x", attempts=2, finished_at=begin + timedelta(seconds=75)
    )
    told = [(1, "start", 0), (1, "backup", 2), (2, "start", 60), (2, "fit", 65)]
    for attempt, step, seconds in told:
        moment = begin + timedelta(seconds=seconds)
        SessionLogEntry.objects.create(session=session, attempt=attempt, kind="step", step=step, at=moment)
    note_event(session.pk, 1, "The worker died: the session is queued again.")
    SessionLogEntry.objects.create(session=session, attempt=2, kind="line", text="<b>MemoryError</b>")
    response = superuser().get(page(session))
    first, second = response.context["attempts"]
    assert [(step.name, step.duration) for step in first.steps] == [
        ("starting", "2 s"),
        ("backing up", "0 s"),
    ]
    assert [(step.name, step.duration) for step in second.steps] == [("starting", "5 s"), ("fitting", "10 s")]
    html = response.content.decode()
    for words in ("Attempt 2", "12:01:05", "the session is queued again", "&lt;b&gt;MemoryError&lt;/b&gt;"):
        assert words in html


def test_the_result_sets_both_side_by_side_and_offers_both_decisions() -> None:
    champion = VersionFactory.create(is_active=True)
    version = VersionFactory.create(comparison={"passed": False, "candidate": {}, "champion": {}})
    session = SessionFactory.create(status=Status.SUCCEEDED, model_version=version)
    looks = staff("training.view_trainingsession").get(page(session)).context["result"]
    assert (looks["version"], looks["champion"]) == (version, champion)
    assert "activate_url" not in looks
    decides = staff("training.view_trainingsession", "training.activate_modelversion").get(page(session))
    assert decides.context["result"]["activate_url"] == reverse(
        "admin:training_modelversion_activate", args=[version.pk]
    )
    html = decides.content.decode()
    assert reverse("admin:training_modelversion_keep", args=[version.pk]) in html
    assert f"This training made {version}." in html
    assert f"Version {champion.pk} serves." in html


def test_the_start_of_the_list_says_who_froze_it_and_why() -> None:
    schedule = ensure_schedule()
    freeze(user=UserFactory.create(username="ines"), reason="outage of unit 2")
    html = staff("training.view_trainingsession").get(LIST).content.decode()
    assert "Frozen by ines since " in html
    assert "outage of unit 2" in html
    lift = reverse("admin:django_q_schedule_lift", args=[schedule.pk])
    assert lift not in html
    assert lift in superuser().get(LIST).content.decode()


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
    with django_assert_num_queries(8):
        client.get(LIST)


def test_a_page_costs_the_same_for_a_long_log(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    session = SessionFactory.create(status=Status.FAILED, reason="x")
    client = superuser()
    for count in (1, 3):
        for number in range(count):
            note_event(session.pk, 1, f"event {number}")
        with django_assert_num_queries(8):
            client.get(page(session))
