"""People and programs at work on one product at a time: loops that count what they did and what failed."""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from typing import Any

import requests

from e2e.product import PASSWORD, Product

TIMEOUT = 120  # seconds
REVIEW = "/admin/training/anomaly/review/"
SCORES = ("availability_score", "fiability_score", "process_safety_score")
INPUT = re.compile(r"<input\b[^>]*>")
ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')
LISTS = (
    "anomalies/?ordering=-created_at",
    "anomalies/?status=pending",
    "anomalies/?search=vapeur",
    "predictions/",
    "training-sessions/",
    "model-versions/",
)
WORDS = ["fuite vapeur", "bruit anormal", "vibration palier", "huile pompe", "vanne purge", "niveau ballon"]


@dataclass
class Tally:
    """What all clients did, and what went wrong, by kind; callable from any thread."""

    done: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """One request or more that belong together. What fails is counted with its sentence, not raised."""
        begin = time.monotonic()
        try:
            yield
        except (requests.RequestException, WrongAnswerError) as error:
            with self._lock:
                self.failed[f"{name}: {error}"[:300]] += 1
        else:
            with self._lock:
                self.done[name] += 1
                self.slowest[name] = max(self.slowest.get(name, 0.0), time.monotonic() - begin)


class WrongAnswerError(Exception):
    """Another status than the ones that were expected."""


@dataclass
class Client:
    """One caller: a session of its own, with a token or logged in."""

    product: Product
    tally: Tally
    number: int
    token: str = ""

    def __post_init__(self) -> None:
        self.http = requests.Session()
        self.random = Random(self.number)
        self.count = 0
        if self.token:
            self.http.headers["Authorization"] = f"Token {self.token}"

    def ask(
        self, method: str, path: str, expected: tuple[int, ...] = (200,), **values: Any
    ) -> requests.Response:
        response = self.http.request(method, self.product.url + path, timeout=TIMEOUT, **values)
        if response.status_code not in expected:
            raise WrongAnswerError(f"{method} {path}: {response.status_code} {response.text[:150]}")
        return response

    def report(self) -> dict[str, Any]:
        """A report that nobody sent before."""
        self.count += 1
        return {
            "anomaly_id": f"END-{self.number}-{self.count}",
            "description": " ".join(self.random.choices(WORDS, k=6)) + f" {self.random.randrange(1000)}",
            "equipment_name": self.random.choice(WORDS),
            "equipment_id": f"eq-{self.random.randrange(200)}",
        }

    def log_in(self, name: str) -> None:
        page = self.ask("get", "/admin/login/")
        fields = _fields(page.text) | {"username": name, "password": PASSWORD}
        self.ask("post", "/admin/login/?next=/admin/", data=fields, headers={"Referer": self.product.url})


def write(client: Client) -> None:
    """A technician's system reports, one at a time or ten at once."""
    with client.tally.step("reported"):
        many = [client.report() for _ in range(10 if client.count % 7 == 0 else 1)]
        client.ask("post", "/api/v1/anomalies/", (201,), json=many)


def predict(client: Client) -> None:
    """A client asks for scores, now and then for a hundred, and looks at the status."""
    with client.tally.step("predicted"):
        client.ask("post", "/predict", json=client.report())
    if client.count % 20 == 0:
        with client.tally.step("predicted a hundred"):
            client.ask("post", "/predict", json=[client.report() for _ in range(100)])
        with client.tally.step("looked"):
            client.ask("get", "/train/status")
            client.ask("get", "/health")


def read(client: Client) -> None:
    """A client goes through what there is: a list, in some order, or with some words."""
    with client.tally.step("read"):
        client.ask("get", "/api/v1/" + client.random.choice(LISTS))


def review(client: Client) -> None:
    """A reviewer approves what is on the screen as it is suggested."""
    with client.tally.step("reviewed"):
        page = client.ask("get", REVIEW)
        fields = _fields(page.text)
        if not fields.get("anomaly"):
            return
        chosen = {name: fields.get(name) or "1" for name in SCORES}
        sent = fields | chosen | {"decision": "approve", "reason": ""}
        headers = {"HX-Request": "true", "Referer": client.product.url + REVIEW}
        answer = client.ask("post", REVIEW, data=sent, headers=headers)
        if "rv-success" not in answer.text:
            raise WrongAnswerError(f"the approval was not accepted: {answer.text[:150]}")


def train(client: Client) -> None:
    """Once a minute: scored records come in, a training runs, its version serves."""
    with client.tally.step("trained"):
        records = [client.report() | {name: client.random.randint(1, 5) for name in SCORES} for _ in range(5)]
        client.ask("post", "/train", json=records)
    with client.tally.step("reloaded"):
        client.ask("post", "/train/reload")


def keep_at(
    work: Callable[[Client], None], client: Client, every: float, stop: threading.Event
) -> threading.Thread:
    """A thread that does it every so many seconds on average, however long it takes."""

    def loop() -> None:
        taken = 0.0
        while not stop.wait(max(0.0, every * client.random.uniform(0.5, 1.5) - taken)):
            begin = time.monotonic()
            work(client)
            taken = time.monotonic() - begin

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    return thread


def _fields(page: str) -> dict[str, str]:
    """What a form on the page would send: hidden fields, and the radio buttons that are chosen."""
    found: dict[str, str] = {}
    for tag in INPUT.findall(page):
        attributes = dict(ATTRIBUTE.findall(tag))
        name, kind = attributes.get("name", ""), attributes.get("type")
        if name and (kind == "hidden" or (kind == "radio" and " checked" in tag)):
            found.setdefault(name, attributes.get("value", ""))
    return found
