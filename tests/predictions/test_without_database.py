"""What the product answers while its database does not: known callers get predictions, nobody gets a 500."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.authtoken.models import Token, TokenProxy

from predictions import predictor
from predictions.predictor import Predictor
from tests.factories import UserFactory
from tests.routes import address, one_of_each, routes
from training import outages
from training.api import known_callers
from training.models import ModelVersion, TrainingSession

LEAK = {"anomaly_id": "A-1", "description": "fuite vapeur", "equipment_id": "eq-1"}
REFUSED = {
    "error": "Service Unavailable",
    "message": "The database does not answer. Please try again in a moment.",
}


@contextmanager
def no_database(error: Exception | None = None) -> Iterator[None]:
    """Every statement fails as if the connection were lost, or with that error."""

    def refuse(*_: object) -> None:
        raise error or OperationalError("the server closed the connection unexpectedly")

    with connection.execute_wrapper(refuse):
        yield


@contextmanager
def known_to_be_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process has noticed: whoever asks the database all the same fails the test."""
    with monkeypatch.context() as patch, no_database(AssertionError("the database was asked")):
        patch.setattr(outages._Outage, "since", 1.0)
        yield


def advance(patch: pytest.MonkeyPatch, module: ModuleType, seconds: float) -> None:
    """Let the module's steady clock be so much later than now."""
    now = time.monotonic() + seconds
    patch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now))


@pytest.fixture
def user(db: None) -> User:
    user: User = UserFactory.create()
    return user


@pytest.fixture
def closed(settings: Settings) -> None:
    """As in a plant: who predicts is known."""
    settings.ANONYMOUS_READ = settings.OPEN_DEVELOPMENT_MODE = False


def predict(client: Client, body: Any = LEAK, path: str = "/predict", **headers: str) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def token_of(user: User) -> dict[str, str]:
    return {"authorization": f"Token {Token.objects.get_or_create(user=user)[0].key}"}


# --- Predictions -------------------------------------------------------------------------------


