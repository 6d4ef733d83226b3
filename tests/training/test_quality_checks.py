"""When a quality report is due, who makes it, and how it ends."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory, VersionFactory
from training import quality_checks, versions
from training.errors import LeaseLostError, NotAllowedNowError
from training.label_quality import report_label_quality
from training.models import Activation, Anomaly, QualityCheck, QualityReport, TrainingPolicy
from training.policy import change_policy

pytestmark = pytest.mark.django_db

Status, Trigger = QualityCheck.Status, QualityCheck.Trigger
REQUEST = Activation.Reason.REQUEST


@pytest.fixture
def settled() -> None:
    """Something to look at since long ago, and a schedule that was due since."""
    ApprovedFactory.create_batch(2)
    Anomaly.objects.update(created_at=datetime(2020, 1, 1, tzinfo=UTC), updated_at=timezone.now())


def stories() -> list[tuple[str, str, str]]:
    return list(QualityCheck.objects.order_by("pk").values_list("kind", "trigger", "status"))


def claimed(kind: str = "labels", trigger: QualityCheck.Trigger = Trigger.ADMIN) -> QualityCheck:
    quality_checks.request_check(kind=kind, trigger=trigger, user=None)
    check = quality_checks.claim()
    assert check is not None
    return check


def fall_silent() -> None:
    QualityCheck.objects.update(heartbeat_at=timezone.now() - quality_checks.LEASE - timedelta(seconds=1))


# --- When ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("settled")
def test_each_due_time_has_one_check_of_each_kind() -> None:
    assert quality_checks.somebody_waits() is True
    quality_checks.plan_checks()
    assert stories() == [("labels", "schedule", "queued"), ("drift", "schedule", "queued")]
    due = {check.due_at for check in QualityCheck.objects.all()}
    assert due == {quality_checks.last_due("0 4 * * 0")}
    QualityCheck.objects.update(status=Status.SUCCEEDED)
    assert quality_checks.somebody_waits() is False
    assert len(stories()) == 2


def test_a_new_installation_is_left_alone() -> None:
    assert quality_checks.somebody_waits() is False
    ApprovedFactory.create()  # after the last due time
    assert quality_checks.somebody_waits() is False
    assert stories() == []


@pytest.mark.usefixtures("settled")
def test_it_can_be_switched_off() -> None:
    change_policy(user=None, changes={"quality_enabled": False})
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    assert quality_checks.somebody_waits() is False
    assert stories() == []


@pytest.mark.usefixtures("settled")
def test_the_policy_goes_before_the_setting(settings: Settings) -> None:
    settings.QUALITY_REPORT_SCHEDULE = "0 4 29 2 *"
    change_policy(user=None, changes={"quality_cron": "0 5 1 1 *"})
    quality_checks.plan_checks()
    due = QualityCheck.objects.latest("pk").due_at
    assert due is not None
    assert (due.month, due.day, due.hour) == (1, 1, 5)


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("cron", ["on sundays", "0 0 30 2 *"])
def test_a_cron_line_that_makes_no_sense_stops_nobody(
    cron: str, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.QUALITY_REPORT_SCHEDULE = cron
    assert quality_checks.somebody_waits() is False
    assert "cannot be used" in caplog.text


def test_a_version_that_starts_to_serve_has_both_looked_at() -> None:
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    quality_checks.plan_checks()
    quality_checks.plan_checks()
    assert stories() == [("labels", "activation", "queued"), ("drift", "activation", "queued")]


def test_an_activation_during_a_check_has_its_own_after_it() -> None:
    running = claimed()
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    quality_checks.plan_checks()
    assert stories() == [("labels", "admin", "running"), ("drift", "activation", "queued")]
    quality_checks.fail(running, reason="No.")
    quality_checks.plan_checks()
    assert stories()[2:] == [("labels", "activation", "queued")]


def test_versions_in_quick_succession_share_one_look() -> None:
    for _ in range(3):
        versions.set_active(version=VersionFactory.create(), reason=REQUEST)
        quality_checks.plan_checks()
        QualityCheck.objects.update(status=Status.SUCCEEDED)
    assert len(stories()) == 2
    QualityCheck.objects.update(queued_at=timezone.now() - quality_checks.ACTIVATIONS_APART)
    quality_checks.plan_checks()
    assert {check.activation for check in QualityCheck.objects.active()} == {Activation.objects.first()}
    assert len(stories()) == 4


def test_when_nothing_serves_any_more_nothing_is_looked_at() -> None:
    versions.set_active(version=None, reason=Activation.Reason.RESTORE)
    quality_checks.plan_checks()
    assert stories() == []


@pytest.mark.usefixtures("settled")
def test_to_look_whether_anybody_waits_takes_few_queries() -> None:
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    quality_checks.somebody_waits()
    with CaptureQueriesContext(connection) as queries:
        quality_checks.somebody_waits()
    # policy, active, newest activation, its checks, oldest anomaly, the due time's checks, free ones
    assert len(queries) == 7


def test_a_person_waits_for_the_check_of_that_kind() -> None:
    user = UserFactory.create()
    check = quality_checks.request_check(kind="drift", trigger=Trigger.API, user=user)
    assert (check.status, check.requested_by, quality_checks.active_check("drift")) == ("queued", user, check)
    with pytest.raises(NotAllowedNowError):
        quality_checks.request_check(kind="drift", trigger=Trigger.ADMIN, user=user)
    assert quality_checks.active_check("labels") is None
    quality_checks.request_check(kind="labels", trigger=Trigger.ADMIN, user=user)


# --- Whether it says anything new ------------------------------------------------------------------


def test_without_approved_anomalies_there_is_nothing_to_look_at() -> None:
    AnomalyFactory.create()
    assert quality_checks.why_skip("labels") == "There is no approved anomaly to look at."


@pytest.mark.parametrize("kind", ["labels", "drift"])
def test_the_first_report_is_always_made(kind: str) -> None:
    ApprovedFactory.create()
    assert quality_checks.why_skip(kind) == ""


def reported(kind: str, **content: Any) -> QualityReport:
    count = Anomaly.objects.approved().count()
    return QualityReport.objects.create(kind=kind, record_count=count, seconds=1, content=content)


@pytest.mark.parametrize("kind", ["labels", "drift"])
def test_what_has_not_changed_is_not_looked_at_again(kind: str) -> None:
    anomaly, gone = ApprovedFactory.create_batch(2)
    report = reported(kind, model_version=None)
    moment = f"{report.created_at:%Y-%m-%d %H:%M}"
    assert quality_checks.why_skip(kind) == f"Nothing has changed since the report of {moment} UTC."
    gone.delete()
    assert quality_checks.why_skip(kind) == ""
    report = reported(kind, model_version=None)
    anomaly.save()
    assert quality_checks.why_skip(kind) == ""


def test_a_new_report_matters_to_drift_alone() -> None:
    ApprovedFactory.create()
    for kind in ("labels", "drift"):
        reported(kind, model_version=None)
    AnomalyFactory.create()
    assert quality_checks.why_skip("labels") != ""
    assert quality_checks.why_skip("drift") == ""


def test_another_version_matters_to_drift_alone() -> None:
    ApprovedFactory.create()
    for kind in ("labels", "drift"):
        reported(kind, model_version=None)
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    assert quality_checks.why_skip("labels") != ""
    assert quality_checks.why_skip("drift") == ""


# --- For the holder ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["labels", "drift"])
def test_a_report_is_made_for_who_asked(kind: str) -> None:
    ApprovedFactory.create_batch(3)
    user = UserFactory.create()
    quality_checks.request_check(kind=kind, trigger=Trigger.ADMIN, user=user)
    check = quality_checks.claim()
    assert check is not None
    quality_checks.make_report(check)
    check.refresh_from_db()
    report = QualityReport.objects.get()
    assert (report.kind, report.record_count, report.created_by) == (kind, 3, user)
    assert (check.status, check.report, check.progress) == ("succeeded", report, 100)
    assert quality_checks.has_ended(check)


def test_what_came_by_itself_is_skipped_when_nothing_changed_and_who_asked_gets_it() -> None:
    ApprovedFactory.create()
    report_label_quality()
    check = claimed(trigger=Trigger.SCHEDULE)
    quality_checks.make_report(check)
    check.refresh_from_db()
    assert (check.status, check.report, check.finished_at is None) == ("skipped", None, False)
    assert check.reason.startswith("Nothing has changed since the report of ")
    quality_checks.make_report(claimed(trigger=Trigger.ADMIN))
    assert QualityReport.objects.count() == 2


def test_the_progress_is_written_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    ApprovedFactory.create_batch(3)
    told: list[int] = []
    monkeypatch.setattr(quality_checks, "advance", lambda _check, progress: told.append(progress))
    quality_checks.make_report(claimed())
    assert told == sorted(told)
    assert told[-1] == 99


def test_one_of_two_holds_it_and_the_other_one_writes_nothing() -> None:
    first = claimed()
    assert (first.status, first.attempts, quality_checks.claim()) == ("running", 1, None)
    fall_silent()
    second = quality_checks.claim()
    assert second is not None
    assert (second.pk, second.attempts) == (first.pk, 2)
    for write in (quality_checks.beat, quality_checks.hand_back, quality_checks.make_report):
        with pytest.raises(LeaseLostError):
            write(first)
    quality_checks.beat(second)


def test_attempts_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    check = claimed()
    for _ in range(quality_checks.MOST_ATTEMPTS - 1):
        fall_silent()
        assert quality_checks.claim() is not None
    fall_silent()
    assert quality_checks.claim() is None
    check.refresh_from_db()
    reason = "The process that made it died in each of 2 attempts."
    assert (check.status, check.reason) == ("failed", reason)
    assert reason in caplog.text


def test_a_process_that_died_is_followed_by_another_one_and_then_by_none() -> None:
    check = claimed()
    quality_checks.retry(check, reason="killed")
    assert stories() == [("labels", "admin", "queued")]
    again = quality_checks.claim()
    assert again is not None
    quality_checks.retry(again, reason="killed again")
    again.refresh_from_db()
    assert (again.status, again.reason) == ("failed", "killed again")


def test_what_a_stopped_node_gives_back_counts_no_attempt() -> None:
    for _ in range(3):
        check = quality_checks.claim() or claimed()
        assert check.attempts == 1
        quality_checks.hand_back(check)
    assert stories() == [("labels", "admin", "queued")]


@pytest.mark.django_db(transaction=True)
def test_of_several_nodes_one_plans_and_one_holds() -> None:
    """Threads with connections of their own."""
    TrainingPolicy.objects.all().delete()
    versions.set_active(version=VersionFactory.create(), reason=REQUEST)
    barrier, taken, errors = threading.Barrier(4), [], []

    def node() -> None:
        try:
            barrier.wait()
            quality_checks.plan_checks()
            while (check := quality_checks.claim()) is not None:
                taken.append((check.kind, check.attempts))
        except Exception as error:  # noqa: BLE001  # shown by the assertion below
            errors.append(error)
        finally:
            connections.close_all()

    nodes = [threading.Thread(target=node) for _ in range(4)]
    for thread in nodes:
        thread.start()
    for thread in nodes:
        thread.join()
    assert errors == []
    assert sorted(taken) == [("drift", 1), ("labels", 1)]
    assert len(stories()) == 2
