"""Redis, if configured: shared by all nodes, signed, and never in the way of a prediction."""

import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from random import randrange
from uuid import uuid4

import pytest
import redis
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from pytest_django import Settings

from anomalyproject import shared_cache
from anomalyproject.env import Rate, env_cache
from tests.predictions.published import publish_version

URL = "redis://127.0.0.1:6379/0"


@pytest.fixture(autouse=True)
def _fresh_circuit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_cache._Circuit, "problem", "")
    monkeypatch.setattr(shared_cache._Circuit, "closed_until", 0.0)


def configure(settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str) -> str:
    monkeypatch.setenv("REDIS_URL", url)
    prefix = f"test-{uuid4().hex}"
    settings.CACHES = {"default": env_cache("REDIS_URL", prefix=prefix)}
    return prefix


@pytest.fixture
def server(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple["redis.Redis", str]]:
    """A Redis on loopback, and the prefix of this test's keys there."""
    client = redis.Redis.from_url(URL)
    try:
        client.ping()
    except redis.RedisError:
        pytest.skip(f"No Redis answers at {URL}")
    prefix = configure(settings, monkeypatch, URL)
    yield client, prefix
    for key in client.scan_iter(f"{prefix}:*"):
        client.delete(key)
    client.close()


@pytest.fixture
def dead_end(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> int:
    """Nothing listens where Redis should."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    configure(settings, monkeypatch, f"redis://127.0.0.1:{port}/0")
    return port


class Plant:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.mark,))


def test_what_one_process_sets_another_gets(server: tuple["redis.Redis", str]) -> None:
    client, prefix = server
    cache.set("counts", {"a": [1, 2.5, None]}, 60)
    assert cache.get("counts") == {"a": [1, 2.5, None]}
    assert 0 < client.ttl(f"{prefix}:1:counts") <= 60
    assert cache.delete("counts") is True
    assert cache.get("counts", "nothing") == "nothing"
    assert shared_cache.problem() == ""


def test_a_planted_value_is_not_unpickled(
    server: tuple["redis.Redis", str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client, prefix = server
    plant = pickle.dumps(Plant(tmp_path / "ran"))
    for content in (plant, b"x" * 32 + plant, b"", b"-7"):
        client.set(f"{prefix}:1:planted", content)
        assert cache.get("planted", "nothing") == "nothing"
    assert not (tmp_path / "ran").exists()
    assert "is not signed with this SECRET_KEY" in caplog.text
    cache.set("planted", 7)
    assert cache.get("planted") == 7


@pytest.mark.django_db
@pytest.mark.usefixtures("server")
def test_throttles_count_in_redis(client: Client, settings: Settings) -> None:
    settings.THROTTLES = settings.THROTTLES | {"read": Rate(2, 3_600)}
    assert [client.get("/train/backups").status_code for _ in range(3)] == [200, 200, 429]


@pytest.mark.django_db
@pytest.mark.usefixtures("dead_end")
def test_predictions_go_on_without_redis_and_health_says_so(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.THROTTLES = settings.THROTTLES | {"predict": Rate(1_000, 1)}
    version = publish_version(is_active=True)
    body = {"description": "fuite", "equipment_id": "p-1"}

    assert client.post("/predict", body, content_type="application/json").status_code == 200

    health = client.get("/health").json()
    assert (health["status"], health["message"]) == (
        "healthy",
        f"Version {version.pk} serves. Redis does not answer: each process counts requests for itself.",
    )
    assert caplog.text.count("Redis does not answer; this process remembers for itself") == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("dead_end")
def test_without_redis_each_process_throttles_for_itself(client: Client, settings: Settings) -> None:
    settings.THROTTLES = settings.THROTTLES | {"read": Rate(2, 3_600)}
    asked = {"REMOTE_ADDR": f"10.{randrange(256)}.{randrange(256)}.1"}  # this process remembers others
    answers = [client.get("/train/backups", **asked).status_code for _ in range(3)]  # type: ignore[arg-type]
    assert answers == [200, 200, 429]


@pytest.mark.django_db
def test_redis_is_asked_again_after_a_while(
    server: tuple["redis.Redis", str], client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.THROTTLES = settings.THROTTLES | {"read": Rate(1_000, 1)}
    monkeypatch.setattr(shared_cache._Circuit, "problem", "Redis does not answer.")
    monkeypatch.setattr(shared_cache._Circuit, "closed_until", time.monotonic() + 60)
    assert client.get("/health").json()["message"].endswith("Redis does not answer.")

    monkeypatch.setattr(shared_cache._Circuit, "closed_until", 0.0)
    client.get("/train/backups")
    assert "Redis" not in client.get("/health").json()["message"]


@pytest.mark.django_db
def test_health_notices_by_itself_that_redis_answers_again(
    server: tuple["redis.Redis", str], client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No request that counts or keeps anything comes in between."""
    monkeypatch.setattr(shared_cache._Circuit, "problem", "Redis does not answer.")
    monkeypatch.setattr(shared_cache._Circuit, "closed_until", time.monotonic() + 0.2)
    assert client.get("/health").json()["message"].endswith("Redis does not answer.")
    time.sleep(0.3)
    assert "Redis" not in client.get("/health").json()["message"]


def test_an_outage_is_one_line_in_the_log_and_its_end_another(
    server: tuple["redis.Redis", str],
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger=shared_cache.__name__)
    monkeypatch.setattr(shared_cache, "RETRY_AFTER", 0.0)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    reachable = settings.CACHES
    configure(settings, monkeypatch, f"redis://127.0.0.1:{port}/0")
    for _ in range(3):
        assert cache.get("a") is None
    assert shared_cache.problem().startswith("Redis does not answer")
    settings.CACHES = reachable
    assert cache.get("a") is None
    assert cache.get("a") is None
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == ["Redis does not answer; this process remembers for itself", "Redis answers again"]


def test_without_an_address_each_process_remembers_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert env_cache("REDIS_URL", prefix="x") == {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


@pytest.mark.parametrize("wrong", ["127.0.0.1:6379", "http://127.0.0.1", "redis"])
def test_what_is_no_redis_stops_the_start(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", wrong)
    with pytest.raises(ImproperlyConfigured, match=r"^REDIS_URL must be redis://host:port/database"):
        env_cache("REDIS_URL", prefix="x")