@pytest.mark.usefixtures("closed")
class TestCallers:
    def test_a_known_caller_is_answered_by_the_last_known_model(
        self, client: Client, version: ModelVersion, user: User
    ) -> None:
        token = token_of(user)
        before = predict(client, **token).json()
        with no_database():
            response = predict(client, **token)
        assert response.status_code == 200
        assert response.headers["X-Model-State"] == "last-known"
        assert response.headers["Warning"] == '110 - "The model is the last one known"'
        answer = response.json()
        assert answer.pop("model_state") == "last_known"
        times = {"processing_time_seconds": 0}
        assert answer | times == before | times

    def test_a_list_is_marked_as_a_whole(self, client: Client, version: ModelVersion, user: User) -> None:
        token = token_of(user)
        assert "model_state" not in predict(client, [LEAK], **token).json()
        with no_database():
            answer = predict(client, [LEAK, LEAK], **token).json()
        assert (answer["model_state"], len(answer["results"])) == ("last_known", 2)

    def test_once_it_is_known_to_be_away_it_is_not_asked(
        self, client: Client, version: ModelVersion, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token = token_of(user)
        predict(client, **token)
        with known_to_be_away(monkeypatch):
            assert predict(client, **token).status_code == 200
            assert client.get("/train/status", headers=token).status_code == 503

    def test_an_unknown_caller_is_told_to_come_back(
        self, client: Client, version: ModelVersion, user: User
    ) -> None:
        """Not 401: nobody can tell whether the token is good."""
        predictor.current()
        token = token_of(user)
        with no_database():
            response = predict(client, **token)
        assert (response.status_code, response.json()) == (503, REFUSED)
        assert response.headers["Retry-After"] == "5"

    def test_no_credentials_are_none_as_ever(self, client: Client, version: ModelVersion) -> None:
        predictor.current()
        with no_database():
            assert predict(client).status_code == 401
            assert predict(client, authorization="Basic x").status_code == 401

    def test_a_session_is_known_too_and_checked_against_forgery(
        self, version: ModelVersion, user: User
    ) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(user)
        client.cookies["csrftoken"] = token = "a" * 32
        assert predict(client, x_csrftoken=token).status_code == 200
        with no_database():
            assert predict(client, x_csrftoken=token).status_code == 200
            assert predict(client).status_code == 403

    def test_who_was_known_too_long_ago_is_not(
        self, client: Client, version: ModelVersion, user: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token, known_for = token_of(user), django_settings.KNOWN_CALLER_SECONDS
        predict(client, **token)
        with no_database():
            advance(monkeypatch, known_callers, known_for - 60)
            assert predict(client, **token).status_code == 200
            advance(monkeypatch, known_callers, known_for)
            assert predict(client, **token).status_code == 503

    def test_who_was_refused_is_forgotten(self, client: Client, version: ModelVersion, user: User) -> None:
        token = token_of(user)
        predict(client, **token)
        User.objects.filter(pk=user.pk).update(is_active=False)
        assert predict(client, **token).status_code == 401
        with no_database():
            assert predict(client, **token).status_code == 503

    @pytest.mark.parametrize("kind", [Token, TokenProxy])
    def test_a_token_that_is_deleted_is_forgotten_at_once(
        self, client: Client, version: ModelVersion, user: User, kind: type[Token]
    ) -> None:
        token = token_of(user)
        predict(client, **token)
        kind.objects.get(user=user).delete()
        with no_database():
            assert predict(client, **token).status_code == 503

    def test_a_user_who_is_switched_off_is_forgotten_at_once(
        self, client: Client, version: ModelVersion, user: User
    ) -> None:
        token = token_of(user)
        predict(client, **token)
        user.is_active = False
        user.save()
        with no_database():
            assert predict(client, **token).status_code == 503

    def test_a_session_that_ended_is_forgotten(self, version: ModelVersion, user: User) -> None:
        client = Client()
        client.force_login(user)
        assert predict(client).status_code == 200
        cookie = client.cookies["sessionid"].value
        Session.objects.all().delete()
        assert predict(client).status_code == 401
        client.cookies["sessionid"] = cookie
        with no_database():
            assert predict(client).status_code == 503

    @pytest.mark.parametrize("path", ["/models/info", "/models/metrics", "/train/status", "/train/backups"])
    def test_nothing_else_is_read(self, client: Client, version: ModelVersion, user: User, path: str) -> None:
        token = token_of(user)
        predict(client, **token)
        with no_database():
            assert client.get(path, headers=token).status_code == 503

    def test_requests_are_counted_as_ever(
        self, client: Client, version: ModelVersion, user: User, settings: Settings
    ) -> None:
        from anomalyproject.env import Rate  # noqa: PLC0415

        token = token_of(user)
        settings.THROTTLES = settings.THROTTLES | {"predict": Rate(3, 3_600)}
        predict(client, **token)
        with no_database():
            statuses = [predict(client, **token).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]


class TestModels:
    def test_anybody_is_answered_where_anybody_may_read(self, client: Client, version: ModelVersion) -> None:
        predict(client)
        with no_database():
            assert predict(client).json()["model_state"] == "last_known"
            assert predict(client, authorization="Token unknown").status_code == 200

    def test_reasons_come_without_similar_anomalies(self, client: Client, version: ModelVersion) -> None:
        """Those are the plant's data, and in the database."""
        predict(client)
        with no_database():
            answer = predict(client, path="/predict?explain=true").json()
        assert answer["similar_anomalies"] is None
        assert answer["predictions"]["availability"]["explanation"]["base"] > 0

    def test_without_a_model_that_was_loaded_there_is_none(
        self, client: Client, version: ModelVersion
    ) -> None:
        with no_database():
            response = predict(client)
        assert (response.status_code, response.json()) == (503, REFUSED)

    def test_a_model_that_was_confirmed_too_long_ago_answers_no_more(
        self, client: Client, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        predict(client)
        with no_database(), monkeypatch.context() as patch:
            advance(patch, predictor, django_settings.LAST_KNOWN_MODEL_SECONDS - 60)
            assert predict(client).status_code == 200
            advance(patch, predictor, django_settings.LAST_KNOWN_MODEL_SECONDS)
            assert predict(client).status_code == 503
        assert predict(client).status_code == 200

    def test_what_is_wrong_with_a_report_is_said_as_ever(self, client: Client, version: ModelVersion) -> None:
        predict(client)
        with no_database():
            assert predict(client, {}).status_code == 400

    def test_a_bug_is_no_outage(
        self, client: Client, version: ModelVersion, own_predictor: Predictor
    ) -> None:
        from django.db import ProgrammingError  # noqa: PLC0415

        predict(client)
        client.raise_request_exception = False
        with no_database(ProgrammingError("no such column")):
            assert predict(client).status_code == 500


# --- Everything else ---------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("is_noticed", [False, True], ids=["at first", "once it is noticed"])
def test_no_route_answers_500(is_noticed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each route, reading and writing, for somebody logged in who may do everything."""
    names = one_of_each()
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("admin"))
    away = known_to_be_away(monkeypatch) if is_noticed else no_database()
    answers: dict[str, set[int]] = {}
    with away:
        for route in routes():
            path = address(route, names)
            for ask in (client.get, client.post):
                response = ask(path)
                assert response.status_code < 500 or response.status_code == 503, (path, response)
                if response.status_code == 503:
                    assert response.headers["Retry-After"] == "5", path
                answers.setdefault(path, set()).add(response.status_code)
    assert sum(statuses == {503} for statuses in answers.values()) > len(answers) / 2


def test_people_get_a_page_in_their_language(client: Client, user: User) -> None:
    client.raise_request_exception = False
    client.force_login(user)
    with no_database():
        response = client.get(reverse("admin:index"), headers={"accept-language": "fr"})
    assert response.status_code == 503
    assert response.headers["Content-Type"].startswith("text/html")
    assert "<h1>Indisponible pour un instant</h1>" in response.content.decode()


def test_the_log_has_one_line_and_no_traceback(
    client: Client, user: User, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    client.raise_request_exception = False
    client.force_login(user)
    with no_database():
        client.get(reverse("admin:index"))
    assert "Traceback" not in caplog.text
    (line,) = [record.getMessage() for record in caplog.records if record.name == "training.api.errors"]
    assert line == (
        "The database does not answer. Please try again in a moment."
        " (the server closed the connection unexpectedly)"
    )


@pytest.mark.django_db
def test_metrics_answer_and_say_so(client: Client) -> None:
    with no_database():
        response = client.get("/metrics")
    text = response.content.decode()
    assert response.status_code == 200
    assert "anomaly_database_up 0.0" in text
    assert "anomaly_model_version" not in text
    assert "anomaly_http_requests_total" in text
    assert "anomaly_database_up 1.0" in client.get("/metrics").content.decode()


def test_health_names_the_database_to_whoever_asks(
    client: Client, version: ModelVersion, settings: Settings
) -> None:
    settings.ANONYMOUS_READ = False
    predictor.current()
    with no_database():
        health = client.get("/health").json()
    assert health == {
        "status": "degraded",
        "models_loaded": True,
        "message": "A model serves. The database does not answer.",
        "problems": [{"code": "database_silent", "severity": "serious"}],
        "app_name": settings.APP_NAME,
        "version": settings.VERSION,
    }


# --- A training that somebody waits for --------------------------------------------------------


@pytest.mark.django_db
def test_a_training_goes_on_when_its_client_waits_without_a_database(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is stored, then the database goes: where to ask for the result, not that it failed."""
    record = LEAK | {"availability_score": 2, "fiability_score": 3, "process_safety_score": 4}
    record |= {"equipment_name": "Vanne"}
    with pytest.MonkeyPatch.context() as patch:
        away = no_database()
        real = TrainingSession.refresh_from_db
        entered: list[Any] = []

        def lost(session: TrainingSession, *args: Any, **kwargs: Any) -> None:
            if not entered:
                away.__enter__()
                entered.append(away)
            real(session, *args, **kwargs)

        patch.setattr(TrainingSession, "refresh_from_db", lost)
        patch.setattr("training.sessions.LOST_SECONDS", 0.01)
        response = client.post(
            "/train", json.dumps([record]), content_type="application/json", headers={"prefer": "wait=1"}
        )
        for each in entered:
            each.__exit__(None, None, None)
    session = TrainingSession.objects.get()
    assert response.status_code == 202
    assert response.json()["status_url"] == f"http://testserver/train/status?session={session.pk}"
    assert response.json()["is_training"] is True
    assert session.status == TrainingSession.Status.QUEUED


def test_the_memory_of_callers_is_bounded(user: User) -> None:
    """As many as there is room for; the newest are known."""
    for number in range(200):
        known_callers.remember(f"token {number}", user)
    assert known_callers.recall("token 199") == known_callers.KnownCaller(
        pk=user.pk, username=user.get_username()
    )
    assert known_callers.recall("token 200") is None
