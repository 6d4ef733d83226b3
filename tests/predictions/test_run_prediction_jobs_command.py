"""Real processes on the test's own database: a job is scored by the queue's node, killed and resumed."""

import signal
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from predictions import jobs
from predictions.models import PredictionChunk, PredictionJob
from tests.predictions.job_files import csv_text, upload
from tests.predictions.published import publish_version
from tests.process_memory import peak_of
from tests.queue_processes import Queue, Running, running, wait_until
from training.datafiles import tables
from training.models import ModelVersion


@pytest.fixture
def version(transactional_db: None) -> ModelVersion:
    return publish_version(is_active=True)


@pytest.fixture
def job(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> PredictionJob:
    monkeypatch.setattr(tables, "PIECE", 100)
    rows = [(f"A-{n}", f"fuite vapeur n{n}", "Vanne", "eq-1") for n in range(1000)]
    with upload(csv_text(rows)) as file:
        return jobs.receive_job(file=file, user=None)


def crew(mark: str) -> list[Running]:
    return [process for process in running(mark) if "--one" in process.arguments]


def status_of(job: PredictionJob) -> str:
    job.refresh_from_db()
    return job.status


@pytest.mark.queue
def test_the_command_scores_all_that_waits_and_ends(queue_mark: str, job: PredictionJob) -> None:
    call_command("run_prediction_jobs")
    assert (status_of(job), job.rows_done) == ("succeeded", 1000)
    assert not running(queue_mark)


@pytest.mark.queue
@pytest.mark.usefixtures("queue_mark", "version")
def test_a_process_that_scores_holds_no_more_for_a_long_file(tmp_path: Path) -> None:
    """One piece at a time: the whole file at once would take 30 MB more."""
    peaks = []
    for count in (tables.PIECE, 4 * tables.PIECE):
        rows = [(f"A-{n}", f"fuite vapeur n{n} " * 10, "Vanne", f"eq-{n % 50}") for n in range(count)]
        with upload(csv_text(rows)) as file:
            job = jobs.receive_job(file=file, user=None)
        code, peak = peak_of(tmp_path / "peak", "run_prediction_jobs", "--one")
        assert (code, status_of(job), job.rows_done) == (0, "succeeded", count)
        peaks.append(peak)
    assert peaks[1] - peaks[0] < 15


@pytest.mark.queue
def test_the_queue_scores_a_job_by_itself_and_leaves_nothing(
    queue: Queue, queue_mark: str, job: PredictionJob
) -> None:
    queue.start()
    wait_until(lambda: status_of(job) == "succeeded", 60)
    assert len(b"".join(jobs.result_of(job)).splitlines()) == 1001
    wait_until(lambda: not crew(queue_mark))
    queue.stop()
    assert not running(queue_mark)


@pytest.mark.queue
def test_killed_it_is_resumed_where_it_was(
    queue: Queue, queue_mark: str, job: PredictionJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.start()
    wait_until(lambda: status_of(job) == "running", 60)
    for process in crew(queue_mark):
        process.signal(signal.SIGKILL)
    wait_until(lambda: not crew(queue_mark))
    assert status_of(job) == "running"
    done = job.rows_done
    # The lease of what the dead held runs out: a minute that the test does not wait for.
    PredictionChunk.objects.filter(status="running").update(lease_until=timezone.now() - timedelta(seconds=1))
    wait_until(lambda: status_of(job) == "succeeded", 60)
    assert job.rows_done == 1000 >= done
    assert len(b"".join(jobs.result_of(job)).splitlines()) == 1001
    queue.stop()
    assert not running(queue_mark)
