"""The wire: a real receiver, and addresses that must not be asked."""

import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from tests.receivers import Receiver, receiver
from training.posting import PostError, check_url, post

HERE = [ipaddress.ip_network("127.0.0.0/8")]


@pytest.fixture
def listening() -> Iterator[Receiver]:
    with receiver() as ours:
        yield ours


@pytest.fixture
def allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = HERE


def send(url: str, seconds: float = 5) -> int:
    return post(url, body=b'{"a": 1}', headers={"X-Ours": "1"}, seconds=seconds)


def names(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name have these addresses; the names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.usefixtures("allowed")
class TestPost:
    def test_what_is_sent_arrives(self, listening: Receiver) -> None:
        assert send(listening.url("/a b/é?x=1 2&y=%20")) == 204
        (got,) = listening.received
        assert (got.path, got.body) == ("/a%20b/%C3%A9?x=1%202&y=%20", b'{"a": 1}')
        assert (got.headers["X-Ours"], got.headers["Host"]) == ("1", f"127.0.0.1:{listening.port}")

    @pytest.mark.parametrize("status", [200, 404, 500])
    def test_every_answer_is_an_answer(self, listening: Receiver, status: int) -> None:
        listening.status = status
        assert send(listening.url()) == status

    def test_a_redirect_is_not_followed(self, listening: Receiver) -> None:
        listening.status, listening.location = 307, listening.url("/elsewhere")
        assert send(listening.url()) == 307
        assert [got.path for got in listening.received] == ["/hook"]

    def test_a_proxy_of_the_environment_is_not_used(
        self, listening: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        assert send(listening.url()) == 204

    def test_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
            with pytest.raises(PostError, match=r"^No connection: Connection refused\.$"):
                send(url)

    def test_who_answers_nothing_is_left(self, listening: Receiver) -> None:
        def wait(_handler: BaseHTTPRequestHandler) -> None:
            listening.released.wait(30)

        listening.answer = wait
        with pytest.raises(PostError, match=r"^No answer within 0\.2 s\.$"):
            send(listening.url(), 0.2)

    def test_who_answers_byte_by_byte_is_left(self, listening: Receiver) -> None:
        """Each byte comes well within a socket's timeout; the answer never ends."""

        def drip(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not listening.released.wait(0.02):
                try:
                    handler.wfile.write(b"x")
                except OSError:
                    return

        listening.answer = drip
        with pytest.raises(PostError, match=r"^No answer within 0\.5 s\.$"):
            send(listening.url(), 0.5)

    def test_what_is_no_http(self, listening: Receiver) -> None:
        def greet(handler: BaseHTTPRequestHandler) -> None:
            handler.wfile.write(b"220 mail ready\r\n")

        listening.answer = greet
        with pytest.raises(PostError, match=r"^The answer is no HTTP\.$"):
            send(listening.url())

    def test_the_second_address_is_tried_when_the_first_is_not_there(
        self, listening: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names(monkeypatch, "127.0.0.2", "127.0.0.1")
        assert send(listening.url(host="hook.example")) == 204
        assert listening.received[0].headers["Host"] == f"hook.example:{listening.port}"


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",  # noqa: S104 — an address that must be refused
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fec0::1",
            "fd00::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:0:7f00:1::",
            "2001:db8::1",
        ],
    )
    def test_internal_ones_are_refused_by_number_and_by_name(
        self, address: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        host = f"[{address}]" if ":" in address else address
        with pytest.raises(PostError, match="is an internal address"):
            check_url(f"https://{host}/")
        names(monkeypatch, address)
        with pytest.raises(PostError, match="is an internal address"):
            send("https://hook.example/")

    @pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "[::ffff:8.8.8.8]".strip("[]")])
    def test_public_ones_are_not(self, address: str) -> None:
        host = f"[{address}]" if ":" in address else address
        assert check_url(f"https://{host}:8443/x").port == 8443

    @pytest.mark.parametrize("written", ["2130706433", "0x7f.1", "127.1", "0177.0.0.1", "localhost"])
    def test_other_ways_to_write_this_machine_are_refused(self, written: str) -> None:
        with pytest.raises(PostError, match=r"internal address|not known"):
            send(f"https://{written}/")

    def test_one_internal_address_among_public_ones_is_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names(monkeypatch, "8.8.8.8", "10.0.0.1")
        with pytest.raises(PostError, match=r"^10\.0\.0\.1 is an internal address"):
            send("https://hook.example/")

    def test_a_name_that_changes_its_mind_gains_nothing(
        self, listening: Receiver, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is resolved once, and the connection goes to the address that was checked."""
        settings.WEBHOOK_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.1/32")]
        answers = iter(["127.0.0.1", "10.0.0.1"])

        def getaddrinfo(_host: str, port: int, **_: Any) -> list[Any]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(answers), port))]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        assert send(listening.url(host="rebind.example")) == 204
        assert list(answers) == ["10.0.0.1"]

    def test_allowed_networks_are_allowed_and_no_others(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings.WEBHOOK_ALLOWED_NETWORKS = [ipaddress.ip_network("10.1.0.0/16")]
        assert check_url("http://10.1.2.3/").hostname == "10.1.2.3"
        assert check_url("https://[::ffff:10.1.2.3]/").hostname == "::ffff:10.1.2.3"
        with pytest.raises(PostError, match="is an internal address"):
            check_url("https://10.2.0.1/")

    def test_outside_of_them_tls_is_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names(monkeypatch, "8.8.8.8")
        with pytest.raises(PostError, match="begins with https://"):
            send("http://hook.example/")

    @pytest.mark.parametrize(
        "url",
        [
            "",
            "hook.example",
            "ftp://hook.example/",
            "file:///etc/passwd",
            "https:///path",
            "https://hook.example:99999/",
            "https://hook.example:0/",
            "https://me:pass@hook.example/",
            "https://hook.example/#x",
            "https://[::1/",
        ],
    )
    def test_what_is_no_address(self, url: str) -> None:
        with pytest.raises(PostError):
            check_url(url)

    def test_a_name_that_nobody_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def getaddrinfo(*_arguments: object, **_options: object) -> list[Any]:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        with pytest.raises(PostError, match=r"^The name hook\.example is not known\.$"):
            send("https://hook.example/")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
@pytest.mark.usefixtures("allowed")
class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        path = tmp_path / "server.pem"
        subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        files = ("-keyout", str(path), "-out", str(tmp_path / "c.pem"))
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files]
        subprocess.run(command, check=True, capture_output=True)
        path.write_text(path.read_text() + (tmp_path / "c.pem").read_text())
        return path

    @pytest.fixture
    def secure(self, certificate: Path) -> Iterator[int]:
        """A TLS server that answers 200 to whoever trusts it."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        listener = socket.create_server(("127.0.0.1", 0))

        def serve() -> None:
            try:
                raw, _address = listener.accept()
                with raw, context.wrap_socket(raw, server_side=True) as connection:
                    while not connection.recv(65_536).endswith(b"}"):
                        pass
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            except OSError:
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
        thread.join(10)

    def test_a_certificate_that_nobody_signed_is_refused(self, secure: int) -> None:
        with pytest.raises(PostError, match=r"^The certificate is not valid: self-signed certificate\.$"):
            send(f"https://localhost:{secure}/")

    def test_one_of_the_house_is_trusted_by_its_file(
        self, secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert send(f"https://localhost:{secure}/") == 200

    def test_its_name_counts_and_not_the_address(
        self, secure: int, certificate: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        names(monkeypatch, "127.0.0.1")
        with pytest.raises(PostError, match=r"^The certificate is not valid: Hostname mismatch"):
            send(f"https://hook.example:{secure}/")

    def test_who_never_shakes_hands_is_left(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            begin = time.monotonic()
            with pytest.raises(PostError, match=r"^No answer within 0\.2 s\.$"):
                send(f"https://localhost:{silent.getsockname()[1]}/", 0.2)
            assert time.monotonic() - begin < 20  # it does not wait for ever
