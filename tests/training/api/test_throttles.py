"""Who asks too often is told when to come back, in the form of every error."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django import Settings
from rest_framework.authtoken.models import Token

from anomalyproject.env import Rate
from tests.factories import UserFactory, user_with
from training.api import guide
from training.api.rates import seconds_to_wait
from training.errors import NoWorkerError
from training.models import Anomaly

pytestmark = pytest.mark.django_db
ADDRESS = "198.51.100.7"


@pytest.fixture(autouse=True)
def at(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The time, a tenth of a second before the middle of a minute; and nobody was counted yet."""
    now = [1_000_000_050.0 - 0.1]
    monkeypatch.setattr("training.api.rates.time.time", lambda: now[0])
    cache.clear()
    yield now
    cache.clear()


@pytest.fixture
def two_a_minute(settings: Settings) -> None:
    settings.ANONYMOUS_READ = True
    settings.THROTTLES = dict.fromkeys(("login", "read", "write", "predict"), Rate(2, 60))


def bearing(user: User) -> Client:
    return Client(headers={"authorization": f"Token {Token.objects.create(user=user).key}"})


def statuses(client: Client, *requests: tuple[str, str]) -> list[int]:
    return [client.generic(method, path).status_code for method, path in requests]


def test_two_then_wait_then_two_more(two_a_minute: None, at: list[float]) -> None:
    assert [seconds_to_wait("read", "x") for _ in range(4)] == [None, None, 31, 31]
    at[0] += 30
    assert seconds_to_wait("read", "x") == 1
    at[0] += 1
    assert [seconds_to_wait("read", "x") for _ in range(3)] == [None, None, 60]


def test_work_is_counted_beside_calls(settings: Settings, at: list[float]) -> None:
    settings.THROTTLES = {"predict_records": Rate(10, 60)}
    costs = [4, 5, 9, 1]  # the third is the last: something was left
    assert [seconds_to_wait("predict_records", "x", cost=cost) for cost in costs] == [None, None, None, 31]
    at[0] += 31
    assert seconds_to_wait("predict_records", "x", cost=1_000) is None  # else it would never be served
    assert seconds_to_wait("predict_records", "x", cost=1) == 60


@pytest.mark.parametrize(
    ("scope", "limit", "url", "body", "answers"),
    [
        ("predict_records", 3, "/predict", [{"description": "ab", "equipment_id": "e"}] * 2, [503, 503, 429]),
        ("predict_records", 3, "/predict", {"description": "ab", "equipment_id": "e"}, [503, 503, 503, 429]),
        (
            "predict_records",
            3,
            "/predict?explain=true",
            {"description": "ab", "equipment_id": "e"},
            [503, 429],
        ),
        (
            "predict_characters",
            7,
            "/predict",
            [{"description": "abcd", "equipment_id": "e"}],
            [503, 503, 429],
        ),
        ("predict_characters", 7, "/predict", [{"description": 5}], [400] * 4),
    ],
)
def test_predictions_cost_their_records_and_characters(
    settings: Settings, *, scope: str, limit: int, url: str, body: Any, answers: list[int]
) -> None:
    """503: no model serves."""
    settings.ANONYMOUS_READ = True
    settings.THROTTLES = {scope: Rate(limit, 60)}
    client = Client(REMOTE_ADDR=ADDRESS)
    found = [client.post(url, body, content_type="application/json") for _ in answers]
    assert [response.status_code for response in found] == answers
    if answers[-1] == 429:
        assert found[-1]["Retry-After"] == "31"


REPORT = {"description": "abcd", "equipment_id": "e"}
SCORED = REPORT | {
    "equipment_name": "",
    "availability_score": 1,
    "fiability_score": 2,
    "process_safety_score": 3,
}


@pytest.mark.parametrize(("scope", "limit"), [("write_records", 3), ("write_characters", 13)])
@pytest.mark.parametrize("url", ["/train", "/api/v1/anomalies/"])
def test_what_is_stored_costs_its_records_and_characters(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, scope: str, limit: int, url: str
) -> None:
    monkeypatch.setattr(guide, "accept_batch", Mock(side_effect=NoWorkerError("No worker.")))
    settings.THROTTLES = {scope: Rate(limit, 60)}
    user = user_with("training.train_models", "training.add_anomaly")
    headers = {"Authorization": f"Token {Token.objects.create(user=user).key}"}
    record = SCORED if url == "/train" else REPORT
    found = []
    for number in range(3):
        batch = [record | {"anomaly_id": f"A-{number}-{place}"} for place in range(2)]
        response = Client().post(url, batch, content_type="application/json", headers=headers)
        found.append(response.status_code)
    taken = 503 if url == "/train" else 201
    assert found == [taken, taken, 429]
    assert Anomaly.objects.count() == (0 if url == "/train" else 4)


def test_a_batch_of_the_longest_texts_is_refused(settings: Settings) -> None:
    settings.ANONYMOUS_READ, settings.PREDICTION_CHARACTERS_LIMIT = True, 1_000
    batch = [{"description": "a" * 100, "equipment_id": "e", "section": "b"}] * 10
    response = Client().post("/predict", batch, content_type="application/json")
    assert (response.status_code, response.json()["validation_errors"]) == (
        400,
        ["The texts of a batch hold at most 1,000 characters, got 1,010: send it in parts"],
    )


