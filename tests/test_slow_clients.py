"""Real connections to a real web server: silent and slow ones hold up nobody, and lose their thread."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import requests

from anomalyproject import worker
from tests.queue_processes import database_url
from tests.sampling import on_sqlite_alone
from tests.web_server import WebServer, web_server

pytestmark = [pytest.mark.queue, pytest.mark.django_db, on_sqlite_alone]
HEAD = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def web(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    """One worker of four threads, with a tenth of the patience, for all of these tests: nothing is stored."""
    directory = tmp_path_factory.mktemp("web")
    config = directory / "config.py"
    environment = {"DATABASE_URL": database_url(), "MEDIA_ROOT": str(directory), "WEB_THREADS": "4"}
    config.write_text(
        "from anomalyproject import worker\nfrom anomalyproject.gunicorn import *\n"
        "worker.HEAD_TIME = 3.0\nworker.PATIENCE = 2.0\n"
    )
    with web_server(directory / "log", workers=1, config=config, ANONYMOUS_READ="1", **environment) as server:
        yield server


def connected(web: WebServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", web.port), timeout=30)


def status_of(web: WebServer) -> int:
    return requests.get(f"{web.url}/livez", timeout=30).status_code


def answer_on(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    return answer


@pytest.mark.parametrize("said", [b"", b"G", HEAD, HEAD + b"X-Long: " + b"a" * 5_000])
def test_who_does_not_finish_a_head_holds_no_thread(web: WebServer, said: bytes) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(connected(web)) for _ in range(40)]
        for connection in silent:
            connection.sendall(said)
        begin = time.monotonic()
        assert [status_of(web) for _ in range(5)] == [200] * 5
        assert all(connection.fileno() > 0 for connection in silent)
        assert time.monotonic() - begin < worker.HEAD_TIME
        assert answer_on(silent[0]) == b""  # the server closed it


def test_a_head_in_parts_is_answered(web: WebServer) -> None:
    with connected(web) as connection:
        for number in range(len(HEAD)):
            connection.sendall(HEAD[number : number + 1])
        connection.sendall(b"Connection: keep-alive\r\n\r")
        time.sleep(0.1)
        connection.sendall(b"\n")
        first = b""
        while not first.endswith(b'{"status":"alive"}'):
            first += connection.recv(65_536)
        assert first.startswith(b"HTTP/1.1 200 ")
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")  # the next on the same connection
        assert answer_on(connection).startswith(b"HTTP/1.1 200 ")


def test_two_requests_at_once_are_both_answered(web: WebServer) -> None:
    with connected(web) as connection:
        connection.sendall(HEAD + b"\r\n" + HEAD + b"Connection: close\r\n\r\n")
        assert answer_on(connection).count(b"HTTP/1.1 200 ") == 2


@pytest.mark.parametrize("head", [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\n\n", b"GET /" + b"a" * 70_000])
def test_what_is_no_head_is_refused(web: WebServer, head: bytes) -> None:
    with connected(web) as connection:
        connection.sendall(head)
        assert answer_on(connection)[:11] in {b"HTTP/1.1 40", b"HTTP/1.1 41"}


def test_who_does_not_close_holds_up_nobody(web: WebServer) -> None:
    with ExitStack() as stack:
        for _ in range(20):
            connection = stack.enter_context(connected(web))
            connection.sendall(HEAD + b"Connection: close\r\n\r\n")
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200 ")
        begin = time.monotonic()
        assert [status_of(web) for _ in range(5)] == [200] * 5
        assert time.monotonic() - begin < worker.LINGER


@pytest.mark.parametrize("megabytes", [1, 30])
def test_who_sends_a_body_that_nobody_wants_gets_the_answer(web: WebServer, megabytes: int) -> None:
    url, body = f"{web.url}/api/v1/anomalies/", b" " * megabytes * 1_000_000
    headers = {"Content-Type": "application/json", "Authorization": "Token " + "0" * 40}
    for _ in range(5):
        assert requests.post(url, data=body, headers=headers, timeout=30).status_code == 401


def test_a_body_that_stalls_loses_its_thread(web: WebServer) -> None:
    with ExitStack() as stack:
        stalled = [stack.enter_context(connected(web)) for _ in range(8)]
        for connection in stalled:
            connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n[")
        assert status_of(web) == 200
        for connection in stalled:
            assert answer_on(connection)[:12] in {b"", b"HTTP/1.1 400"}


def test_a_body_that_trickles_loses_its_thread(web: WebServer) -> None:
    def trickle(connection: socket.socket) -> float:
        begin = time.monotonic()
        connection.sendall(POST + b"Content-Length: 1000000\r\n\r\n[")
        try:
            while time.monotonic() - begin < 25:
                connection.sendall(b" ")
                time.sleep(0.2)
        except OSError:
            pass
        return time.monotonic() - begin

    with ExitStack() as stack, ThreadPoolExecutor(4) as pool:
        trickling = [stack.enter_context(connected(web)) for _ in range(4)]
        lasted = pool.map(trickle, trickling)
        assert status_of(web) == 200
        assert max(lasted) < 25


def test_a_slow_but_steady_body_is_read(web: WebServer) -> None:
    body = b"[" + b" " * 100_000 + b"]"
    with connected(web) as connection:
        connection.sendall(POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 10_000):  # for longer than the patience
            connection.sendall(body[start : start + 10_000])
            time.sleep(0.4)
        assert answer_on(connection).startswith(b"HTTP/1.1 400 ")
