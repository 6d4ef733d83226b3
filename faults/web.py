"""Figure 6: eight web workers under load, while one version after another is activated."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import requests

from e2e.product import free_port, start, wait_for
from faults.invariants import PROBES, Ledger, check_predictions
from faults.product import Product
from faults.sessions import next_one_works
from faults.table import Effort, Table
from tests.queue_processes import wait_until
from training import versions
from training.models import ModelVersion

WORKERS = 8
SETTLED = 0.3  # seconds that a worker is watched after it has switched
PAUSE = 0.01  # seconds between a client's requests


class Client(threading.Thread):
    """Asks one worker again and again: when it asked, and which version answered."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.answers: list[tuple[float, int]] = []
        self.errors: list[str] = []
        self.is_over = False

    def run(self) -> None:
        with requests.Session() as session:
            while not self.is_over:
                asked = time.monotonic()
                try:
                    answer = session.post(f"{self.url}/predict", json=PROBES[0], timeout=30)
                    answer.raise_for_status()
                    self.answers.append((asked, answer.json()["model_version"]))
                except requests.RequestException as error:
                    self.errors.append(str(error))
                time.sleep(PAUSE)


def activations(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Each worker is a web process of its own, so that it is known which one answered."""
    count = effort.times(50, short=3)
    while ModelVersion.objects.usable().count() < 3:
        next_one_works(product, ledger)
    offered = list(ModelVersion.objects.usable()[:3])
    product.stop_web()
    with _workers(product) as clients, table.row(6, f"{count} activations, {WORKERS} workers") as row:
        for n in range(count):
            with row.trial():
                version = next(v for v in offered[n % 3 :] + offered if v != ModelVersion.objects.active())
                versions.activate_version(version=version, note="fault suite")
                row.took(_switched(clients, version, time.monotonic()), at_most=2)
        for client in clients:
            check_predictions(product, client.url)
    product.start_web()
    ledger.check()


def _switched(clients: Sequence[Client], version: ModelVersion, activated: float) -> float:
    """Seconds after the activation at which a worker was last asked and answered with another version."""
    wait_until(lambda: all(client.answers and client.answers[-1][1] == version.pk for client in clients), 30)
    time.sleep(SETTLED)
    late = activated
    for client in clients:
        assert not client.errors, f"{client.url}: {client.errors[0]}"
        answers = list(client.answers)  # perhaps asked for during the activation, and no other since
        del client.answers[:-1]
        first = next(asked for asked, answered in answers if answered == version.pk)
        back = [asked for asked, answered in answers if asked > first and answered != version.pk]
        assert not back, f"{client.url} went back to another version"
        late = max([late, *(asked for asked, answered in answers if answered != version.pk)])
    return late - activated


@contextmanager
def _workers(product: Product) -> Iterator[list[Client]]:
    ports = [free_port() for _ in range(WORKERS)]
    started = [_start(product, port) for port in ports]
    clients = [Client(f"http://127.0.0.1:{port}") for port in ports]
    for client in clients:
        wait_for(client.url)
        client.start()
    wait_until(lambda: all(client.answers for client in clients))
    try:
        yield clients
    finally:
        for client in clients:
            client.is_over = True
        for client in clients:
            client.join()
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def _start(product: Product, port: int) -> "subprocess.Popen[bytes]":
    environment = product.environment | {"PORT": str(port), "WEB_WORKERS": "1", "WEB_THREADS": "4"}
    return start("web", environment | {"HOST": os.environ["HOST"]}, product.scratch / f"web-{port}.log")
