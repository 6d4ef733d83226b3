"""Figures 1, 3 and 5: a training that is killed, dies each time, is cancelled, stopped, or hangs."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from faults import imports
from faults.invariants import Ledger, check_records, stored, with_batch
from faults.product import Product, last_session, wait_for_end
from faults.table import Effort, Table
from tests.queue_processes import Running, running, wait_until
from training import sessions
from training.models import TrainingSession
from training.shelves import is_local

WEB = ("accept.stored", "records.stored", "accept.rung", "accept.committed")
WORKER = ("session.claimed", "session.launched", "session.settling", "session.over", "remove.noted")
DIRECTORY = ("begun", "filled", "sealed", "manifest", "signed", "renamed", "durable")
# How often a training passes a point; once where nothing is said.
PASSINGS = {
    "records.part": 3,
    "records.renamed": 3,
    "backup.model_file": 6,
    "model_backups.sealed": 9,
    "training.fitting": 7,
    "bundle.file": 6,
    "model_versions.sealed": 6,
}
TRAINING = (
    *("training.started", "backup.reserved", "model_backups.begun"),
    *("records.part", "records.parts_written", "records.renamed", "backup.model_file"),
    *(f"model_backups.{step}" for step in DIRECTORY[1:]),
    *("backup.read_back", "backup.row", "training.backed_up", "training.loaded"),
    *("training.fitting", "training.fitted", "model_versions.begun", "bundle.file"),
    *(f"model_versions.{step}" for step in DIRECTORY[1:]),
    *("training.written", "training.publishing", "training.saved", "training.finished"),
    "training.published",
)
Status = TrainingSession.Status


def killed_at_each_step(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 1."""
    times = effort.times(20)
    for point in effort.share(WEB):
        with table.row(1, f"kill -9 of the web process at {point}") as row:
            for _ in range(times):
                with row.trial():
                    row.took(_killed_in_web(product, ledger, point), at_most=60)
    # In object storage nothing is renamed.
    passed = [
        point for point in TRAINING if is_local() or not point.startswith("model_") or "renamed" not in point
    ]
    for point in effort.share(passed, apart=4):
        with table.row(1, f"kill -9 of the training at {point}") as row:
            for n in range(times):
                with row.trial():
                    action = f"kill@{1 + n % PASSINGS.get(point, 1)}"
                    row.took(_killed_in_session(product, ledger, point, action), at_most=60)
    for point in effort.share(WORKER, apart=2):
        with table.row(1, f"kill -9 of the worker at {point}") as row:
            for _ in range(times):
                with row.trial():
                    time.sleep(1)  # the session before is over for its worker too
                    row.took(_killed_in_session(product, ledger, point, "kill"), at_most=60)
                    product.wait_for_queue()
    imports.killed(product, ledger, table, effort=effort)
    next_one_works(product, ledger)


def _killed_in_web(product: Product, ledger: Ledger, point: str) -> float:
    """The batch is there as a whole, with its session, or not at all; seconds until all has ended."""
    batch, before = product.batch(), dict(ledger.truth)
    shot = product.arm(point, "kill")
    try:
        answer = product.train(batch)
    except requests.ConnectionError:
        pass
    else:
        raise AssertionError(f"nobody died at {point}: {answer.status_code} {answer.text[:200]}")
    assert not shot.exists()
    seconds = wait_for_end()
    if stored() == with_batch(before, batch):
        ledger.accept(batch)
        assert last_session().status == Status.SUCCEEDED
    else:
        check_records(before)
    ledger.check()
    return seconds


def _killed_in_session(product: Product, ledger: Ledger, point: str, action: str) -> float:
    """Its client gets its result all the same; seconds from the fault to the session's end."""
    batch = product.batch()
    shot = product.arm(point, action)
    answer = product.train(batch, prefer="wait=0")
    assert answer.status_code in {200, 202}, f"{answer.status_code} {answer.text[:300]}"
    ledger.accept(batch)
    wait_until(lambda: not shot.exists(), 30)
    seconds = wait_for_end()
    session = last_session()
    assert session.status == Status.SUCCEEDED, f"{session.status}: {session.reason}"
    ledger.check()
    return seconds


def next_one_works(product: Product, ledger: Ledger) -> None:
    batch = product.batch()
    answer = product.train(batch)
    assert answer.status_code == 200, f"the next session: {answer.status_code} {answer.text[:300]}"
    ledger.accept(batch)
    assert last_session().attempts == 1
    assert product.post("/train/reload").status_code == 200
    ledger.check()


