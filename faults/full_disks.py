"""Figure 16 where files and database are on disk: real ones that are full or read-only, a database that is
locked, trainings that fail.

Where this process may not mount, the rows of the disks say that they were not tried.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from urllib.parse import urlsplit

import requests

from faults.health_issues import Code, Fault, lasting
from faults.invariants import Ledger, check_predictions
from faults.mounts import DATABASE, MEDIA, Disk
from faults.product import Product, last_session, wait_for_end
from faults.sessions import next_one_works
from faults.table import Effort, Table
from training.models import TrainingSession

LARGE = 1_000  # records, of several MB with their history: more than the room that SQLite's log has already
LOCKED = 25  # seconds: longer than the product waits for another writer


def told(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    media, database = (Disk(product.scratch / name) for name in (MEDIA, DATABASE))
    media_full = Fault(
        name="media on a full disk",
        code=Code.DISK_LOW,
        word="disk",
        begin=media.fill,
        end=media.empty,
        also=frozenset({Code.STORAGE_READ_ONLY, Code.TRAININGS_FAILING}),
    )
    media_read_only = Fault(
        name="media on a read-only disk",
        code=Code.STORAGE_READ_ONLY,
        word="media",
        begin=media.make_read_only,
        end=media.make_writable,
        also=frozenset({Code.TRAININGS_FAILING}),
    )
    database_full = Fault(
        name="the database on a full disk",
        code=Code.DISK_LOW,
        word="disk",
        begin=database.fill,
        end=database.empty,
        also=frozenset({Code.DATABASE_READ_ONLY}),  # once the room that SQLite's log already has is used up
    )
    harms: tuple[tuple[Fault, Callable[[Product, Ledger], None]], ...] = (
        (media_full, _refused_for_the_disk),
        (media_read_only, _refused_for_the_disk),
        (database_full, _refused_for_the_database),
    )
    for fault, check in harms:
        with table.row(16, fault.name) as row:
            if not product.scratch.joinpath(MEDIA).is_mount():
                row.fault += ": not tried, no right to mount"
                continue
            for _ in range(effort.times(3)):
                with row.trial():
                    with lasting(product, row, [fault]):
                        check_predictions(product)
                        _check_ready(product)
                        check(product, ledger)
                    next_one_works(product, ledger)
    _failing_trainings(product, ledger, table, effort=effort)
    with table.row(16, f"the database locked by another process for {LOCKED} s") as row:
        for _ in range(effort.times(3)):
            with row.trial():
                _refused_while_locked(product)
                next_one_works(product, ledger)


def _check_ready(product: Product) -> None:
    """It can answer predictions: a disk that these do not need takes it out of no load balancer."""
    answer = requests.get(f"{product.inside}/readyz", timeout=10)
    assert answer.status_code == 200, f"/readyz: {answer.status_code} {answer.text[:200]}"


def _refused_for_the_disk(product: Product, ledger: Ledger) -> None:
    """A training says what is wrong; its records are kept."""
    batch = product.batch()
    answer = product.train(batch)
    assert answer.status_code in {500, 503, 507}, f"{answer.status_code} {answer.text[:300]}"
    assert answer.json()["success"] is False
    ledger.accept(batch)
    wait_for_end()
    session = last_session()
    assert (session.status, session.attempts) == (TrainingSession.Status.FAILED, 1), session.reason
    ledger.check()


def _refused_for_the_database(product: Product, ledger: Ledger) -> None:
    """What does not fit is not accepted, as a whole, and the answer says that it may be tried again."""
    large = [product.record(f"L-{n}", n) | {"description": f"{n} " * 350} for n in range(LARGE)]
    answer = product.train(large)
    assert answer.status_code == 503, f"{answer.status_code} {answer.text[:300]}"
    assert int(answer.headers["Retry-After"]) > 0
    ledger.check()


def _failing_trainings(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    def fail_again_and_again() -> None:
        for _ in range(4):
            batch = product.batch()
            product.arm("training.loaded", "oserror:EIO")
            assert product.train(batch).status_code == 503
            ledger.accept(batch)

    fault = Fault(
        name="trainings that fail, one after the other",
        code=Code.TRAININGS_FAILING,
        word="training",
        begin=fail_again_and_again,
        end=lambda: next_one_works(product, ledger),
    )
    with table.row(16, fault.name) as row:
        for _ in range(effort.times(3)):
            with row.trial(), lasting(product, row, [fault]):
                check_predictions(product)


def _refused_while_locked(product: Product) -> None:
    """Who writes is told to come back, in time; who predicts notices nothing."""
    ready, over = threading.Event(), threading.Event()
    holder = threading.Thread(target=_hold_lock, args=(ready, over))
    holder.start()
    ready.wait()
    try:
        began = time.monotonic()
        check_predictions(product)
        assert time.monotonic() - began < 5, "a prediction waited for another process's lock"
        answer = product.train(product.batch())
        assert answer.status_code == 503, f"{answer.status_code} {answer.text[:300]}"
        assert int(answer.headers["Retry-After"]) > 0
    finally:
        over.set()
        holder.join()


def _hold_lock(ready: threading.Event, over: threading.Event) -> None:
    path = urlsplit(os.environ["DATABASE_URL"]).path.removeprefix("/")
    with closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        ready.set()
        over.wait(LOCKED)
        connection.rollback()
