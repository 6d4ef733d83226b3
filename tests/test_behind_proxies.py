"""Lock-out and throttles through real web servers, as proxies of several kinds pass requests on."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
from django.contrib.auth.models import User

from tests.factories import UserFactory
from tests.sampling import on_sqlite_alone
from tests.web_server import WebServer, web_server

pytestmark = [pytest.mark.queue, on_sqlite_alone]
PASSWORD = "vapeur-42-haute"  # of a user of this test
PLANT: dict[str, Any] = {
    "DEBUG": "0",
    "SECRET_KEY": "k" * 50,
    "ARTIFACT_SIGNING_KEYS": "a" * 50,
    "ALLOWED_HOSTS": "localhost,127.0.0.1",
    "ANONYMOUS_READ": "1",
    "BEHIND_PROXY": "1",
    "SECURE_SSL_REDIRECT": "1",
}
REDIS = "redis://127.0.0.1:6379/13"


@pytest.fixture
def ines(transactional_db: None) -> User:
    user: User = UserFactory.create(username="ines", is_staff=True)
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.fixture
def web(queue_mark: str, tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "log", workers=2, BEHIND_PROXY="1") as server:
        yield server


def login(web: WebServer, forwarded: str, password: str) -> int:
    """The status of an attempt as ines; 302 when it succeeds."""
    session = requests.Session()
    session.headers["X-Forwarded-For"] = forwarded
    url = f"{web.url}/admin/login/"
    session.get(url, timeout=30)
    sent = {"csrfmiddlewaretoken": session.cookies["csrftoken"], "username": "ines", "password": password}
    return session.post(url, data=sent, timeout=30, allow_redirects=False).status_code


@pytest.mark.parametrize(
    ("attacker", "others"),
    [
        ("203.0.113.7:{}", ["203.0.113.8:40001", "198.51.100.7"]),
        ("[2001:db8:1:1::{}]:443", ["[2001:db8:1:2::1]:443", "203.0.113.7:1"]),
        ("garbage{}, 203.0.113.7", ["203.0.113.8"]),
        ("198.51.100.{}, 203.0.113.7:99", ["198.51.100.1"]),
    ],
)
def test_who_guesses_locks_himself_out_and_nobody_else(
    web: WebServer, ines: User, attacker: str, others: list[str]
) -> None:
    tried = [login(web, attacker.format(number), "wrong") for number in range(1, 6)]
    assert tried == [200, 200, 200, 200, 429]
    assert login(web, attacker.format(9), PASSWORD) == 429
    assert [login(web, other, PASSWORD) for other in others] == [302] * len(others)


def test_a_stranger_past_the_proxies_chooses_neither_address_nor_scheme(
    queue_mark: str, tmp_path: Path
) -> None:
    strange = PLANT | {"TRUSTED_PROXY_NETWORKS": "10.9.0.0/16"}
    with web_server(tmp_path / "log", THROTTLE_READ="3/hour", **strange) as web:
        answers = [
            requests.get(
                f"{web.url}/train/status",
                headers={"X-Forwarded-For": f"198.51.100.{number}", "X-Forwarded-Proto": "https"},
                timeout=30,
                allow_redirects=False,
            ).status_code
            for number in range(2)
        ]
    assert answers == [301, 301]
    assert (tmp_path / "log").read_text().count("Forwarded headers from 127.0.0.1 are ignored") == 1


@pytest.mark.parametrize(("shared", "let_in"), [(True, 4), (False, 8)])
def test_rates_are_of_all_workers_with_redis_and_of_each_without(
    queue_mark: str, tmp_path: Path, shared: bool, let_in: int
) -> None:
    redis: dict[str, Any] = {"REDIS_URL": REDIS, "REDIS_PREFIX": uuid4().hex} if shared else {}
    headers = {"X-Forwarded-For": "203.0.113.7:40001", "X-Forwarded-Proto": "https"}
    with web_server(tmp_path / "log", workers=2, THROTTLE_READ="4/hour", **(PLANT | redis)) as web:
        statuses = [
            requests.get(f"{web.url}/train/status", headers=headers, timeout=30).status_code
            for _ in range(60)
        ]
    assert set(statuses) == {200, 429}
    assert statuses.count(200) == let_in


def test_under_a_prefix_every_link_has_it(queue_mark: str, tmp_path: Path) -> None:
    with web_server(tmp_path / "log", SCRIPT_NAME="/anomalies", BEHIND_PROXY="1", DEBUG="1") as web:
        session = requests.Session()
        page = session.get(f"{web.url}/", timeout=30)
        assert (page.status_code, page.url) == (200, f"{web.url}/admin/login/?next=/anomalies/admin/")
        linked = re.findall(r'(?:href|src|action)="(/[^"]*)"', page.text)
        assert linked
        assert [link for link in linked if not link.startswith("/anomalies/")] == []
        (style,) = [link for link in linked if link.endswith("training/admin.css")]
        root = web.url.removesuffix("/anomalies")
        assert requests.get(f"{root}{style}", timeout=30).status_code == 200
        missing = session.get(f"{web.url}/admin/nothing/", timeout=30)
        assert "json" not in missing.headers["Content-Type"]
