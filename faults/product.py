"""The product as the Procfile starts it, armed: its web processes, its queues, and what clients say to it."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from e2e.product import ROOT, start, wait_for
from tests.queue_processes import MARK, Queue, Running, trainings, wait_until
from training.models import TrainingSession
from training.sample import sample_frame

POOL = 40  # records that batches bring, again and again with other scores
BASE = 120  # records of the first training: few, so that a training takes a second
ANSWER = 120  # seconds that a request may take
SCORES = ("availability_score", "fiability_score", "process_safety_score")
TEXTS = ("description", "equipment_name", "equipment_id")

Batch = list[dict[str, Any]]


class Product:
    """`shots` is the directory that arms its processes: a fault in it is taken by who passes there first."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self.shots = scratch / "shots"
        self.mark = os.environ[MARK]
        self.environment = os.environ | {"FAILPOINTS_SHOTS": str(self.shots)}
        self.inside = f"http://127.0.0.1:{os.environ['PORT']}"  # where probes and scrapes ask
        self.url = self.inside  # where clients ask
        self.headers: dict[str, str] = {}  # with which they ask
        self.web: subprocess.Popen[bytes] | None = None
        self.queues: list[Queue] = []
        self._numbers = itertools.count()

    # --- Processes ---

    def start_web(self, **environment: str) -> None:
        self.web = start("web", self.environment | environment, self.scratch / "web.log")
        wait_until(self._answers, 60)

    def stop_web(self) -> None:
        assert self.web is not None
        self.web.terminate()
        self.web.wait(30)

    def start_queue(self, *, grace: float = 2, works: bool = True, **environment: str) -> Queue:
        """One more, ready for work, unless it is one that takes none."""
        queue = Queue(self.mark, self.scratch / "queue.log")
        more = ("--grace", f"{grace:g}")
        queue.process = start("worker", self.environment | environment, queue.log, *more)
        self.queues.append(queue)
        if works:
            self.wait_for_queue(queue)
        return queue

    def wait_for_queue(self, queue: Queue | None = None) -> None:
        """Until its processes are there, and the launcher as a rule.

        One that had to be killed with a slow training is started by the next session.
        """
        queue = queue or self.queue
        wait_until(lambda: len(queue.parts()) >= 3, 60)
        with suppress(AssertionError):
            wait_until(queue.worker, 20)

    def stop_queue(self, queue: Queue | None = None) -> None:
        queue = queue or self.queue
        queue.stop()
        self.queues.remove(queue)

    @property
    def queue(self) -> Queue:
        return self.queues[0]

    def trainings(self) -> list[Running]:
        return trainings(self.mark)

    @contextmanager
    def other_queue(self, *, grace: float = 2, works: bool = True, **environment: str) -> Iterator[Queue]:
        """The queue with other settings, for the block."""
        self.stop_queue()
        queue = self.start_queue(grace=grace, works=works, **environment)
        yield queue
        for other in [*self.queues]:
            self.stop_queue(other)
        self.start_queue()

    def manage(self, *arguments: str, **more: Any) -> "subprocess.CompletedProcess[str]":
        """A command of manage.py, unarmed but for what `more` says of its environment."""
        command = [sys.executable, "manage.py", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)

    def admit_clients(self) -> None:
        """Nobody needs credentials in the open installations."""

    # --- Faults ---

    def arm(self, point: str, action: str) -> Path:
        shot = self.shots / point
        waiting = shot.with_name(f".{point}")
        waiting.write_text(action, encoding="ascii")
        waiting.rename(shot)
        return shot

    # --- Clients ---

    def batch(self, size: int = 3) -> Batch:
        """Records of the pool, with scores that they did not have."""
        return [self.record(f"F-{(n := next(self._numbers)) % POOL:03d}", n) for _ in range(size)]

    def record(self, anomaly_id: str, n: int) -> dict[str, Any]:
        scores = (1 + n % 5, 1 + (n // 5) % 5, 1 + (n // 25) % 5)
        return {
            "anomaly_id": anomaly_id,
            "description": f"vibration palier {anomaly_id}",
            "equipment_name": "Ventilateur",
            "equipment_id": f"fan-{n % 3}",
            **dict(zip(SCORES, map(float, scores), strict=True)),
        }

    def base(self) -> Batch:
        """The first records: of the sample."""
        rows = sample_frame().head(BASE)[["anomaly_id", *TEXTS, *SCORES]]
        return [dict(zip(rows.columns, row, strict=True)) for row in rows.to_numpy().tolist()]

    def train(self, batch: Batch, *, prefer: str = "") -> requests.Response:
        """The answer to POST /train. Raises ConnectionError when the web process dies meanwhile."""
        return self.post("/train", batch, headers={"Prefer": prefer})

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = self.headers | options.pop("headers", {})
        return requests.post(f"{self.url}{path}", json=body, timeout=ANSWER, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        headers = self.headers | options.pop("headers", {})
        return requests.get(f"{self.url}{path}", timeout=ANSWER, headers=headers, **options)

    def status(self) -> dict[str, Any]:
        """The answer to GET /train/status."""
        body: dict[str, Any] = self.get("/train/status").json()
        return body

    def predict(self, reports: Sequence[Mapping[str, str]], url: str = "") -> dict[str, Any]:
        """The answer to POST /predict, as soon as a web process is there to give it."""

        def ask() -> dict[str, Any] | None:
            with suppress(requests.ConnectionError):
                answer = requests.post(
                    f"{url or self.url}/predict", json=reports, timeout=ANSWER, headers=self.headers
                )
                assert answer.status_code == 200, f"POST /predict: {answer.status_code} {answer.text[:300]}"
                body: dict[str, Any] = answer.json()
                return body
            return None

        found: dict[str, Any] = wait_until(ask, 20)
        return found

    def _answers(self) -> bool:
        with suppress(requests.ConnectionError):
            return self.get("/health").status_code == 200
        return False

    def wait_for_model(self) -> None:
        wait_for(self.url)


def wait_for_end(seconds: float = 60) -> float:
    """Until no session is queued or running; how long that took."""
    started = time.monotonic()
    wait_until(lambda: not TrainingSession.objects.active().exists(), seconds)
    return time.monotonic() - started


def last_session() -> TrainingSession:
    return TrainingSession.objects.latest("pk")
