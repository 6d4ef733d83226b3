"""Figure 16 where files and database are on disk: real ones that are full or read-only; and trainings
that fail.

Where this process may not mount, the rows of the disks say that they were not tried.
"""

from collections.abc import Callable

import requests

from faults.health_issues import Code, Fault, lasting
from faults.invariants import Ledger, check_predictions
from faults.mounts import DATABASE, MEDIA, Disk
from faults.product import Product, last_session, wait_for_end
from faults.sessions import next_one_works
from faults.table import Effort, Table
from training.models import TrainingSession

LARGE = 1_000  # records, of several MB with their history: more than the room that SQLite's log has already


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
