"""Idempotency-Key: a request whose answer was lost is sent again, and nothing is done twice."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django_q.models import OrmQ
from rest_framework.test import APIClient

from tests.factories import ApprovedFactory, VersionFactory, user_with
from tests.training.api.conftest import Works, claim, fail
from tests.training.api.test_guide import RECORD, records
from training import sessions
from training.errors import KeyReusedError, SessionActiveError
from training.idempotency import RequestKey
from training.ml import failpoints
from training.ml.failpoints import Crash
from training.models import Anomaly, TrainingSession
from training.validation import validate_batch

pytestmark = pytest.mark.django_db
SESSIONS = "/api/v1/training-sessions/"
REUSED = {
    "success": False,
    "error": "This Idempotency-Key was sent with another request: each one needs its own.",
}


def client_of(user: User) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def trainer(db: None) -> APIClient:
    return client_of(user_with("training.train_models"))


def train(client: Client, payload: object, key: str | None = "monday", **headers: str) -> Any:
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.post("/train", json.dumps(payload), content_type="application/json", headers=headers)


def finish() -> None:
    session = TrainingSession.objects.active().get()
    sessions.finish(session.pk, session.attempts, version=VersionFactory.create())


def the_session() -> TrainingSession:
    return TrainingSession.objects.get()


# --- POST /train ---------------------------------------------------------------------------------


def test_after_the_end_the_same_answer_is_given(trainer: APIClient, works: Works) -> None:
    works(claim, finish)
    first, second = train(trainer, records(3)), train(trainer, records(3))
    assert first.status_code == 200
    assert (second.status_code, second.json()) == (200, first.json())
    assert the_session().request_key == "monday"
    assert Anomaly.history.count() == 3


def test_while_it_goes_on_who_sends_it_again_waits_for_the_same_training(
    trainer: APIClient, works: Works
) -> None:
    works(claim)
    assert train(trainer, records(1), Prefer="wait=0").status_code == 202
    assert train(trainer, records(1), key=None).status_code == 409
    works(finish)
    answer = train(trainer, records(1))
    assert (answer.status_code, answer.json()["training_session_id"]) == (200, the_session().pk)


def test_layout_and_order_of_names_make_no_other_request(trainer: APIClient, works: Works) -> None:
    works(claim, finish)
    train(trainer, [RECORD])
    body = json.dumps([dict(reversed(RECORD.items()))], indent=2)
    headers = {"Idempotency-Key": "monday"}
    assert trainer.post("/train", body, content_type="application/json", headers=headers).status_code == 200
    the_session()


def test_a_process_that_dies_before_it_answers_leaves_the_key(trainer: APIClient, works: Works) -> None:
    with failpoints.armed("accept.committed=crash"), pytest.raises(Crash):
        train(trainer, records(2))
    works(claim, finish)
    answer = train(trainer, records(2))
    assert (answer.status_code, answer.json()["statistics"]["total_records_added"]) == (200, 2)
    the_session()


def test_a_process_that_dies_before_it_stores_leaves_nothing(trainer: APIClient, works: Works) -> None:
    with failpoints.armed("accept.rung=crash"), pytest.raises(Crash):
        train(trainer, records(2))
    assert not TrainingSession.objects.exists()
    works(claim, finish)
    assert train(trainer, records(2)).status_code == 200


def test_after_a_failure_it_is_tried_again(trainer: APIClient, works: Works) -> None:
    works(claim, fail)
    assert train(trainer, records(2)).status_code == 500
    works(claim, finish)
    answer = train(trainer, records(2))
    assert (answer.status_code, answer.json()["statistics"]["records_unchanged"]) == (200, 2)
    assert TrainingSession.objects.count() == 2


def test_another_batch_under_the_same_key_is_refused(trainer: APIClient, works: Works) -> None:
    works(claim, finish)
    train(trainer, records(1))
    answer = train(trainer, records(2))
    assert (answer.status_code, answer.json()) == (422, REUSED)
    assert Anomaly.objects.count() == 1
    the_session()


def test_two_callers_may_choose_the_same_key(works: Works) -> None:
    users = [user_with("training.train_models") for _ in range(2)]
    for user in users:
        works(claim, finish)
        assert train(client_of(user), records(1)).status_code == 200
    assert list(TrainingSession.objects.order_by("pk").values_list("requested_by", flat=True)) == [
        user.pk for user in users
    ]


def test_without_a_key_each_request_trains(trainer: APIClient, works: Works) -> None:
    for _ in range(2):
        works(claim, finish)
        assert train(trainer, records(1), key=None).status_code == 200
    assert TrainingSession.objects.filter(request_key="", request_digest="").count() == 2


@pytest.mark.parametrize("key", ["", " ", "two words", "é", "x" * 256, "a\x00b"])
def test_what_is_no_key_is_refused(trainer: APIClient, key: str) -> None:
    answer = train(trainer, records(1), key=key)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Idempotency-Key must be 1 to 255 visible ASCII characters."
    assert not TrainingSession.objects.exists()


def test_the_longest_key_is_stored_whole(trainer: APIClient, works: Works) -> None:
    works(claim, finish)
    assert train(trainer, records(1), key="x" * 255).status_code == 200
    assert the_session().request_key == "x" * 255


# --- POST /api/v1/training-sessions/ ---------------------------------------------------------------


def test_a_session_is_started_once(trainer: APIClient) -> None:
    ApprovedFactory.create()
    answers = [trainer.post(SESSIONS, headers={"Idempotency-Key": "monday"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    assert {answer.json()["id"] for answer in answers} == {the_session().pk}
    assert OrmQ.objects.count() == 1


def test_the_description_names_what_the_header_may_be_answered_with(client: Client) -> None:
    operation = client.get("/api/v1/schema/?format=json").json()["paths"][SESSIONS]["post"]
    assert {"400", "409", "422"} <= set(operation["responses"])
    assert [parameter["name"] for parameter in operation["parameters"]] == ["Idempotency-Key"]


def test_a_key_of_train_is_none_for_a_session_without_records(trainer: APIClient, works: Works) -> None:
    works(claim, finish)
    train(trainer, records(1))
    answer = trainer.post(SESSIONS, headers={"Idempotency-Key": "monday"})
    assert (answer.status_code, answer.json()) == (422, REUSED)


# --- At once -----------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_of_twenty_that_come_at_once_one_is_accepted_and_none_refused_as_another() -> None:
    user = user_with("training.train_models")
    reports, key = validate_batch(records(1)), RequestKey(key="monday", digest="d" * 64)
    barrier = threading.Barrier(20)

    def send(_number: int) -> int | None:
        barrier.wait()
        try:
            return sessions.accept_batch(reports=reports, user=user, request=key).pk
        except SessionActiveError:
            return None
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(send, range(20)))
    assert set(found) - {None} == {the_session().pk}
    assert sessions.accept_batch(reports=reports, user=user, request=key) == the_session()


def test_the_constraint_decides_where_the_first_had_ended_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    user = user_with("training.train_models")
    ApprovedFactory.create()
    key = RequestKey(key="monday", digest="d" * 64)
    first = sessions.start_session(trigger=TrainingSession.Trigger.API, user=user, request=key)
    claim()
    finish()
    monkeypatch.setattr(sessions, "begun_by", lambda *_: None)
    with pytest.raises(SessionActiveError):
        sessions.start_session(trigger=TrainingSession.Trigger.API, user=user, request=key)
    assert the_session() == first


def test_another_request_is_told_from_the_first() -> None:
    ApprovedFactory.create()
    api = TrainingSession.Trigger.API
    sessions.start_session(trigger=api, request=RequestKey(key="monday", digest="a" * 64))
    with pytest.raises(KeyReusedError):
        sessions.start_session(trigger=api, request=RequestKey(key="monday", digest="b" * 64))
