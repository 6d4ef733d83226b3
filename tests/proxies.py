"""A TCP proxy between the product and a server it needs, which can be cut, silenced or slowed.

PostgreSQL, Redis and S3 serve the whole machine: a test does not stop them, it stands in between.
"""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close sends RST


class Proxy:
    """Listens on a loopback port of its own and passes everything on, until it is told otherwise.

    Callable from any thread; each method holds for open connections and for new ones, unless it says so.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._passing = threading.Event()
        self._passing.set()
        self._delay = 0.0
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = self._listen(0)
        self.port: int = self._listener.getsockname()[1]

    def restore(self) -> None:
        """Pass everything on at once, also what was held back by `silence`."""
        self._delay = 0.0
        self._passing.set()
        if self._listener.fileno() == -1:
            self._listener = self._listen(self.port)

    def refuse(self) -> None:
        """Reset open connections and refuse new ones, as a host whose server ended does."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()
        self.cut()
        self._passing.set()

    def silence(self) -> None:
        """Let no byte through: whoever connects or asks gets no answer, as when packets are dropped."""
        self._passing.clear()

    def slow_down(self, seconds: float) -> None:
        """Hold everything back that long before it is passed on."""
        self._delay = seconds

    def cut(self) -> None:
        """Reset the open connections; new ones are passed on."""
        with self._lock:
            open_now, self._open = self._open, set()
        for each in open_now:
            with suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                each.shutdown(socket.SHUT_RD)  # wakes the thread that reads
            each.close()

    def _listen(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _address = listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            self._open.add(client)
        self._passing.wait()
        try:
            server = socket.create_connection(self._target, timeout=5)
        except OSError:
            self._close(client)
            return
        server.settimeout(None)
        with self._lock:
            self._open.add(server)
        for pair in ((client, server), (server, client)):
            threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                time.sleep(self._delay)
                self._passing.wait()
                sink.sendall(data)
            self._passing.wait()
        self._close(source)
        self._close(sink)

    def _close(self, each: socket.socket) -> None:
        with self._lock:
            self._open.discard(each)
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A proxy to that server, gone at the end with every connection through it."""
    between = Proxy(host, port)
    try:
        yield between
    finally:
        between.refuse()
