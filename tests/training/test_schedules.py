"""When the product trains by itself, and when it skips and says why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from pytest_django import Settings

from tests.factories import AnomalyFactory, ApprovedFactory, SessionFactory, VersionFactory
from training import schedules, tasks
from training.models import Anomaly, ModelVersion, TrainingPolicy, TrainingSession
from training.policy import change_policy, freeze
from training.schedules import (
    disable_invalid_schedules,
    ensure_schedule,
    newly_approved,
    next_time,
    start_scheduled_session,
)

pytestmark = pytest.mark.django_db

Status = TrainingSession.Status
SUNDAY_NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class TestNextTime:
    def test_default_is_sunday_two_o_clock_utc(self, settings: Settings) -> None:
        assert next_time(settings.TRAINING_SCHEDULE, SUNDAY_NOON) == datetime(2026, 11, 29, 2, tzinfo=UTC)

    @pytest.mark.parametrize("cron", ["", "soon", "0 2 * *", "61 2 * * 0", "0 0 30 2 *", None])
    def test_refuses(self, cron: str) -> None:
        with pytest.raises(ValueError, match=r"."):
            next_time(cron)


class TestEnsureSchedule:
    def test_makes_it(self, settings: Settings) -> None:
        ensure_schedule()
        schedule = Schedule.objects.get()
        assert (schedule.name, schedule.func) == ("Scheduled training", "training.tasks.train_on_schedule")
        assert (schedule.schedule_type, schedule.cron) == (Schedule.CRON, "0 2 * * 0")
        assert schedule.next_run == next_time("0 2 * * 0")
        assert schedules.problem_of(schedule) is None

    def test_again_changes_nothing(self) -> None:
        ensure_schedule()
        before = Schedule.objects.values().get()
        ensure_schedule()
        assert Schedule.objects.values().get() == before

    def test_a_changed_setting_moves_it(self, settings: Settings) -> None:
        ensure_schedule()
        settings.TRAINING_SCHEDULE = "30 4 * * 1"
        ensure_schedule()
        schedule = Schedule.objects.get()
        assert (schedule.cron, schedule.next_run) == ("30 4 * * 1", next_time("30 4 * * 1"))

    def test_what_was_set_by_hand_stays(self, settings: Settings) -> None:
        schedules.plan_training(user=None, changes={"cron": "15 3 * * *", "enabled": False})
        settings.TRAINING_SCHEDULE = "30 4 * * 1"
        ensure_schedule()
        schedule = Schedule.objects.get()
        assert (schedule.cron, schedule.repeats) == ("15 3 * * *", 0)

    def test_what_was_changed_past_the_policy_is_put_right(self) -> None:
        ensure_schedule()
        Schedule.objects.update(cron="15 3 * * *", repeats=0, kwargs="x=1")
        ensure_schedule()
        schedule = Schedule.objects.get()
        assert (schedule.cron, schedule.repeats, schedule.kwargs) == ("0 2 * * 0", -1, None)
        assert schedule.next_run == next_time("0 2 * * 0")

    def test_a_row_that_was_disabled_as_dangerous_comes_back_harmless(self) -> None:
        ensure_schedule()
        Schedule.objects.update(hook="os.system", args="'true'")
        assert len(disable_invalid_schedules()) == 1
        schedule = ensure_schedule()
        assert (schedule.repeats, schedule.hook, schedule.args) == (-1, None, None)
        assert schedules.problem_of(schedule) is None

    def test_a_cron_line_that_nobody_could_enter_does_not_stop_the_queue(self) -> None:
        change_policy(user=None, changes={"cron": "soon"})
        assert ensure_schedule().cron == "0 2 * * 0"

    def test_a_plan_that_fails_leaves_policy_and_queue_alone(self) -> None:
        ensure_schedule()
        with pytest.raises(ValueError, match="columns"):
            schedules.plan_training(user=None, changes={"cron": "soon"})
        assert Schedule.objects.get().cron == "0 2 * * 0"
        assert not TrainingPolicy.objects.exists()

    def test_of_two_that_were_made_at_once_the_first_stays(self) -> None:
        first = ensure_schedule()
        Schedule.objects.create(func=first.func, kwargs=first.kwargs)
        ensure_schedule()
        assert Schedule.objects.get() == first


INVALID: list[tuple[dict[str, Any], str]] = [
    ({"func": "os.system"}, "calls os.system"),
    ({"hook": "os.system"}, "has a hook or arguments"),
    ({"args": "("}, "has a hook or arguments"),
    ({"kwargs": "[1]"}, "has options"),
    ({"kwargs": "x=1"}, "has options"),
    ({"kwargs": repr({"q_options": {"chain": [("os.system", ("true",))]}})}, "has options"),
    ({"kwargs": repr({"q_options": []})}, "has options"),
    ({"cron": "soon"}, "has a cron line that makes no sense"),
    ({"cron": "0 0 30 2 *"}, "has a cron line that makes no sense"),
    ({"schedule_type": "??"}, "has the unknown type"),
]


@pytest.mark.django_db(transaction=True)  # the scheduler closes the connection of an open transaction
class TestInvalidSchedules:
    @pytest.fixture
    def valid(self) -> Schedule:
        """Due now."""
        schedule = ensure_schedule()
        Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=1))
        return schedule

    @pytest.mark.parametrize(("fields", "problem"), INVALID)
    def test_does_not_stop_the_others(self, valid: Schedule, fields: dict[str, Any], problem: str) -> None:
        due = timezone.now() - timedelta(minutes=2)
        bad = Schedule.objects.create(
            name="bad", func=valid.func, schedule_type=Schedule.CRON, cron="0 2 * * 0"
        )
        Schedule.objects.filter(pk=bad.pk).update(next_run=due, **fields)
        [reason] = disable_invalid_schedules()
        assert reason.startswith(f"Schedule bad {problem}")
        scheduler()
        assert [message.task["func"] for message in OrmQ.objects.all()] == [valid.func]
        bad.refresh_from_db()
        valid.refresh_from_db()
        assert (bad.repeats, valid.repeats) == (0, -1)
        assert valid.next_run == next_time("0 2 * * 0")

    def test_what_is_valid_is_left_alone(self, valid: Schedule) -> None:
        Schedule.objects.create(func=valid.func, schedule_type=Schedule.DAILY)
        assert disable_invalid_schedules() == []
        assert not Schedule.objects.filter(repeats=0).exists()

    def test_the_message_runs(self, valid: Schedule) -> None:
        """As the queue's worker calls it: no argument of the schedule's options reaches the function."""
        scheduler()
        task = OrmQ.objects.get().task
        assert (task["func"], task["args"], task["kwargs"]) == (schedules.TRAIN_ON_SCHEDULE, (), {})
        tasks.train_on_schedule(*task["args"], **task["kwargs"])
        assert TrainingSession.objects.get().status == Status.SKIPPED


def version_of_a_session(read_at: datetime) -> ModelVersion:
    version: ModelVersion = VersionFactory.create(dataset_read_at=read_at)
    SessionFactory.create(status=Status.SUCCEEDED, model_version=version)
    return version


class TestNewlyApproved:
    def test_before_the_first_version_all_are_new(self) -> None:
        ApprovedFactory.create_batch(2)
        AnomalyFactory.create()
        assert newly_approved(None) == 2

    def test_since_a_version(self) -> None:
        version = version_of_a_session(SUNDAY_NOON)
        ApprovedFactory.create(reviewed_at=SUNDAY_NOON)
        ApprovedFactory.create(reviewed_at=SUNDAY_NOON + timedelta(seconds=1))
        AnomalyFactory.create(status=Anomaly.Status.REJECTED, reviewed_at=timezone.now())
        assert newly_approved(version) == 1

    def test_the_newest_version_that_a_session_made_counts(self) -> None:
        version_of_a_session(SUNDAY_NOON)
        newest = version_of_a_session(SUNDAY_NOON)
        SessionFactory.create(status=Status.FAILED)
        assert schedules.newest_trained() == newest


class TestStartScheduledSession:
    def test_starts(self) -> None:
        version_of_a_session(SUNDAY_NOON)
        ApprovedFactory.create_batch(10, reviewed_at=timezone.now())
        session = start_scheduled_session()
        assert (session.status, session.trigger) == (Status.QUEUED, TrainingSession.Trigger.SCHEDULE)
        assert not OrmQ.objects.exists()

    @pytest.mark.parametrize(("new", "noun"), [(0, "anomalies"), (1, "anomaly"), (9, "anomalies")])
    def test_skips_when_too_little_is_new(self, new: int, noun: str) -> None:
        version = version_of_a_session(SUNDAY_NOON)
        ApprovedFactory.create_batch(3, reviewed_at=SUNDAY_NOON)
        ApprovedFactory.create_batch(new, reviewed_at=timezone.now())
        session = start_scheduled_session()
        assert (session.status, session.step) == (Status.SKIPPED, TrainingSession.Step.WAIT)
        assert (
            session.reason == f"Only {new} newly approved {noun} since version {version.pk}; 10 are needed."
        )
        assert session.finished_at is not None

    def test_skips_before_the_first_version(self, settings: Settings) -> None:
        settings.TRAINING_SCHEDULE_MINIMUM = 5
        assert start_scheduled_session().reason == "Only 0 approved anomalies; 5 are needed."

    def test_the_policy_may_ask_for_fewer(self) -> None:
        change_policy(user=None, changes={"minimum_new": 2})
        ApprovedFactory.create()
        assert start_scheduled_session().reason == "Only 1 approved anomaly; 2 are needed."
        ApprovedFactory.create()
        assert start_scheduled_session().status == Status.QUEUED

    def test_skips_while_frozen(self) -> None:
        ApprovedFactory.create_batch(10)
        freeze(user=None, reason="outage")
        session = start_scheduled_session()
        assert (session.status, session.cause) == (Status.SKIPPED, "frozen")
        assert session.reason == "Training and activation are frozen until it is lifted: outage"

    def test_skips_during_another_session(self) -> None:
        ApprovedFactory.create_batch(10)
        SessionFactory.create(status=Status.RUNNING, attempts=1, heartbeat_at=timezone.now())
        session = start_scheduled_session()
        assert (session.status, session.reason) == (Status.SKIPPED, "Another training session was active.")
        assert session.cause == "busy"


def test_the_task_supervises_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    supervised: list[int] = []
    monkeypatch.setattr(tasks, "supervise", lambda session_id, **_: supervised.append(session_id))
    tasks.train_on_schedule()
    assert supervised == []
    ApprovedFactory.create_batch(10)
    tasks.train_on_schedule()
    assert supervised == [TrainingSession.objects.get(status=Status.QUEUED).pk]
