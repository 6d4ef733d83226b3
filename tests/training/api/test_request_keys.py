"""Idempotency-Key: a request whose answer was lost is sent again, and nothing is done twice."""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django_q.models import OrmQ
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.factories import ApprovedFactory, VersionFactory, user_with
from tests.training.api.conftest import Works, claim, fail
from tests.training.api.test_guide import RECORD, records
from training import sessions
from training.errors import KeyReusedError
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


def at_once(*sends: Callable[[], Any]) -> list[Any]:
    """What each of them answers, all of them sent at the same moment."""
    barrier = threading.Barrier(len(sends))

    def sent(send: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return send()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(sends)) as pool:
        return list(pool.map(sent, sends))


@contextmanager
def working() -> Iterator[None]:
    """A worker takes the session that comes, and brings it to its end."""
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.02):
            if TrainingSession.objects.active().exists() and claim():
                finish()
        connection.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def distinct(answers: Iterable[Any]) -> list[tuple[int, Any]]:
    """Status and body of the answers, each once."""
    return [json.loads(found) for found in {json.dumps([one.status_code, one.json()]) for one in answers}]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [True, False])
def test_of_twenty_that_come_at_once_all_get_the_session_of_the_one(known: bool) -> None:
    user = user_with("training.train_models") if known else None
    reports, key = validate_batch(records(1)), RequestKey(key="monday", digest="d" * 64)

    def send() -> int:
        return sessions.accept_batch(reports=reports, user=user, request=key).pk

    assert set(at_once(*[send] * 20)) == {the_session().pk}
    assert Anomaly.history.count() == 1


@pytest.mark.django_db(transaction=True)
def test_ten_trainings_at_once_get_the_same_answer() -> None:
    user = user_with("training.train_models")
    with working():
        answers = at_once(*[lambda: train(client_of(user), records(3))] * 10)
    session = the_session()
    [[status, body]] = distinct(answers)
    assert (status, body["success"], body["training_session_id"]) == (200, True, session.pk)
    assert Anomaly.history.count() == 3


@pytest.mark.django_db(transaction=True)
def test_ten_trainings_that_no_worker_takes_get_the_same_answer(settings: Settings) -> None:
    settings.TRAINING_CLAIM_WAIT = 1
    user = user_with("training.train_models")
    answers = at_once(*[lambda: train(client_of(user), records(1))] * 10)
    [[status, body]] = distinct(answers)
    assert (status, body["error"]) == (503, the_session().reason)


@pytest.mark.django_db(transaction=True)
def test_ten_sessions_at_once_are_one() -> None:
    ApprovedFactory.create()
    user = user_with("training.train_models")
    headers = {"Idempotency-Key": "monday"}
    answers = at_once(*[lambda: client_of(user).post(SESSIONS, headers=headers)] * 10)
    [[status, body]] = distinct(answers)
    assert (status, body["id"]) == (202, the_session().pk)
    assert OrmQ.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_of_two_batches_under_one_key_at_once_one_is_another_request() -> None:
    user = user_with("training.train_models")
    batches = [records(1), records(2)] * 5
    sends = [partial(train, client_of(user), batch, Prefer="wait=0") for batch in batches]
    with working():
        answers = at_once(*sends)
    accepted = [len(batch) for batch, one in zip(batches, answers, strict=True) if one.status_code != 422]
    assert accepted in ([1] * 5, [2] * 5)
    assert {one.status_code for one in answers} <= {200, 202, 422}
    assert [one.json() for one in answers if one.status_code == 422] == [REUSED] * 5
    assert Anomaly.history.count() == accepted[0]


@pytest.mark.parametrize("known", [True, False])
def test_the_constraint_decides_where_the_first_had_ended_meanwhile(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its twin is stored and trained between the first look for it and the second."""
    user = user_with("training.train_models") if known else None
    ApprovedFactory.create()
    key = RequestKey(key="monday", digest="d" * 64)
    look, begun = sessions.recover_sessions, False

    def meanwhile() -> int:
        nonlocal begun
        if not begun:
            begun = True
            sessions.start_session(trigger=TrainingSession.Trigger.API, user=user, request=key)
            claim()
            finish()
        return look()

    monkeypatch.setattr(sessions, "recover_sessions", meanwhile)
    second = sessions.start_session(trigger=TrainingSession.Trigger.API, user=user, request=key)
    assert begun
    assert second == the_session()


def test_another_request_is_told_from_the_first() -> None:
    ApprovedFactory.create()
    api = TrainingSession.Trigger.API
    sessions.start_session(trigger=api, request=RequestKey(key="monday", digest="a" * 64))
    with pytest.raises(KeyReusedError):
        sessions.start_session(trigger=api, request=RequestKey(key="monday", digest="b" * 64))
