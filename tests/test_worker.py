"""What gunicorn refuses itself is answered in the form of every error."""

import json
import socket
from types import SimpleNamespace

import pytest
from gunicorn.http import errors

from anomalyproject.worker import UNEXPECTED, Worker


@pytest.fixture
def worker() -> Worker:
    log = SimpleNamespace(**dict.fromkeys(("warning", "exception", "debug", "access"), lambda *_: None))
    worker = Worker.__new__(Worker)
    worker.log = log
    return worker


def refused(worker: Worker, error: BaseException) -> tuple[str, dict[str, str], dict[str, object]]:
    """Status line, headers and body that the client reads."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        worker.handle_error(None, ours, ("192.0.2.1", 1), error)
        head, _, body = theirs.recv(65_536).decode("ascii").partition("\r\n\r\n")
    status_line, *lines = head.split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert int(headers["Content-Length"]) == len(body)
    return status_line, headers, json.loads(body)


@pytest.mark.parametrize(
    ("error", "status_line", "sentence"),
    [
        (
            errors.LimitRequestLine(5_000, 4_094),
            "HTTP/1.1 414 URI Too Long",
            "URI Too Long: Request Line is too large (5000 > 4094)",
        ),
        (
            errors.LimitRequestHeaders("limit request headers fields size"),
            "HTTP/1.1 431 Request Header Fields Too Large",
            "Request Header Fields Too Large: limit request headers fields size",
        ),
        (
            errors.InvalidHeaderName('"é" <b>\r\n'),
            "HTTP/1.1 400 Bad Request",
            "Bad Request: Invalid HTTP header name: '\"é\" <b>\\r\\n'",
        ),
        (
            errors.UnsupportedTransferCoding("gzip"),
            "HTTP/1.1 400 Bad Request",
            "Bad Request: Unsupported transfer coding: 'gzip'",
        ),
        (RuntimeError("a secret"), "HTTP/1.1 500 Internal Server Error", UNEXPECTED),
    ],
)
def test_it_has_the_form_of_every_error(
    worker: Worker, error: BaseException, status_line: str, sentence: str
) -> None:
    answer, headers, body = refused(worker, error)
    assert answer == status_line
    assert (headers["Content-Type"], headers["Connection"]) == ("application/json", "close")
    assert body == {"success": False, "error": sentence}


def test_who_is_gone_is_not_answered(worker: Worker) -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        worker.handle_error(None, ours, ("192.0.2.1", 1), errors.LimitRequestLine(5_000, 4_094))
