"""Clients of the web nodes: a few connections to every worker, each asks again soon after the answer."""

import http.client
import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from nodes.fleet import Node
from nodes.judging import Answer

TO_EACH = 2  # connections
PAUSE = 0.1  # seconds from an answer to the next request
TRIES = 300
TIMEOUT = 30
BODY = json.dumps({"description": "FUITE VAPEUR VANNE DE PURGE", "equipment_id": "load"}).encode()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A request that did not get its answer."""

    node: Node
    at: float
    reason: str

    @property
    def is_excused(self) -> bool:
        """The node was dead."""
        return self.node.killed_at is not None and self.at >= self.node.killed_at


@dataclass(frozen=True, kw_only=True)
class Client:
    """A connection that is kept."""

    connection: http.client.HTTPConnection
    headers: dict[str, str]

    def predict(self) -> int:
        """The version that answered. Raises RuntimeError for another answer than 200."""
        self.connection.request("POST", "/predict", BODY, self.headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise RuntimeError(f"{response.status}: {content[:200]!r}")
        version: int = json.loads(content)["model_version"]
        return version


@dataclass(kw_only=True)
class Load:
    """What all clients saw. `authorization`: their header."""

    authorization: dict[str, str]
    answers: list[Answer] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    def begin(self, node: Node, workers: int) -> None:
        """TO_EACH connections to each of so many workers of the node."""
        for client, worker in self._spread(node, workers):
            thread = threading.Thread(target=self._ask, args=(node, client, worker))
            self.threads.append(thread)
            thread.start()

    def end(self) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def _ask(self, node: Node, client: Client, worker: int) -> None:
        while not self.stop.wait(PAUSE):
            begun = time.monotonic()
            try:
                version = client.predict()
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                self.failures.append(Failure(node=node, at=time.monotonic(), reason=repr(error)))
                return
            ended = time.monotonic()
            self.answers.append(Answer(worker=worker, begun=begun, ended=ended, version=version))

    def _spread(self, node: Node, workers: int) -> list[tuple[Client, int]]:
        """Connections with the worker (its process) that each of them has. Raises RuntimeError."""
        headers = {"Content-Type": "application/json", "Connection": "keep-alive"} | self.authorization
        found: dict[int, list[Client]] = {}
        for _ in range(TRIES):
            port = int(node.environment["PORT"])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            client = Client(connection=connection, headers=headers)
            client.predict()
            worker = _worker_of(connection, node)
            if len(found.setdefault(worker, [])) < TO_EACH:
                found[worker].append(client)
            else:
                connection.close()
            if len(found) == workers and all(len(mine) == TO_EACH for mine in found.values()):
                return [(client, worker) for worker, mine in found.items() for client in mine]
        raise RuntimeError(f"{node.name} has {len(found)} workers that answer, not {workers}")


def _worker_of(connection: http.client.HTTPConnection, node: Node) -> int:
    """The process at the other end."""
    ours, theirs = connection.sock.getsockname()[1], int(node.environment["PORT"])
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        ports = [int(address.rpartition(":")[2], 16) for address in fields[1:3]]
        if ports == [theirs, ours]:
            return next(pid for pid in node.pids() if f"socket:[{fields[9]}]" in _open_files(pid))
    raise RuntimeError(f"{node.name} does not hold the connection")


def _open_files(pid: int) -> set[str]:
    found = set()
    with suppress(FileNotFoundError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                found.add(str(path.readlink()))
    return found
