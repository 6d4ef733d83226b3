"""Figures 15 and 16 in production's configuration: what the product stands on is gone, or is late."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from faults.clocks import clock_of_a_node
from faults.health_issues import Code, Fault, lasting
from faults.invariants import PROBES, Ledger, check_predictions
from faults.product import ANSWER, last_session, wait_for_end
from faults.production import Production
from faults.sessions import next_one_works
from faults.table import Effort, Row, Table
from tests.queue_processes import wait_until
from training.models import TrainingSession

SEEN = 40  # requests after which every web process knows the caller
PAUSE = 0.2  # seconds between a client's requests
PATIENCE = 15.0  # seconds within which predictions and probes are answered, the database there or not
REFUSED = 45.0  # seconds within which the others are refused: DATABASE_PATIENCE and a half
ASKED = (
    *(("GET", path) for path in ("/train/status", "/train/backups", "/models/info", "/models/metrics")),
    *(("GET", path) for path in ("/api/v1/anomalies/", "/admin/login/", "/admin/", "/nowhere")),
    *(("POST", path) for path in ("/train", "/train/reload", "/api/v1/training-sessions/")),
)
PROBED = ("/livez", "/readyz", "/metrics")


class Client(threading.Thread):
    """Asks for predictions again and again, until it `is_over`."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        super().__init__(daemon=True)
        self.url, self.headers = url, headers
        self.statuses: Counter[int] = Counter()
        self.unmarked = 0  # answers that do not say that the model is the last one known
        self.slowest = 0.0
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            asked = time.monotonic()
            answer = requests.post(f"{self.url}/predict", json=PROBES, timeout=ANSWER, headers=self.headers)
            self.slowest = max(self.slowest, time.monotonic() - asked)
            self.statuses[answer.status_code] += 1
            self.unmarked += answer.status_code == 200 and not is_marked(answer)
            time.sleep(PAUSE)


def is_marked(answer: requests.Response) -> bool:
    """It says that nobody knows at the moment whether the model is still the active one."""
    return "X-Model-State" in answer.headers and answer.json()["model_state"] == "last_known"


def without_database(product: Production, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 15."""
    seconds = 12 if effort.is_short else 60
    ways = {"ended": product.database.refuse, "silent": product.database.silence}
    for way, begin in ways.items():
        with table.row(15, f"the database {way} for {seconds} s") as row:
            for _ in range(effort.times(3)):
                with row.trial():
                    fault = Fault(
                        name=f"the database {way}",
                        code=Code.DATABASE_SILENT,
                        word="database",
                        begin=begin,
                        end=product.database.restore,
                        sample="anomaly_database_up 0.0",
                    )
                    _known_callers_go_on(product, row, fault, seconds)
                    next_one_works(product, ledger)
    with table.row(15, "the database gone for 5 s during POST /train") as row:
        for _ in range(effort.times(5)):
            with row.trial():
                _train_goes_on(product, ledger)


def _known_callers_go_on(product: Production, row: Row, fault: Fault, seconds: float) -> None:
    stranger = product.new_client("stranger", "viewer")
    for _ in range(SEEN):
        check_predictions(product)
    with lasting(product, row, [fault]), _asking(product) as client:
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            _ask_everything(product, stranger)
            time.sleep(1)
    assert set(client.statuses) == {200}, f"a known caller got {dict(client.statuses)}"
    assert not client.unmarked, f"{client.unmarked} of {client.statuses[200]} answers are not marked"
    assert client.slowest < PATIENCE, f"a prediction took {client.slowest:.1f} s"
    check_predictions(product)
    assert not is_marked_now(product), "still marked"


def is_marked_now(product: Production) -> bool:
    answer = product.post("/predict", PROBES)
    assert answer.status_code == 200, answer.text[:200]
    return "X-Model-State" in answer.headers


@contextmanager
def _asking(product: Production) -> Iterator[Client]:
    client = Client(product.url, product.headers)
    client.start()
    try:
        yield client
    finally:
        client.is_over = True
        client.join()


def _ask_everything(product: Production, stranger: dict[str, str]) -> None:
    """Whoever is not known, and whatever needs the database, is refused in time, with a word and a date."""
    for method, path in ASKED:
        _refused(product, method, path, product.headers)
    _refused(product, "POST", "/predict", stranger)
    for path in PROBED:
        answer = requests.get(f"{product.inside}{path}", timeout=PATIENCE)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:200]}"


def _refused(product: Production, method: str, path: str, headers: dict[str, str]) -> None:
    answer = requests.request(
        method,
        f"{product.url}{path}",
        json=PROBES if method == "POST" else None,
        headers=headers,
        timeout=REFUSED,
    )
    if path == "/nowhere":
        assert answer.status_code in {404, 503}, f"{path}: {answer.status_code}"
        return
    assert answer.status_code == 503, f"{method} {path}: {answer.status_code} {answer.text[:200]}"
    assert int(answer.headers["Retry-After"]) > 0, f"{method} {path} does not say when to come back"
    assert "unexpected" not in answer.text, answer.text[:200]


def _train_goes_on(product: Production, ledger: Ledger) -> None:
    """Who waits for a training gets its result although the database was gone meanwhile."""
    batch = product.batch()
    shot = product.arm("training.fitting", "pause:8")
    answers: list[requests.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(product.train(batch)))
    waiting.start()
    wait_until(lambda: not shot.exists(), 30)
    product.database.refuse()
    time.sleep(5)
    product.database.restore()
    waiting.join()
    (answer,) = answers
    assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
    ledger.accept(batch)
    wait_for_end()
    assert last_session().status == TrainingSession.Status.SUCCEEDED
    ledger.check()


def told(product: Production, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 16, of what production stands on. In the short form all at once."""
    with clock_of_a_node(product) as clock:
        faults = [
            Fault(
                name="the storage refuses",
                code=Code.STORAGE_UNREACHABLE,
                word="storage",
                begin=product.storage.refuse,
                end=product.storage.restore,
            ),
            Fault(
                name="Redis is silent",
                code=Code.CACHE_UNREACHABLE,
                word="redis",
                begin=product.redis.silence,
                end=product.redis.restore,
            ),
            *([clock] if clock else []),
        ]
        silent = Fault(
            name="the storage is silent",
            code=Code.STORAGE_UNREACHABLE,
            word="storage",
            begin=product.storage.silence,
            end=product.storage.restore,
        )
        rounds = [faults] if effort.is_short else [[silent], *([fault] for fault in faults)]
        for together in rounds:
            with table.row(16, ", ".join(fault.name for fault in together)) as row:
                for _ in range(effort.times(3)):
                    with row.trial():
                        with lasting(product, row, together):
                            check_predictions(product)
                        next_one_works(product, ledger)
