import csv
import io
import threading
from datetime import timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from predictions import jobs
from predictions.models import PredictionChunk, PredictionJob
from tests.factories import QueueNodeFactory, UserFactory
from tests.predictions.job_files import ROWS, TITLES, csv_text, upload
from tests.predictions.published import activate, publish_version
from tests.training.datafiles.workbook_files import in_last_column
from training import artifacts
from training.datafiles import tables
from training.errors import (
    IncompatibleVersionError,
    InvalidRecordsError,
    ModelNotLoadedError,
    NotAllowedNowError,
    StorageError,
)
from training.ml import libraries
from training.models import ModelVersion

pytestmark = pytest.mark.django_db

Status = PredictionJob.Status


@pytest.fixture(autouse=True)
def two_rows_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "PIECE", 2)


@pytest.fixture
def user(db: None) -> User:
    user: User = UserFactory.create(username="ines")
    return user


def received(content: str | bytes | None = None, user: User | None = None) -> PredictionJob:
    with upload(csv_text() if content is None else content) as file:
        return jobs.receive_job(file=file, user=user)


def work() -> int:
    return jobs.score_pieces(is_stopped=lambda: False)


def fresh(job: PredictionJob) -> PredictionJob:
    job.refresh_from_db()
    return job


def result(job: PredictionJob) -> list[dict[str, str]]:
    text = b"".join(jobs.result_of(fresh(job))).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


# --- What comes in -------------------------------------------------------------------------------


def test_a_file_waits_in_pieces(version: ModelVersion, user: User) -> None:
    job = received(user=user)
    assert (job.status, job.rows, job.rows_done, job.file_name) == ("queued", 3, 0, "night.csv")
    assert (job.model_version, job.requested_by) == (version, user)
    assert list(job.chunks.values_list("number", "rows", "status")) == [(0, 2, "queued"), (1, 1, "queued")]
    assert jobs.somebody_waits()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "The file has no column for description, equipment_id"),
        ("description\nx\n", "The file has no column for equipment_id"),
        (csv_text([]), "The file holds no row"),
        (
            "description,equipment_id,Description\nx,y,z\n",
            "night.csv has two columns for the same thing: description, Description.",
        ),
        (b"PK\x03\x04 no workbook", "night.csv is not a readable Excel workbook (.xlsx)."),
    ],
)
def test_what_is_no_such_file_is_refused_and_nothing_stays(
    version: ModelVersion, content: str, error: str
) -> None:
    with pytest.raises(InvalidRecordsError) as refused:
        received(content)
    assert refused.value.errors == [error]
    assert not PredictionJob.objects.exists()
    assert not PredictionChunk.objects.exists()


def test_too_many_rows_are_refused_and_nothing_stays(version: ModelVersion, settings: Settings) -> None:
    settings.PREDICTION_JOB_ROWS = 2
    with pytest.raises(InvalidRecordsError) as refused:
        received()
    assert refused.value.errors == ["A file holds at most 2 rows"]
    assert not PredictionChunk.objects.exists()


