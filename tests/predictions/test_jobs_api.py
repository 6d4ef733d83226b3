import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from predictions import jobs
from predictions.models import PredictionChunk, PredictionJob
from tests.factories import user_with
from tests.predictions.job_files import csv_text
from training.models import ModelVersion

JOBS = "/api/v1/prediction-jobs/"
SEE, ADD = "predictions.view_predictionjob", "predictions.add_predictionjob"

pytestmark = pytest.mark.django_db

ClientOf = Callable[..., APIClient]


@pytest.fixture
def client_of(db: None) -> ClientOf:
    def make(*permissions: str) -> APIClient:
        client = APIClient()
        token = Token.objects.create(user=user_with(*permissions))
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        return client

    return make


@pytest.fixture
def sender(client_of: ClientOf, version: ModelVersion) -> APIClient:
    return client_of(SEE, ADD)


def post(
    client: APIClient, content: str | None = None, name: str = "night.csv", key: str | None = None
) -> Any:
    raw = (csv_text() if content is None else content).encode()
    file = SimpleUploadedFile(name, raw, "text/csv")
    headers = {"Idempotency-Key": key} if key else {}
    return client.post(JOBS, {"file": file}, format="multipart", headers=headers)


def work() -> None:
    jobs.score_pieces(is_stopped=lambda: False)


def test_a_file_sent_again_under_its_key_is_scored_once(sender: APIClient) -> None:
    first, second = post(sender, key="monday"), post(sender, name="again.csv", key="monday")
    work()
    third = post(sender, key="monday")
    assert [answer.status_code for answer in (first, second, third)] == [202, 202, 202]
    assert {answer.json()["id"] for answer in (first, second, third)} == {PredictionJob.objects.get().pk}
    assert third.json()["status"] == "succeeded"
    other = post(sender, csv_text([("B-1", "fuite", "Vanne", "eq-1")]), key="monday")
    assert other.status_code == 422
    assert other.json()["error"].startswith("This Idempotency-Key was sent with another request")
    assert PredictionJob.objects.count() == 1


