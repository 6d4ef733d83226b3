"""Figures 2 and 4: queue processes that die while idle, several queues at once, a holder that is paused."""

import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

from faults.invariants import Ledger
from faults.product import Product, last_session, wait_for_end
from faults.sessions import next_one_works
from faults.table import Effort, Table
from tests.queue_processes import Running, launchers, running, wait_until
from training import sessions
from training.models import ModelVersion, TrainingSession

CLIENTS = 8
LEAVING = 2.0  # seconds
SAMPLE = 0.05  # seconds between looks at the processes
Status = TrainingSession.Status


class Watch(threading.Thread):
    """For how long two trainings worked at once, a stopped process not among them."""

    def __init__(self, product: Product) -> None:
        super().__init__(daemon=True)
        self.longest = 0.0
        self._product = product
        self._ended = threading.Event()

    def run(self) -> None:
        since = time.monotonic()
        while not self._ended.wait(SAMPLE):
            now = time.monotonic()
            if sum(process.state not in "TZX" for process in self._product.trainings()) < 2:
                since = now
            self.longest = max(self.longest, now - since)

    def end(self) -> float:
        self._ended.set()
        self.join()
        return self.longest


@contextmanager
def one_at_a_time(product: Product) -> Iterator[Watch]:
    """Never two trainings at once, as long as the block lasts: the sessions' log says so, and the processes.

    One that has published, or lost its session, has a moment to leave.
    """
    watch = Watch(product)
    watch.start()
    try:
        yield watch
    finally:
        longest = watch.end()
    assert longest <= LEAVING, f"two trainings at once, for {longest:.1f} s"