def test_a_workbook_may_have_fewer_rows(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who sends it waits while it is read."""
    workbook = in_last_column(tmp_path / "night.xlsx", 3).read_bytes()
    assert received(workbook).rows == 3
    monkeypatch.setattr(jobs, "MOST_WORKBOOK_ROWS", 2)
    with pytest.raises(InvalidRecordsError) as refused:
        received(workbook)
    expected = "A workbook holds at most 2 rows: save it as CSV, of which a file holds more"
    assert refused.value.errors == [expected]


def test_without_a_model_no_file_is_taken(db: None) -> None:
    with pytest.raises(ModelNotLoadedError):
        received()
    assert not PredictionJob.objects.exists()


def test_so_many_jobs_may_wait(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_ACTIVE", 1)
    job = received()
    with pytest.raises(NotAllowedNowError, match="1 prediction jobs wait or run"):
        received()
    jobs.cancel_job(job=job, user=None)
    assert received().status == Status.QUEUED


# --- Scoring -------------------------------------------------------------------------------------


def test_all_pieces_make_the_result_in_the_order_of_the_file(version: ModelVersion) -> None:
    job = received()
    assert work() == 2
    assert (fresh(job).status, job.rows_done, job.rows_refused, job.progress) == ("succeeded", 3, 0, 100)
    assert job.finished_at is not None
    assert [(row["anomaly_id"], row["availability"]) for row in result(job)] == [
        ("A-1", "1"),
        ("A-2", "4"),
        ("A-3", "2"),
    ]
    assert not jobs.somebody_waits()
    assert {bytes(reports) for reports in job.chunks.values_list("reports", flat=True)} == {b""}


def test_refused_rows_are_counted(version: ModelVersion) -> None:
    job = received(csv_text([*ROWS, ("A-4", "", "", "")]))
    work()
    assert (fresh(job).status, job.rows_done, job.rows_refused) == ("succeeded", 4, 1)


def test_the_version_that_served_when_it_came_scores_all_of_it(version: ModelVersion) -> None:
    job = received()
    other = publish_version(reports={"fuite vapeur": (5.0, 5.0, 5.0), "bruit": (5.0, 5.0, 4.0)})
    activate(other)
    work()
    assert {row["model_version"] for row in result(job)} == {str(version.pk)}
    assert result(job)[0]["availability"] == "1"


def test_a_version_that_cannot_be_loaded_fails_the_job(version: ModelVersion) -> None:
    job = received()
    activate(publish_version())
    version.refresh_from_db()
    artifacts.remove(version)
    assert work() == 0
    assert fresh(job).status == Status.FAILED
    assert "were removed" in job.reason
    assert not jobs.somebody_waits()


def test_a_node_with_other_libraries_leaves_the_pieces_to_one_that_can(version: ModelVersion) -> None:
    job = received()
    ModelVersion.objects.update(libraries=libraries.installed())
    node = QueueNodeFactory.create(libraries=libraries.installed())
    libraries.pretend("scikit-learn=1.0.0")
    try:
        for _ in range(jobs.MOST_ATTEMPTS + 1):
            with pytest.raises(IncompatibleVersionError):
                work()
        assert set(job.chunks.values_list("status", "attempts")) == {("queued", 0)}
        node.delete()
        work()
        assert (fresh(job).status, "needs 1.0.0" in job.reason) == (Status.FAILED, True)
    finally:
        libraries.pretend("")
    version.refresh_from_db()
    assert version.verification_error == ""


def test_while_the_storage_does_not_answer_a_piece_loses_no_attempt(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = received()
    silent = Mock(side_effect=StorageError("The object storage does not answer."))
    with monkeypatch.context() as patch:
        patch.setattr("training.artifacts.load_scorer", silent)
        for _ in range(jobs.MOST_ATTEMPTS + 1):
            with pytest.raises(StorageError):
                work()
    assert set(job.chunks.values_list("status", "attempts")) == {("queued", 0)}
    assert work() == 2
    assert fresh(job).status == Status.SUCCEEDED


def test_the_oldest_job_comes_first(version: ModelVersion) -> None:
    first, second = received(), received()
    taken = [jobs.claim() for _ in range(4)]
    assert [(chunk and chunk.job_id, chunk and chunk.number) for chunk in taken] == [
        (first.pk, 0),
        (first.pk, 1),
        (second.pk, 0),
        (second.pk, 1),
    ]
    assert jobs.claim() is None
    assert fresh(first).status == Status.RUNNING


def test_stopped_it_completes_what_it_has(version: ModelVersion) -> None:
    job = received()
    answers = iter([False, True])
    assert jobs.score_pieces(is_stopped=lambda: next(answers)) == 1
    assert (fresh(job).status, job.rows_done, job.progress) == ("running", 2, 66)


def test_a_piece_whose_holder_died_is_taken_again_and_the_late_holder_changes_nothing(
    version: ModelVersion,
) -> None:
    job = received(csv_text(ROWS[:1]))
    dead = jobs.claim()
    assert dead is not None
    assert jobs.claim() is None
    PredictionChunk.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    heir = jobs.claim()
    assert heir is not None
    assert (heir.pk, heir.attempts) == (dead.pk, 2)
    assert not jobs.complete(dead, result=b"stale", refused=1)
    assert jobs.complete(heir, result=b"fresh", refused=0)
    assert not jobs.complete(heir, result=b"twice", refused=0)
    assert (fresh(job).status, job.rows_done, job.rows_refused) == ("succeeded", 1, 0)
    assert bytes(job.chunks.get().result or b"") == b"fresh"


def test_a_piece_that_kills_whoever_scores_it_fails_the_job(version: ModelVersion) -> None:
    job = received()
    PredictionChunk.objects.filter(number=1).update(
        status="running", attempts=3, lease_until=timezone.now() - timedelta(seconds=1)
    )
    assert work() == 1
    assert fresh(job).status == Status.FAILED
    assert job.reason == "Part 2 ended the process that scored it 3 times."
    assert not jobs.somebody_waits()


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif("connection.vendor == 'sqlite'", reason="SQLite lets one write at a time anyway")
def test_of_many_who_ask_at_once_each_gets_another_piece(version: ModelVersion) -> None:
    received(csv_text([(f"A-{n}", "fuite vapeur", "Vanne", "eq-1") for n in range(24)]))
    taken: list[int] = []
    barrier = threading.Barrier(8)

    def ask() -> None:
        barrier.wait()
        try:
            while (chunk := jobs.claim()) is not None:
                taken.append(chunk.pk)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(PredictionChunk.objects.values_list("pk", flat=True))
    assert connection.vendor == "postgresql"


def test_a_step_costs_so_many_queries(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    received()
    work()
    received(csv_text([(f"A-{n}", "fuite vapeur", "Vanne", "eq-1") for n in range(12)]))
    chunk = jobs.claim()
    assert chunk is not None
    with django_assert_num_queries(5):  # the savepoint's two among them
        jobs.complete(chunk, result=b"", refused=0)
    with django_assert_num_queries(4):
        jobs.claim()


# --- Ends ----------------------------------------------------------------------------------------


def test_cancelled_nobody_takes_a_piece_and_there_is_no_result(version: ModelVersion, user: User) -> None:
    job = received()
    chunk = jobs.claim()
    assert chunk is not None
    jobs.cancel_job(job=job, user=user)
    assert (job.status, job.reason) == ("cancelled", "Cancelled by ines.")
    assert work() == 0
    jobs.complete(chunk, result=b"", refused=0)
    assert fresh(job).status == Status.CANCELLED
    with pytest.raises(NotAllowedNowError, match=r"the prediction job is cancelled\. Cancelled by ines\."):
        jobs.result_of(job)
    with pytest.raises(NotAllowedNowError, match="already ended"):
        jobs.cancel_job(job=job, user=user)


def test_a_result_that_is_not_there_yet(version: ModelVersion) -> None:
    job = received()
    with pytest.raises(NotAllowedNowError, match=r"not there yet: 0 % of the rows"):
        jobs.result_of(job)


def test_the_time_left_follows_the_pace(version: ModelVersion) -> None:
    job = received()
    assert jobs.seconds_left(job) is None
    started = timezone.now() - timedelta(seconds=60)
    PredictionJob.objects.update(status="running", started_at=started, rows_done=2)
    assert jobs.seconds_left(fresh(job)) == 30
    PredictionJob.objects.update(status="succeeded", rows_done=3)
    assert jobs.seconds_left(fresh(job)) is None


def test_old_jobs_lose_their_files_and_keep_their_row(version: ModelVersion) -> None:
    old, recent = received(), received()
    work()
    PredictionJob.objects.filter(pk=old.pk).update(finished_at=timezone.now() - timedelta(days=8))
    assert jobs.prune_jobs() == 1
    assert (old.chunks.count(), recent.chunks.count()) == (0, 2)
    with pytest.raises(NotAllowedNowError, match="The result was removed on"):
        jobs.result_of(fresh(old))
    assert jobs.prune_jobs() == 0


def test_uploads_that_nobody_went_on_with_are_swept(version: ModelVersion) -> None:
    job = PredictionJob.objects.create(file_name="x.csv", model_version=version)
    PredictionChunk.objects.create(job=job, number=0, rows=1, reports=b"")
    assert not jobs.somebody_waits()
    assert jobs.prune_jobs() == 0
    PredictionJob.objects.update(created_at=timezone.now() - timedelta(hours=2))
    jobs.prune_jobs()
    assert not PredictionChunk.objects.exists()


def test_the_columns_may_have_the_customers_names(version: ModelVersion) -> None:
    titles = ("Description", "Num_equipement", "Description de l'équipement")
    job = received(csv_text([("fuite vapeur n1", "eq-1", "Vanne")], titles))
    work()
    assert (result(job)[0]["availability"], result(job)[0]["equipment_id"]) == ("1", "eq-1")
    assert TITLES[1] == "description"
