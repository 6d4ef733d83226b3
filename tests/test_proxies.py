"""The proxy does to connections what its methods say."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.proxies import Proxy, proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it reads."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, suppress(ConnectionError):
            while data := client.recv(100):
                client.sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def between(echo: int) -> Iterator[Proxy]:
    with proxy("127.0.0.1", echo) as passing:
        yield passing


def connect(between: Proxy, timeout: float = 5) -> socket.socket:
    return socket.create_connection(("127.0.0.1", between.port), timeout=timeout)


def echoed_twice(client: socket.socket) -> None:
    """The first may still be taken by the system; the second cannot."""
    echoed(client)
    echoed(client)


def echoed(client: socket.socket) -> bytes:
    client.sendall(b"hello")
    return client.recv(100)


def test_everything_is_passed_on(between: Proxy) -> None:
    with connect(between) as client:
        assert echoed(client) == b"hello"


def test_refused_connections_come_back(between: Proxy) -> None:
    with connect(between) as client:
        echoed(client)
        between.refuse()
        with pytest.raises(OSError):  # noqa: PT011  # reset, or a broken pipe
            echoed_twice(client)
    with pytest.raises(ConnectionRefusedError):
        connect(between)
    between.restore()
    with connect(between) as client:
        assert echoed(client) == b"hello"


def test_a_cut_ends_open_connections_alone(between: Proxy) -> None:
    with connect(between) as client:
        echoed(client)
        between.cut()
        with pytest.raises(OSError):  # noqa: PT011  # as above
            echoed_twice(client)
    with connect(between) as client:
        assert echoed(client) == b"hello"


def test_silence_holds_bytes_back_until_it_ends(between: Proxy) -> None:
    with connect(between, timeout=0.2) as client:
        echoed(client)
        between.silence()
        with pytest.raises(TimeoutError):
            echoed(client)
        with connect(between, timeout=0.2) as late, pytest.raises(TimeoutError):
            echoed(late)
        between.restore()
        client.settimeout(5)
        assert client.recv(100) == b"hello"