def idle_deaths(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 2. A session is started as the admin does it; the keeper alone is started again from outside."""
    parts = ("worker", "monitor", "pusher", "launcher", "sentinel", "watch", "keeper")
    for part in effort.share(parts):
        with table.row(2, f"kill -9 of the idle {part}") as row:
            for _ in range(effort.times(10)):
                with row.trial(), one_at_a_time(product):
                    product.wait_for_queue()
                    if not launchers(product.mark):
                        next_one_works(product, ledger)
                    _kill(product, _part(product, parts.index(part)))
                    began = time.monotonic()
                    session = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)
                    assert sessions.wait_for_claim(session, 60), "no worker took it within 60 s"
                    row.took(time.monotonic() - began, at_most=60)
                    wait_for_end()
                    session.refresh_from_db()
                    assert (session.status, session.attempts) == (Status.SUCCEEDED, 1), session.reason
                    ledger.check()


def _part(product: Product, number: int) -> Running | None:
    """Worker, monitor, pusher, launcher, sentinel, watch; None is the keeper."""
    queue = product.queue
    found = [*queue.parts(), *launchers(product.mark), queue.sentinel(), queue.watch(), None]
    assert len(found) == 7
    return found[number]


def _kill(product: Product, process: Running | None) -> None:
    if process is not None:
        process.signal(signal.SIGKILL)
        wait_until(lambda: process.state in "ZX", 5)
        return
    queue = product.queues.pop()
    assert queue.process is not None
    queue.process.kill()
    queue.process.wait()
    # What a process manager does: it starts the command again.
    wait_until(lambda: not [p for p in running(product.mark) if "qcluster" in p.arguments], 10)
    product.start_queue()


def three_queues(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 4."""
    product.start_queue()
    product.start_queue()
    _raced_for(product, ledger, table, requests=effort.times(500, short=24))
    for whole in effort.share((True, False)):
        who = "the holder, whole," if whole else "the holder's worker"
        with table.row(4, f"{who} paused past its lease") as row:
            for _ in range(effort.times(5)):
                with row.trial(), one_at_a_time(product) as watch:
                    _paused(product, ledger, whole=whole)
                    row.took(watch.longest, at_most=LEAVING)
    with table.row(4, "a holder without its watch reaches the publishing") as row:
        for _ in range(effort.times(5)):
            with row.trial():
                _fenced(product, ledger)
    for queue in product.queues[1:]:
        product.stop_queue(queue)


def _raced_for(product: Product, ledger: Ledger, table: Table, *, requests: int) -> None:
    """Tried is what was accepted, survived what ended well: a request that is refused shows nothing."""
    with table.row(4, f"{requests} requests for three queues") as row:
        before = last_session().pk
        with one_at_a_time(product) as watch:
            batches = [[product.record(f"Q-{n}", n)] for n in range(requests)]
            with ThreadPoolExecutor(CLIENTS) as pool:
                accepted = list(pool.map(lambda batch: _accepted(product, batch), batches))
            for batch, was_accepted in zip(batches, accepted, strict=True):
                if was_accepted:
                    ledger.accept(batch)
            ledger.check()
        row.took(watch.longest, at_most=LEAVING)
        sessions_made = TrainingSession.objects.filter(pk__gt=before)
        row.tried = sum(accepted)
        row.survived = sessions_made.filter(status=Status.SUCCEEDED, attempts=1).count()
        row.fault = f"{requests} requests for three queues: sessions"
        assert row.tried >= requests // (2 * CLIENTS), f"only {row.tried} of {requests} were accepted"
        assert sessions_made.count() == row.tried == row.survived, f"{row.survived} of {row.tried} succeeded"


def _accepted(product: Product, batch: list[dict[str, object]]) -> bool:
    """Whether it was; else another session was active, and this client's next request races for its end."""
    answer = product.train(batch, prefer="respond-async" if int(str(batch[0]["anomaly_id"])[2:]) % 2 else "")
    if answer.status_code == 409:
        wait_until(lambda: not product.status()["is_training"], 60)
        return False
    assert answer.status_code in {200, 202}, f"{answer.status_code} {answer.text[:300]}"
    return True


def _paused(product: Product, ledger: Ledger, *, whole: bool) -> None:
    """Its lease runs out, another queue trains, and what it does when it wakes changes nothing."""
    batch, before = product.batch(), ModelVersion.objects.count()
    shot = product.arm("training.written", "pause:3" if whole else "pause:60")
    assert product.train(batch, prefer="respond-async").status_code == 202
    ledger.accept(batch)
    wait_until(lambda: not shot.exists())
    session, (training,) = last_session(), product.trainings()
    holder = _holder(product, training)
    stopped = holder if whole else holder[:1]
    for process in stopped:
        process.signal(signal.SIGSTOP)
    wait_until(lambda: _other(session), 60)
    wait_for_end()
    session.refresh_from_db()
    assert (session.status, session.attempts) == (Status.SUCCEEDED, 2), session.reason
    for process in reversed(stopped):
        with suppress(ProcessLookupError):  # its own watch may have found the queue deaf, and ended it
            process.signal(signal.SIGCONT)
    wait_until(lambda: training not in running(product.mark), 10)
    assert ModelVersion.objects.count() == before + 1
    ledger.check()
    for queue in product.queues:
        product.wait_for_queue(queue)


def _fenced(product: Product, ledger: Ledger) -> None:
    """A holder wakes right before the transaction that publishes, after another queue has done its work.

    What makes it leave as a rule, its own look at the lease, sleeps on: the fence alone is left. Nor does its
    queue take the message for the next attempt: found deaf, it would end with the holder.
    """
    batch, before = product.batch(), ModelVersion.objects.count()
    shots = [product.arm("lease.look", "pause:300"), product.arm("training.publishing", "pause:3")]
    assert product.train(batch, prefer="respond-async").status_code == 202
    ledger.accept(batch)
    wait_until(lambda: not any(shot.exists() for shot in shots))
    session, (training,) = last_session(), product.trainings()
    worker, launcher, _ = _holder(product, training)
    pusher = _pusher_of(product, worker)
    for process in (pusher, worker, launcher, training):
        process.signal(signal.SIGSTOP)
    wait_until(lambda: _other(session), 60)
    wait_for_end()
    session.refresh_from_db()
    version = session.model_version
    assert (session.status, session.attempts) == (Status.SUCCEEDED, 2), session.reason
    assert training in running(product.mark), "it left before it came to the fence"
    for process in (training, launcher):
        process.signal(signal.SIGCONT)
    wait_until(lambda: training not in running(product.mark), 30)
    session.refresh_from_db()
    assert (session.attempts, session.model_version) == (2, version)
    assert ModelVersion.objects.count() == before + 1, "who had lost the session published"
    for process in (worker, pusher):
        with suppress(ProcessLookupError):
            process.signal(signal.SIGCONT)
    ledger.check()
    for queue in product.queues:
        product.wait_for_queue(queue)


def _holder(product: Product, training: Running) -> list[Running]:
    """Worker, launcher and training."""
    found = {process.pid: process for process in running(product.mark)}
    launcher = found[training.parent]
    return [found[launcher.parent], launcher, training]


def _pusher_of(product: Product, worker: Running) -> Running:
    """Return what takes messages for that worker: the last that their sentinel started."""
    return [process for process in running(product.mark) if process.parent == worker.parent][-1]


def _other(session: TrainingSession) -> bool:
    session.refresh_from_db()
    return session.attempts == 2
