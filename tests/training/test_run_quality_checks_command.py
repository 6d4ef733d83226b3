"""Real processes on the test's own database: reports are made beside the worker, killed, stopped, resumed."""

import signal
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory
from tests.queue_processes import Queue, Running, running, wait_until
from training import quality_checks
from training.errors import LeaseLostError, NothingApprovedError
from training.management.commands import run_quality_checks
from training.models import QualityCheck, QualityReport


def ask(kind: str = "labels") -> QualityCheck:
    return quality_checks.request_check(kind=kind, trigger=QualityCheck.Trigger.ADMIN, user=None)


def status_of(check: QualityCheck) -> str:
    check.refresh_from_db()
    return check.status


def workers(mark: str) -> list[Running]:
    return [each for each in running(mark) if any("--check=" in argument for argument in each.arguments)]


@pytest.mark.queue
def test_the_queue_makes_both_reports_by_itself_and_leaves_nothing(queue: Queue, queue_mark: str) -> None:
    ApprovedFactory.create_batch(5)
    checks = [ask("labels"), ask("drift")]
    queue.start()
    wait_until(lambda: [status_of(check) for check in checks] == ["succeeded"] * 2, 120)
    assert [check.report and check.report.kind for check in checks] == ["labels", "drift"]
    queue.stop()
    wait_until(lambda: not running(queue_mark))


@pytest.mark.queue
def test_a_worker_that_is_killed_is_followed_by_another_and_its_failure_has_a_reason(
    queue: Queue, queue_mark: str
) -> None:
    ApprovedFactory.create_batch(5)
    check = ask()
    queue.start()
    for _ in range(quality_checks.MOST_ATTEMPTS):
        killed = wait_until(lambda: workers(queue_mark), 60)
        for process in killed:
            process.signal(signal.SIGKILL)
        wait_until(lambda: not workers(queue_mark) or workers(queue_mark) != killed)  # noqa: B023
    wait_until(lambda: status_of(check) == "failed", 60)
    assert check.reason == "The process ended killed by SIGKILL (out of memory?)."
    assert not QualityReport.objects.exists()
    queue.stop()


@pytest.mark.queue
def test_a_killed_queue_leaves_it_to_the_next_one(queue: Queue, queue_mark: str) -> None:
    ApprovedFactory.create_batch(5)
    check = ask()
    queue.start()
    wait_until(lambda: workers(queue_mark), 60)
    assert queue.process is not None
    queue.process.kill()
    queue.process.wait()
    wait_until(lambda: not running(queue_mark))
    assert status_of(check) == "running"
    # Its lease runs out: a minute that the test does not wait for.
    QualityCheck.objects.update(heartbeat_at=timezone.now() - quality_checks.LEASE - timedelta(seconds=1))
    queue.start()
    wait_until(lambda: status_of(check) == "succeeded", 120)
    queue.stop()


@pytest.mark.queue
def test_a_stopped_queue_gives_it_back(queue: Queue, queue_mark: str) -> None:
    ApprovedFactory.create_batch(5)
    check = ask()
    queue.start()
    wait_until(lambda: workers(queue_mark), 60)
    queue.stop()
    assert (status_of(check), check.attempts) == ("queued", 0)
    wait_until(lambda: not running(queue_mark))


@pytest.mark.queue
def test_what_takes_too_long_is_ended(queue_mark: str, settings: Settings) -> None:
    settings.QUALITY_CHECK_TIMEOUT = 0.3
    ApprovedFactory.create_batch(5)
    check = ask()
    call_command("run_quality_checks")
    assert (status_of(check), check.reason) == ("failed", "It took more than 0.3 s.")
    wait_until(lambda: not running(queue_mark))


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NothingApprovedError("Nothing to look at."), "Nothing to look at."),
        (OSError(28, "No space left on device"), "The disk refused: No space left on device."),
    ],
)
def test_an_error_that_would_come_again_fails_it_at_once(
    error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask()
    check = quality_checks.claim()
    assert check is not None

    def make(_check: QualityCheck) -> None:
        raise error

    monkeypatch.setattr(quality_checks, "make_report", make)
    run_quality_checks.work(check)
    assert (status_of(check), check.reason) == ("failed", reason)


@pytest.mark.django_db
def test_who_lost_it_says_so_and_leaves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def make(_check: QualityCheck) -> None:
        raise LeaseLostError("Somebody else has it.")

    monkeypatch.setattr(quality_checks, "make_report", make)
    run_quality_checks.work(ask())
    assert "Somebody else has it." in caplog.text
