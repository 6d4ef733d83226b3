"""Hostile bodies through a real web server: what its process takes for one, and what it keeps."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from rest_framework.authtoken.models import Token

from tests.factories import user_with
from tests.queue_processes import wait_until
from tests.sampling import on_sqlite_alone
from tests.web_server import WebServer, web_server
from training.api.parsers import MAX_VALUES

pytestmark = [pytest.mark.queue, on_sqlite_alone]
MB = 1_000_000
LIMIT = 8 * 1024 * 1024
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
UPLOAD = {"Content-Type": "multipart/form-data; boundary=b"}


def filled(opening: str, part: str, closing: str, size: int = LIMIT) -> bytes:
    """A body of at most `size` bytes: `part` again and again."""
    room = size - len((opening + closing).encode())
    return (opening + (part * (room // len(part.encode()))).rstrip(",") + closing).encode()


def keys(size: int) -> bytes:
    """One object of as many names as fit, each another one."""
    return ("{" + ",".join(f'"{n:06x}":1' for n in range(size // 12)) + "}").encode()


HOSTILE = {
    "empty objects": filled("[", "{},", "]"),
    "empty lists": filled("[", "[],", "]"),
    "objects in objects": filled("[", '{"a":{"b":{"c":{"d":{}}}}},', "]"),
    "numbers": filled("[", "1.5,", "]"),
    "short strings": filled("[", '"ab",', "]"),
    "strings of marks": filled("[", '"😀[{,",', "]"),
    "escapes": filled('["', "\\\\", '"]'),
    "escaped quotes": filled('["', '\\"', '"]'),
    "one wide string": filled('["😀', "a", '"]'),
    "wide strings": filled("[", '"😀' + "a" * 30 + '",', "]"),
    "quotes": filled("[", '""', "]"),
    "names": keys(LIMIT),
    "an open string": filled("[", "{},", '"'),
    "nested": b"[" * LIMIT,
    "digits": b"[" + b"1" * (LIMIT - 2) + b"]",
    "decimals": b"[1." + b"1" * (LIMIT - 4) + b"]",
    "not UTF-8": b'["' + b"a" * (LIMIT - 5) + b'\xff"]',
    "as many objects as may be": filled("[", '{"a":1},', "]", size=MAX_VALUES // 2 * 8 - 16),
    "as many names as may be": keys(MAX_VALUES * 12 - 60),
    "a name twice": keys(MAX_VALUES * 12 - 60)[:-1] + b',"000000":2}',
    "too long": filled("[", "{},", "]", size=4 * LIMIT),
}


@pytest.fixture
def web(queue_mark: str, tmp_path: Path) -> Iterator[WebServer]:
    with web_server(tmp_path / "log", ANONYMOUS_READ="1") as server:
        requests.post(
            f"{server.url}/predict", data=filled("[", "{},", "]", size=2 * MB), headers=JSON, timeout=60
        )
        time.sleep(3)  # whatever loads with the first request is loaded
        yield server


def sent(web: WebServer, path: str, body: bytes, headers: dict[str, str]) -> None:
    """Send it, and hold what the worker takes and what it answers to their bounds."""
    start = web.memory()
    web.forget_peak()
    answer = requests.post(web.url + path, data=body, headers=headers, timeout=60)
    assert 400 <= answer.status_code < 500
    assert len(answer.content) < 2 * MB
    assert web.memory("VmHWM") - start < 150 * MB, path


def test_no_body_takes_much_or_leaves_much(web: WebServer) -> None:
    """Anonymously, as one who may report anomalies, and on the login page."""
    token = Token.objects.create(user=user_with("training.add_anomaly")).key
    before = web.memory()
    for body in HOSTILE.values():
        sent(web, "/predict", body, JSON)
        sent(web, "/api/v1/anomalies/", body, JSON | {"Authorization": f"Token {token}"})
    for part in ("%41", "a=1&", "a"):
        for size in (MB, LIMIT):
            sent(web, "/admin/login/", filled("a=", part, "", size=size), FORM)
    for name in ('name="a"', 'name="a"; filename="a"'):
        part = f"--b\r\nContent-Disposition: form-data; {name}\r\n\r\n\r\n"
        sent(web, "/admin/login/", filled("", part, "--b--\r\n"), UPLOAD)
    wait_until(lambda: web.memory() - before < 50 * MB, 10)
