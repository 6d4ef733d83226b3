"""Figure 14: a second installation on the storage of the first one never removes or changes what is there."""

import os
import random
import secrets
import time
from collections.abc import Sequence

from faults.invariants import Ledger, check_files, check_predictions
from faults.product import Product
from faults.sessions import next_one_works
from faults.table import Effort, Table
from tests.queue_processes import MARK, Queue
from training import artifacts
from training.models import Backup, ModelVersion
from training.shelves import is_local

OLD = 3 * 3_600  # seconds: past every grace
CODE = "from datetime import timedelta; from training import artifacts; artifacts.sweep(timedelta())"
SWEEP = ("shell", "--verbosity=0", "--command", CODE)  # refused by an error, as the verb refuses
FIX = ("doctor", "--fix")
TRAIN = ("train", "--activate")
WATCH = ("watch",)  # a queue node, with its watch, for as long as that looks at everything once
ACTS: tuple[tuple[str, ...], ...] = (
    FIX,
    WATCH,
    SWEEP,
    ("prune_backups", "--keep", "1"),
    ("create_backup",),
    TRAIN,
    ("adopt_backups",),
    ("keep_files",),
)
WATCHED = 12  # seconds


def never_mixed(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    next_one_works(product, ledger)
    chance = random.Random(14)
    with table.row(14, "a second installation on the same storage") as row:
        for n in range(effort.times(20)):
            acts = [FIX, SWEEP, TRAIN] if effort.is_short else chance.sample(ACTS, 5)
            with row.trial():
                _share(product, acts, same_keys=bool(n % 2))
                check_files()
                check_predictions(product)
        ledger.check()
    product.stop_web()
    product.start_web()  # who starts now reads everything from the storage
    product.wait_for_model()
    next_one_works(product, ledger)


def _share(product: Product, acts: Sequence[tuple[str, ...]], *, same_keys: bool) -> None:
    """The second one has a database of its own, on which it does all that installations do by themselves."""
    before = _contents()
    _age()
    directory = product.scratch / f"second-{secrets.token_hex(4)}"
    directory.mkdir()
    second = product.environment | {
        "DATABASE_URL": f"sqlite:///{directory}/db.sqlite3",
        "PORT": "1",
        MARK: secrets.token_hex(8),
    }
    if not is_local():
        second["MEDIA_ROOT"] = str(directory / "media")
    if not same_keys:
        second["ARTIFACT_SIGNING_KEYS"] = secrets.token_hex(32)
    assert product.manage("migrate", "--verbosity=0", env=second).returncode == 0
    product.manage("load_sample", env=second)
    for act in acts:
        if act == WATCH:
            _watch(product, second)
        else:
            done = product.manage(*act, env=second)
            assert act == SWEEP or "Traceback" not in done.stderr, f"{act}: {done.stderr[-600:]}"
    said = product.manage("doctor", "--json", env=second).stdout
    assert "another installation" in said, f"doctor of the second one does not name it: {said[-600:]}"
    lost = before - _contents()
    assert not lost, f"the second installation took {len(lost)} files: {sorted(lost)[:3]}"


def _watch(product: Product, environment: dict[str, str]) -> None:
    queue = Queue(environment[MARK], product.scratch / "second.log")
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        queue.start()
        time.sleep(WATCHED)
        queue.stop()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _contents() -> set[tuple[str, int]]:
    """Files of the first one, and their sizes, wherever they are."""
    return {
        (f"{stored.path}/{name}", file.size)
        for model in (ModelVersion, Backup)
        for stored in model.objects.filter(pruned_at=None)
        for name, file in artifacts.files_of(stored).items()
    }


def _age() -> None:
    """On disk what is there looks old, as it is when a second installation comes."""
    if is_local():
        then = time.time() - OLD
        for model in (ModelVersion, Backup):
            for stored in model.objects.filter(pruned_at=None):
                os.utime(artifacts.directory_of(stored), (then, then))
