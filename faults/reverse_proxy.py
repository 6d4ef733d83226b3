"""A reverse proxy as deployments have one: it reads a request whole, passes it on, and says for whom.

TLS is left out: to the application it would look the same.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from uuid import uuid4

PATIENCE = 330  # seconds that the application has, as in docs/deployment.md
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer"}


@contextmanager
def reverse_proxy(port: int) -> Iterator[str]:
    """In front of the application at that port of this machine; the address that clients use."""

    class Handler(_Handler):
        upstream = port

    server = _Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error; what else may happen here is shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # as it was called


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is http.server's
        """Nothing: the application logs its requests."""

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
        headers |= {
            "X-Forwarded-For": self.client_address[0],
            "X-Forwarded-Proto": "https",
            "X-Request-ID": uuid4().hex,
        }
        connection = HTTPConnection("127.0.0.1", self.upstream, timeout=PATIENCE)
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, HTTPException):  # the application died: so does the client's connection
            self.close_connection = True
            return
        finally:
            connection.close()
        self.send_response(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {*HOP_BY_HOP, "content-length", "date", "server"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _pass_on  # noqa: N815  # names of http.server's