def test_callers_and_scopes_are_counted_apart(two_a_minute: None) -> None:
    assert [seconds_to_wait("read", "x") for _ in range(3)] == [None, None, 31]
    assert seconds_to_wait("read", "y") is None
    assert seconds_to_wait("write", "x") is None


def test_nobody_is_counted_where_it_is_off(settings: Settings) -> None:
    settings.THROTTLES = {"read": None}
    assert [seconds_to_wait("read", "x") for _ in range(9)] == [None] * 9


def test_a_cache_that_forgets_lets_pass(two_a_minute: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "add", lambda *_, **__: False)
    assert seconds_to_wait("read", "x") is None


def test_the_answer_has_the_form_and_says_when(two_a_minute: None) -> None:
    client = Client(REMOTE_ADDR=ADDRESS)
    assert statuses(client, *[("GET", "/train/status")] * 2) == [200, 200]
    response = client.get("/train/status")
    sentence = "Request was throttled. Expected available in 31 seconds."
    assert (response.status_code, response.json()) == (429, {"success": False, "error": sentence})
    assert response["Retry-After"] == "31"
    older = client.get("/models/info")
    assert (older.status_code, older.json()) == (429, {"error": "Too Many Requests", "message": sentence})


def test_reads_writes_and_predictions_are_counted_apart(two_a_minute: None) -> None:
    client = bearing(user_with("training.activate_modelversion"))
    for method, path, let_in in (
        ("GET", "/train/status", 200),
        ("POST", "/train/reload", 500),
        ("POST", "/predict", 400),
    ):
        assert statuses(client, *[(method, path)] * 3) == [let_in, let_in, 429]


def test_users_are_counted_wherever_they_are(two_a_minute: None) -> None:
    user = user_with()
    token = Token.objects.create(user=user).key
    clients = [
        Client(REMOTE_ADDR=f"198.51.100.{n}", headers={"authorization": f"Token {token}"}) for n in range(3)
    ]
    assert [client.get("/train/status").status_code for client in clients] == [200, 200, 429]
    assert Client(REMOTE_ADDR="198.51.100.2").get("/train/status").status_code == 200


def test_a_forwarded_address_does_not_help_whoever_claims_it(two_a_minute: None, settings: Settings) -> None:
    settings.TRUSTED_PROXIES = 1
    claims = [f"203.0.113.{n}, {ADDRESS}" for n in range(3)]
    answers = [Client().get("/train/status", headers={"x-forwarded-for": claim}) for claim in claims]
    assert [answer.status_code for answer in answers] == [200, 200, 429]


def test_health_is_never_throttled(two_a_minute: None) -> None:
    assert statuses(Client(), *[("GET", "/health")] * 5) == [200] * 5


def test_wrong_tokens_are_bad_logins_and_right_ones_pass(
    two_a_minute: None, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Client(REMOTE_ADDR=ADDRESS, headers={"authorization": "Token " + "5ecret" * 6})
    assert statuses(wrong, *[("GET", "/train/status")] * 3) == [401, 401, 429]
    assert wrong.get("/train/status")["Retry-After"] == "31"
    assert f"A token was refused, from {ADDRESS}: Invalid token." in caplog.text
    assert "5ecret" not in caplog.text
    assert bearing(user_with()).get("/train/status", REMOTE_ADDR=ADDRESS).status_code == 200


def test_the_login_is_bounded_for_an_address_whatever_the_name(two_a_minute: None) -> None:
    url = reverse("admin:login")

    def tried(name: str, address: str = ADDRESS) -> Any:
        return Client(REMOTE_ADDR=address).post(url, {"username": name, "password": "x"})

    assert [tried(name).status_code for name in ("ines", "hugo", "lea")] == [200, 200, 429]
    refused = tried("paul")
    assert refused["Retry-After"] == "31"
    assert "<h1>Too many attempts</h1>" in refused.content.decode()
    assert Client(REMOTE_ADDR=ADDRESS).get(url).status_code == 200
    assert tried("paul", "198.51.100.8").status_code == 200


def test_the_login_still_lets_people_in(two_a_minute: None) -> None:
    user = UserFactory.create(username="ines", is_staff=True)
    user.set_password("vapeur-42-haute")
    user.save()
    right = {"username": "ines", "password": "vapeur-42-haute", "next": "/admin/"}
    response = Client().post(reverse("admin:login"), right)
    assert (response.status_code, response["Location"]) == (302, "/admin/")


def test_a_name_is_locked_after_repeated_bad_logins(settings: Settings) -> None:
    """Also for the right password, and only from where they were tried."""
    user = UserFactory.create(username="ines", is_staff=True)
    user.set_password("vapeur-42-haute")
    user.save()
    url, wrong = reverse("admin:login"), {"username": "ines", "password": "x"}
    right = wrong | {"password": "vapeur-42-haute"}
    here, elsewhere = Client(REMOTE_ADDR=ADDRESS), Client(REMOTE_ADDR="198.51.100.8")
    assert [here.post(url, wrong).status_code for _ in range(5)] == [200, 200, 200, 200, 429]
    locked = here.post(url, right)
    assert (locked.status_code, locked["Retry-After"]) == (429, "900")
    assert elsewhere.post(url, right).status_code == 302
