"""gunicorn's worker: what it refuses before anything of ours is asked has the form of every error, too."""

import json
from contextlib import suppress
from typing import Any

from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from training import processes

UNEXPECTED = "An unexpected error occurred. It was logged."


class _Page:
    """Stands for the socket that gunicorn would send its own page to."""

    sent = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.sent += data


class Worker(ThreadWorker):
    def handle_exit(self, sig: int, frame: Any) -> None:
        """End in order: who waits for a training is told now where to ask, before the grace is over."""
        processes.leaving.set()
        super().handle_exit(sig, frame)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Log the error as gunicorn does, and answer with its status; not with its page."""
        page = _Page()
        super().handle_error(req, page, addr, exc)
        with suppress(OSError):  # whoever asked is gone
            util.write_nonblock(client, _in_form(page.sent, exc))


def _in_form(page: bytes, exc: BaseException) -> bytes:
    status_line = page.partition(b"\r\n")[0].decode("latin-1")
    _, status, phrase = status_line.split(" ", 2)
    sentence = UNEXPECTED if int(status) == 500 else f"{phrase}: {exc}"
    body = json.dumps({"success": False, "error": sentence})
    headers = ("Connection: close", "Content-Type: application/json", "Cache-Control: no-store")
    return "\r\n".join([status_line, *headers, f"Content-Length: {len(body)}", "", body]).encode("ascii")