def always_dying(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 3."""
    for point, who, times in (
        ("training.fitting", "the training", effort.times(20)),
        ("session.launched", "the worker", effort.times(3, short=0)),
    ):
        if not times:
            continue
        with table.row(3, f"{who} dies at {point}, each time") as row:
            for _ in range(times):
                with row.trial():
                    row.took(_dies_each_time(product, ledger, point), at_most=60)
                    product.wait_for_queue()
                    next_one_works(product, ledger)


def _dies_each_time(product: Product, ledger: Ledger, point: str) -> float:
    batch = product.batch()
    shot = product.arm(point, "kill")
    assert product.train(batch, prefer="respond-async").status_code == 202
    ledger.accept(batch)
    began = time.monotonic()
    deaths = 0
    while TrainingSession.objects.active().exists():
        if not shot.exists():
            deaths += 1
            product.arm(point, "kill")
        assert time.monotonic() - began < 90, "still not failed"
        time.sleep(0.02)
    deaths += not shot.exists()
    shot.unlink(missing_ok=True)
    session = last_session()
    assert (session.status, session.attempts, deaths) == (Status.FAILED, 2, 2), session.reason
    ledger.check()
    return time.monotonic() - began


def stopped(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Figure 5: all of it while the training is stuck in C and hears no signal but SIGKILL."""
    times = effort.times(10)
    with table.row(5, "cancelled while stuck in C") as row:
        for _ in range(times):
            with row.trial(), _stuck(product, ledger) as (session, training):
                began = time.monotonic()
                sessions.cancel_session(session=session)
                row.took(_ended(product, session, training) - began, at_most=5)
                assert session.status == Status.CANCELLED
    with table.row(5, "SIGTERM of the worker while stuck in C") as row:
        for _ in range(times):
            with row.trial(), _stuck(product, ledger) as (_session, training):
                worker = product.queue.worker()
                assert worker is not None
                worker.signal(signal.SIGTERM)
                row.took(_gone(product, worker, training), at_most=30)
                wait_for_end()
                assert (last_session().status, last_session().attempts) == (Status.SUCCEEDED, 2)
                product.wait_for_queue()
    for kind in effort.share((_stopped_queue, _timed_out)):
        kind(product, ledger, table, effort=effort)


def _stopped_queue(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    grace = 2 if effort.is_short else 20  # the Procfile's, and the command's own
    with (
        table.row(5, f"SIGTERM of the queue while stuck in C, {grace} s of grace") as row,
        row.trial(),
        product.other_queue(grace=grace),
        _stuck(product, ledger) as (session, training),
    ):
        began = time.monotonic()
        product.stop_queue()
        row.took(time.monotonic() - began, at_most=30)
        assert training not in running(product.mark)
        session.refresh_from_db()
        assert session.status == Status.QUEUED
        product.start_queue()
        wait_for_end()
        assert (last_session().status, last_session().attempts) == (Status.SUCCEEDED, 2)


def _timed_out(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    timeout = 15  # seconds, instead of an hour: the bound counts from it
    with (
        table.row(5, f"stuck in C past a timeout of {timeout} s") as row,
        product.other_queue(TRAINING_TIMEOUT=str(timeout)),
    ):
        for _ in range(effort.times(5)):
            with row.trial(), _stuck(product, ledger) as (session, training):
                began = time.monotonic()
                row.took(_ended(product, session, training) - began, at_most=timeout + 5)
                assert (session.status, session.cause) == (Status.FAILED, "timeout")
                row.took(session.seconds, at_most=timeout + 5)
    next_one_works(product, ledger)


@contextmanager
def _stuck(product: Product, ledger: Ledger) -> Iterator[tuple[TrainingSession, Running]]:
    """A session whose training hangs; afterwards nothing is lost."""
    batch = product.batch()
    shot = product.arm("training.started", "hang")
    assert product.train(batch, prefer="respond-async").status_code == 202
    ledger.accept(batch)
    wait_until(lambda: not shot.exists(), 60)
    (training,) = product.trainings()
    yield last_session(), training
    ledger.check()


def _ended(product: Product, session: TrainingSession, training: Running) -> float:
    """When the session had ended and its process was dead."""
    wait_until(lambda: training not in running(product.mark), 60)
    wait_for_end()
    session.refresh_from_db()
    return time.monotonic()


def _gone(product: Product, *processes: Running) -> float:
    began = time.monotonic()
    wait_until(lambda: not set(processes) & set(running(product.mark)), 60)
    return time.monotonic() - began
