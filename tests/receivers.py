"""A receiver of webhooks on this machine: what it was sent, and how it answers."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True, kw_only=True)
class Received:
    path: str
    headers: Message
    body: bytes


@dataclass(kw_only=True)
class Receiver:
    """`status` is what it answers, unless `answer` does that by itself."""

    port: int
    status: int = 204
    location: str = ""
    answer: Answer | None = None
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)  # when the test is over

    def url(self, path: str = "/hook", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            ours.received.append(Received(path=self.path, headers=self.headers, body=body))
            if ours.answer is not None:
                ours.answer(self)
                return
            self.send_response(ours.status)
            if ours.location:
                self.send_header("Location", ours.location)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    ours = Receiver(port=server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield ours
    finally:
        ours.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
