"""The client of every server that is measured: `http.client` over connections that are kept alive.

What is timed ends with the last byte of the answer; the client neither encodes nor decodes meanwhile.
"""

import http.client
import statistics
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import urlsplit

TIMEOUT = 120  # seconds
HEADERS = {"Content-Type": "application/json", "Connection": "keep-alive"}

Seconds: TypeAlias = float


@dataclass
class Connection:
    """One connection, opened by the first request and kept."""

    url: str
    kept: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.path = parts.path
        self.kept = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)

    def post(self, body: bytes) -> tuple[Seconds, bytes]:
        """How long the answer took, and the answer. Raises RuntimeError when it is not 200."""
        begin = time.perf_counter()
        self.kept.request("POST", self.path, body, HEADERS)
        response = self.kept.getresponse()
        content = response.read()
        seconds = time.perf_counter() - begin
        if response.status != http.client.OK:
            raise RuntimeError(f"{self.url} answered {response.status}: {content[:300]!r}")
        return seconds, content


def one_after_another(connection: Connection, bodies: Sequence[bytes]) -> list[Seconds]:
    return [connection.post(body)[0] for body in bodies]


def a_second(url: str, bodies: Sequence[bytes], *, connections: int) -> float:
    """Answers a second when that many connections share the bodies, each asking anew once it is answered."""
    queue = iter(bodies)
    lock, failures = threading.Lock(), list[BaseException]()

    def drain() -> None:
        connection = Connection(url)
        try:
            while True:
                with lock:
                    body = next(queue, None)
                if body is None:
                    return
                connection.post(body)
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            failures.append(error)

    threads = [threading.Thread(target=drain) for _ in range(connections)]
    begin = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begin
    if failures:
        raise RuntimeError(f"{url}: {failures[0]}")
    return len(bodies) / seconds


def percentile(seconds: Sequence[Seconds], rank: int) -> Seconds:
    """The smallest of them that `rank` per cent do not exceed."""
    return sorted(seconds)[-(-len(seconds) * rank // 100) - 1]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
