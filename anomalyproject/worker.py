"""gunicorn's worker: a connection gets a thread once a request's head is there, and loses it when it is slow.

What it refuses before anything of ours is asked has the form of every error, too.
"""

import errno
import json
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn import http, util
from gunicorn.http.errors import UnsupportedTransferCoding
from gunicorn.workers.gthread import TConn, ThreadWorker

from training import processes

HEAD_TIME = 10.0  # seconds in which the head of a request must arrive
HEAD_PART = 65_536  # bytes of an unfinished head after which a thread reads on, and refuses what is too long
END_OF_HEAD = re.compile(rb"\n\r?\n")
PATIENCE = 20.0  # seconds that a thread waits for a client that neither sends nor takes anything
SLOWEST = 8_192  # bytes a second that a client sends or takes in the long run, else it loses its thread
LINGER = 5.0  # seconds that a connection stays open after its last answer, for the client to close it
MOST_DRAINED = 64 * 1024 * 1024  # bytes of a body that nobody wanted
UNEXPECTED = "An unexpected error occurred. It was logged."


class _Page:
    """Stands for the socket that gunicorn would send its own page to."""

    sent = b""

    def gettimeout(self) -> float:
        return 0.0

    def sendall(self, data: bytes) -> None:
        self.sent += data


class TimedSocket(socket.socket):
    """A client's socket that gives up on slow clients, like Apache's mod_reqtimeout.

    Each byte that comes earns a little time, up to PATIENCE. Errors are those of a connection that was
    reset: gunicorn and Django know them.
    """

    until = 0.0  # when the patience ends, by the monotonic clock

    def begin(self) -> None:
        """Wait for the request that comes now."""
        self.until = time.monotonic() + PATIENCE

    def setblocking(self, flag: bool) -> None:  # as the parent's
        self.settimeout(PATIENCE if flag else 0.0)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Receive as ever, within the shorter of the patience and the caller's own timeout."""
        given, left = self.gettimeout(), self.until - time.monotonic()
        if given == 0.0:
            return super().recv(size, flags)
        if left <= 0:
            raise _too_slow()
        self.settimeout(left if given is None else min(left, given))
        try:
            data = super().recv(size, flags)
        except TimeoutError as error:
            if given is not None and given < left and given < PATIENCE:
                raise  # the caller's own
            raise _too_slow() from error
        finally:
            self.settimeout(given)
        self.until = min(self.until + len(data) / SLOWEST, time.monotonic() + PATIENCE)
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send as ever, but no slower than SLOWEST."""
        given = self.gettimeout()
        self.settimeout(PATIENCE + len(data) / SLOWEST)
        try:
            super().sendall(data, flags)
        except TimeoutError as error:
            raise _too_slow() from error
        finally:
            self.settimeout(given)


def _received(client: socket.socket) -> bytes | None:
    """Return what has come; None for nothing yet, no bytes where nothing more will."""
    try:
        return client.recv(HEAD_PART)
    except BlockingIOError:
        return None
    except OSError:
        return b""


def _too_slow() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "The client is too slow.")


class Connection(TConn):
    """A connection whose close no thread waits for: gunicorn's main loop would wait for the client's, 2 s."""

    def __init__(self, *args: Any, linger: Callable[["Connection"], None]) -> None:
        super().__init__(*args)
        self.linger = linger
        self.head = b""
        self.drained = 0  # bytes that came after the answer

    def close(self, graceful: bool = False) -> None:
        if graceful:
            self.linger(self)
        else:
            super().close()


class Worker(ThreadWorker):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lingering: deque[Connection] = deque()  # answered for the last time, and not yet closed

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End in order: who waits for a training is told now where to ask, before the grace is over."""
        processes.leaving.set()
        super().handle_exit(sig, frame)

    def accept(self, listener: Any) -> None:
        """Accept a connection, and wait for its first request's head without a thread."""
        if self.cfg.is_ssl:  # what comes is no head yet
            super().accept(listener)
            return
        try:
            accepted, address = listener.accept()
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.ECONNABORTED, errno.EWOULDBLOCK}:
                raise
            return
        self.nr_conns += 1
        client = TimedSocket(fileno=accepted.detach())
        conn = Connection(self.cfg, client, address, listener.getsockname(), linger=self._linger)
        conn.parser = http.get_parser(self.cfg, client, address)
        self._await_head(conn)

    def on_client_socket_readable(self, conn: Any, client: Any) -> None:
        """Wait for the head of the next request on a connection that was kept alive."""
        if self.cfg.is_ssl:
            super().on_client_socket_readable(conn, client)
            return
        self.poller.unregister(client)
        self.keepalived_conns.remove(conn)
        self._await_head(conn)

    def _await_head(self, conn: Any) -> None:
        conn.head = b""
        conn.timeout = time.monotonic() + HEAD_TIME
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._receive_head, conn))

    def _receive_head(self, conn: Any, client: Any) -> None:
        """Take what is there; once the head is complete, a thread goes on with it."""
        if (data := _received(client)) is None:
            return
        conn.head += data
        if data and len(conn.head) < HEAD_PART and not END_OF_HEAD.search(conn.head):
            return
        self.pending_conns.remove(conn)
        if not conn.head:
            self._forget(conn)
            return
        self.poller.unregister(client)
        conn.parser.unreader.unread(conn.head)
        conn.data_ready = True
        self.enqueue_req(conn)

    def _linger(self, conn: Connection) -> None:
        """Say that nothing more is sent, and read what still comes: else a client in the middle of its body
        would find the connection reset instead of its answer."""
        with suppress(OSError):
            conn.sock.shutdown(socket.SHUT_WR)
        conn.sock.setblocking(False)
        conn.timeout = time.monotonic() + LINGER
        self.nr_conns += 1
        self.lingering.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self._drain, conn))

    def _drain(self, conn: Connection, client: Any) -> None:
        if (data := _received(client)) is None:
            return
        conn.drained += len(data)
        if not data or conn.drained > MOST_DRAINED:
            self.lingering.remove(conn)
            self._forget(conn)

    def _forget(self, conn: Connection) -> None:
        self.poller.unregister(conn.sock)
        self.nr_conns -= 1
        conn.close()

    def murder_pending(self) -> None:
        """Close what waited long enough: for a head, or for its client to close it."""
        super().murder_pending()
        while self.lingering and self.lingering[0].timeout <= time.monotonic():
            self._forget(self.lingering.popleft())

    def handle(self, conn: Any) -> Any:
        if not self.cfg.is_ssl:
            conn.sock.begin()
        return super().handle(conn)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Log the error as gunicorn does, and answer with its status; not with its page."""
        page = _Page()
        super().handle_error(req, page, addr, exc)
        with suppress(OSError):  # whoever asked is gone
            util.write_nonblock(client, _in_form(page.sent, exc))


def _in_form(page: bytes, exc: BaseException) -> bytes:
    status_line = page.partition(b"\r\n")[0].decode("latin-1")
    if isinstance(exc, UnsupportedTransferCoding):  # gunicorn's 501 would be our failure; it is the sender's
        status_line = "HTTP/1.1 400 Bad Request"
    _, status, phrase = status_line.split(" ", 2)
    sentence = UNEXPECTED if int(status) == 500 else f"{phrase}: {exc}"
    body = json.dumps({"success": False, "error": sentence})
    headers = ("Connection: close", "Content-Type: application/json", "Cache-Control: no-store")
    return "\r\n".join([status_line, *headers, f"Content-Length: {len(body)}", "", body]).encode("ascii")