def test_of_a_file_sent_twice_at_a_time_the_first_one_stays(
    sender: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_rows = jobs._store_pieces

    def while_another_is_faster(job: PredictionJob, path: Path) -> int:
        monkeypatch.setattr(jobs, "_store_pieces", read_rows)
        assert post(sender, key="monday").status_code == 202
        return read_rows(job, path)

    monkeypatch.setattr(jobs, "_store_pieces", while_another_is_faster)
    answer = post(sender, key="monday")
    job = PredictionJob.objects.get()
    assert (answer.status_code, answer.json()["id"]) == (202, job.pk)
    assert PredictionChunk.objects.filter(job=job).count() == PredictionChunk.objects.count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("waiting", [0, jobs.MOST_ACTIVE - 1])
def test_ten_that_are_sent_at_once_get_the_job_of_the_one(
    client_of: ClientOf, version: ModelVersion, waiting: int
) -> None:
    """Also the one whose place in the queue was the last, which the others then find taken."""
    for number in range(waiting):
        PredictionJob.objects.create(
            file_name=f"{number}.csv", model_version=version, status="queued", rows=1
        )
    client, barrier = client_of(SEE, ADD), threading.Barrier(10)

    def send(_number: int) -> tuple[int, bytes]:
        barrier.wait()
        try:
            answer = post(client, key="monday")
            return answer.status_code, answer.content
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        answers = set(pool.map(send, range(10)))
    job = PredictionJob.objects.get(request_key="monday")
    [(status, body)] = answers
    assert (status, json.loads(body)["id"]) == (202, job.pk)
    assert PredictionJob.objects.count() == waiting + 1
    assert PredictionChunk.objects.count() == 1


def test_a_repeat_whose_twin_was_cancelled_meanwhile_is_told_so(
    sender: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its twin was stored before it could be, and cancelled before it asked for the twin."""
    read_rows = jobs._store_pieces

    def while_another_is_faster(job: PredictionJob, path: Path) -> int:
        monkeypatch.setattr(jobs, "_store_pieces", read_rows)
        assert post(sender, key="monday").status_code == 202
        return read_rows(job, path)

    def cancelled(_refused: IntegrityError) -> bool:
        PredictionJob.objects.filter(request_key="monday").update(status="cancelled")
        return True

    monkeypatch.setattr(jobs, "_store_pieces", while_another_is_faster)
    monkeypatch.setattr(jobs, "is_repeat", cancelled)
    answer = post(sender, key="monday")
    assert (answer.status_code, answer.json()["error"]) == (
        409,
        "The same request was sent at the same time: send it again.",
    )
    assert post(sender, key="monday").status_code == 202


def test_a_file_is_sent_followed_and_fetched(sender: APIClient, version: ModelVersion) -> None:
    accepted = post(sender)
    job = accepted.json()
    address = f"{JOBS}{job['id']}/"
    assert accepted.status_code == 202
    assert accepted["Location"] == f"http://testserver{address}"
    assert {name: job[name] for name in ("status", "file_name", "model_version", "rows", "progress")} == {
        "status": "queued",
        "file_name": "night.csv",
        "model_version": version.pk,
        "rows": 3,
        "progress": 0,
    }
    assert (job["seconds_left"], job["result_url"]) == (None, None)
    early = sender.get(f"{address}result/")
    assert early.status_code == 409
    assert early.json()["error"] == "The result is not there yet: 0 % of the rows are scored."

    work()
    job = sender.get(address).json()
    assert (job["status"], job["rows_done"], job["rows_refused"], job["progress"]) == ("succeeded", 3, 0, 100)
    assert job["result_url"] == f"http://testserver{address}result/"
    result = sender.get(f"{address}result/")
    assert (result.status_code, result["Content-Type"]) == (200, "text/csv; charset=utf-8")
    assert result["Content-Disposition"] == f'attachment; filename="predictions-{job["id"]}.csv"'
    lines = result.getvalue().decode().split("\r\n")
    assert lines[0].startswith("line,anomaly_id,equipment_id,availability,fiability,process_safety,")
    assert [line.split(",")[:4] for line in lines[1:4]] == [
        ["2", "A-1", "eq-1", "1"],
        ["3", "A-2", "eq-2", "4"],
        ["4", "A-3", "eq-0", "2"],
    ]


def test_cancelling(sender: APIClient) -> None:
    address = f"{JOBS}{post(sender).json()['id']}/cancel/"
    cancelled = sender.post(address)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = sender.post(address)
    assert (again.status_code, again.json()["error"]) == (409, "The prediction job has already ended.")


def test_what_is_wrong_with_the_file_is_said_and_nothing_stored(sender: APIClient) -> None:
    refused = post(sender, "Titre\nx\n")
    assert refused.status_code == 400
    assert refused.json() == {
        "success": False,
        "error": "Data validation failed",
        "validation_errors": ["The file has no column for description, equipment_id"],
    }
    assert not PredictionJob.objects.exists()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({}, "file: No file was submitted."),
        ({"file": "text"}, "file: The submitted data was not a file. Check the encoding type on the form."),
        ({"file": SimpleUploadedFile("x.csv", b"")}, "file: The submitted file is empty."),
    ],
)
def test_without_a_file(sender: APIClient, data: dict[str, Any], error: str) -> None:
    refused = sender.post(JOBS, data, format="multipart")
    assert (refused.status_code, refused.json()["validation_errors"]) == (400, [error])


def test_json_is_not_what_is_asked_for(sender: APIClient) -> None:
    refused = sender.post(JOBS, "[]", content_type="application/json")
    assert (refused.status_code, refused.json()["success"]) == (415, False)


def test_a_file_that_is_too_large_is_refused_unread(sender: APIClient, settings: Settings) -> None:
    settings.PREDICTION_JOB_LIMIT = 100
    refused = post(sender)
    assert (refused.status_code, refused.json()["success"]) == (413, False)
    assert not PredictionJob.objects.exists()


def test_without_a_model(client_of: ClientOf) -> None:
    refused = post(client_of(ADD))
    assert (refused.status_code, refused.json()["success"]) == (503, False)


def test_who_may_see_may_not_send(client_of: ClientOf, version: ModelVersion) -> None:
    job = PredictionJob.objects.create(file_name="a.csv", model_version=version, status="queued", rows=1)
    viewer, stranger, nobody = client_of(SEE), client_of(), APIClient()
    assert viewer.get(f"{JOBS}{job.pk}/").status_code == 200
    for response in (post(viewer), viewer.post(f"{JOBS}{job.pk}/cancel/")):
        assert response.status_code == 403
        assert response.json()["error"] == f"This needs the permission {ADD}."
    for address in (JOBS, f"{JOBS}{job.pk}/", f"{JOBS}{job.pk}/result/"):
        assert stranger.get(address).status_code == 403
        assert nobody.get(address).status_code == 401
    assert post(nobody).status_code == 401
    assert PredictionJob.objects.get().status == "queued"


def test_an_upload_under_way_is_not_shown(sender: APIClient, version: ModelVersion) -> None:
    job = PredictionJob.objects.create(file_name="a.csv", model_version=version)
    assert sender.get(JOBS).json()["count"] == 0
    assert sender.get(f"{JOBS}{job.pk}/").status_code == 404


def test_lists_are_filtered_and_cost_the_same_for_many(
    sender: APIClient, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        post(sender)
    work()
    post(sender)
    assert [job["status"] for job in sender.get(JOBS).json()["results"]] == ["queued"] + ["succeeded"] * 3
    assert sender.get(JOBS, {"status": "queued"}).json()["count"] == 1
    for size in (1, 4):
        with django_assert_num_queries(
            5
        ):  # the token, the permissions of user and groups, the count, the rows
            assert len(sender.get(JOBS, {"page_size": size}).json()["results"]) == size


def test_a_failed_job_says_why(sender: APIClient) -> None:
    key = post(sender).json()["id"]
    PredictionChunk.objects.update(status="running", attempts=3, lease_until="2026-01-01T00:00Z")
    work()
    job = sender.get(f"{JOBS}{key}/").json()
    assert (job["status"], job["reason"]) == (
        "failed",
        "Part 1 ended the process that scored it 3 times.",
    )
