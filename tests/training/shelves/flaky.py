"""A way to a server that breaks: connections are cut once so many bytes went through."""

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class FlakyWay:
    """Forwards to the server at `to`; once `cut_after` is set, only so many more bytes of requests."""

    def __init__(self, to: str) -> None:
        self.cut_after: int | None = None
        parts = urlsplit(to)
        self._to = (str(parts.hostname), int(parts.port or 80))
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            if self.cut_after == 0:
                return
            with socket.create_connection(self._to) as server:
                threading.Thread(target=self._answer, args=(server, client), daemon=True).start()
                self._pass_on(client, server)

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        while piece := client.recv(4096):
            if self.cut_after is not None:
                piece = piece[: self.cut_after]
                self.cut_after -= len(piece)
                if not piece:
                    break
            server.sendall(piece)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while piece := server.recv(65536):
                client.sendall(piece)
