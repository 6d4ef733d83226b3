"""Figure 9: a full disk or an I/O error at any write of a training, a backup, a restore, an import."""

import resource
from functools import partial

from faults import imports
from faults.invariants import Ledger, check_predictions
from faults.product import Product, last_session, wait_for_end
from faults.restores import Drill
from faults.sessions import DIRECTORY, PASSINGS, next_one_works
from faults.table import Effort, Table
from training.models import TrainingSession

ERRORS = ("ENOSPC", "EIO")
BACKUP = ("records.part", "records.parts_written", "records.renamed", "backup.model_file")
TRAINING = (
    *("backup.reserved", *BACKUP, *(f"model_backups.{step}" for step in DIRECTORY)),
    *("bundle.file", *(f"model_versions.{step}" for step in DIRECTORY)),
)
RESTORE = (
    *("backup.reserved", *BACKUP, *(f"model_backups.{step}" for step in DIRECTORY)),
    *("restore.set_aside", "restore.model_file", *(f"model_versions.{step}" for step in DIRECTORY)),
)
LIMITS = (0, 1_000, 30_000, 100_000)  # bytes that a file may have, written by a process under such a limit


def failing(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    for number, point in enumerate(effort.share(TRAINING, apart=5)):
        with table.row(9, f"disk full or I/O error, training at {point}") as row:
            for n in range(effort.times(2 * PASSINGS.get(point, 1))):
                with row.trial():
                    error = ERRORS[(number + n) % 2]
                    _training_fails(product, ledger, point, f"oserror:{error}@{1 + n // 2}")
    next_one_works(product, ledger)
    drill = Drill(product, ledger)
    for number, point in enumerate(effort.share(RESTORE, apart=5)):
        with table.row(9, f"disk full or I/O error, restore at {point}") as row:
            for n in range(effort.times(2)):
                with row.trial():
                    product.arm(point, f"oserror:{ERRORS[(number + n) % 2]}")
                    assert not drill.fails(partial(_restore_fails, product)), "new after an error"
    imports.disk_full(product, ledger, table, effort=effort)
    _limited(product, ledger, table, effort=effort)


def _training_fails(product: Product, ledger: Ledger, point: str, action: str) -> None:
    batch = product.batch()
    shot = product.arm(point, action)
    answer = product.train(batch)
    assert not shot.exists()
    assert (answer.status_code, answer.json()["success"]) == (503, False), answer.text[:300]
    assert int(answer.headers["Retry-After"]) > 0
    ledger.accept(batch)
    session = last_session()
    assert (session.status, session.attempts) == (TrainingSession.Status.FAILED, 1), session.reason
    ledger.check()


def _restore_fails(product: Product, path: str) -> None:
    answer = product.post(path)
    assert (answer.status_code, answer.json()["success"]) == (503, False), answer.text[:300]
    assert int(answer.headers["Retry-After"]) > 0


def _limited(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """Real errors: commands that may write no file beyond a size, the SQLite database among them."""
    for command in effort.share((("create_backup",), ("train",))):
        with table.row(9, f"files limited in size, manage.py {' '.join(command)}") as row:
            for limit in LIMITS[1:2] if effort.is_short else LIMITS:
                with row.trial():
                    limited = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
                    done = product.manage(*command, preexec_fn=limited)
                    assert done.returncode != 0, f"{command} with files of {limit} bytes"
                    check_predictions(product)
                    # A session whose process could not even say that it failed is taken back by the queue.
                    row.took(wait_for_end(), at_most=60)
                    ledger.check()
    next_one_works(product, ledger)
