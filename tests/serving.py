"""The product as it is deployed, for tests: gunicorn with its workers, on a port and database of its own."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.queue_processes import wait_until

ROOT = Path(__file__).parent.parent
HOST = "127.0.0.1"
# As a plant behind a proxy that ends TLS has it; nobody is throttled, so that what is sent is answered.
PRODUCTION = {
    "DEBUG": "0",
    "SECRET_KEY": "s" * 64,
    "ARTIFACT_SIGNING_KEYS": "a" * 64,
    "ALLOWED_HOSTS": HOST,
    "TRUSTED_PROXIES": "1",
    **{f"THROTTLE_{scope}": "off" for scope in ("LOGIN", "READ", "WRITE", "PREDICT")},
    "THROTTLE_WRITE_RECORDS": "off",
    "THROTTLE_WRITE_CHARACTERS": "off",
}
BY_TLS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`headers`: names as they were sent. Status 0: none came."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def status_code(self) -> int:
        return self.status

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True, kw_only=True)
class Server:
    port: int
    log: Path

    def send(
        self, method: str, target: str, *, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to a request whose parts are sent as they are, in latin-1, whatever they are."""
        lines = {"Host": HOST, **BY_TLS, "Content-Length": str(len(body)), "Connection": "close"}
        lines |= headers or {}
        head = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in lines.items())]
        return self.send_raw("\r\n".join([*head, "", ""]).encode("latin-1", "replace") + body, method=method)

    def send_raw(self, content: bytes, *, method: str = "GET", seconds: float = 60) -> Answer:
        """The answer to these bytes; status 0 when none comes: the server may wait for more."""
        with socket.create_connection((HOST, self.port), timeout=seconds) as connection:
            with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was read: answered
                connection.sendall(content)
            response = http.client.HTTPResponse(connection, method=method)
            try:
                response.begin()
                body = response.read()
            except (http.client.HTTPException, ConnectionResetError, TimeoutError):
                return Answer(status=0)
        headers = dict(response.getheaders())
        return Answer(status=response.status, headers=headers, body=body)


@contextmanager
def served(environment: Mapping[str, str], *, log: Path) -> Iterator[Server]:
    """A server that answers until the block ends; what it says is in `log`."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "python:anomalyproject.gunicorn",
        "anomalyproject.wsgi",
    ]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PORT": str(port), "HOST": HOST, **environment},
            stdout=output,
            stderr=output,
        )
    server = Server(port=port, log=log)
    try:
        wait_until(lambda: process.poll() is not None or _answers(server), seconds=120)
        if process.poll() is not None:
            raise RuntimeError(log.read_text(encoding="utf-8"))
        yield server
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(server: Server) -> bool:
    try:
        return server.send("GET", "/livez").status == 200
    except OSError:
        return False
