"""Figure 7: flipped bits and planted pickles, in the model versions and backups of a product that runs."""

import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from faults.invariants import PROBES, Ledger, check_predictions, holds
from faults.product import Product
from faults.table import Effort, Table
from training import artifacts, backups, restoring, versions
from training.artifacts import Stored
from training.errors import BackupError, UnservableVersionError
from training.models import Backup, ModelVersion

SEED = 20260101
HTTP = 10  # every so many flips the web processes are asked too

_unpickled: list[object] = []


def tampered(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    _restart_web(product, WEB_WORKERS="1")  # then it is known that the one that answers has loaded its model
    active = ModelVersion.objects.get(is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    check_predictions(product)  # and it is known what they are
    _watch_unpickling()
    with table.row(7, "a bit flipped in a model or a backup") as row:
        chance = random.Random(SEED)
        for n in range(effort.times(200, short=20)):
            with row.trial():
                _flip(product, (active, backup)[n % 2], chance, ask=n % HTTP < 2)
    artifacts.verify(active)
    artifacts.verify(backup)
    ledger.check()
    assert _counted(lambda: artifacts.load_scorer(active)) > 0, "unpickling would not have been seen"
    mark = product.scratch / "ran"
    files = sorted(path.name for path in artifacts.directory_of(active).glob("*.pkl"))
    for name in files[:1] if effort.is_short else files:
        with table.row(7, f"a pickle planted in {name}") as row, row.trial():
            _plant(product, active, backup, name, mark)
    artifacts.verify(active)
    artifacts.verify(backup)
    _restart_web(product)
    ledger.check()


def _restart_web(product: Product, **environment: str) -> None:
    product.stop_web()
    product.start_web(**environment)


def _watch_unpickling() -> None:
    """Python tells of every class that a pickle asks for; a hook cannot be taken out again."""
    sys.addaudithook(lambda event, args: _unpickled.append(args) if event == "pickle.find_class" else None)


def _counted(act: Callable[[], object]) -> int:
    before = len(_unpickled)
    act()
    return len(_unpickled) - before


def _flip(product: Product, stored: Stored, chance: random.Random, *, ask: bool) -> None:
    path = chance.choice(sorted(artifacts.directory_of(stored).iterdir()))
    genuine = path.read_bytes()
    damaged = bytearray(genuine)
    damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    with _instead(path, bytes(damaged)):
        assert _counted(lambda: _refused(stored)) == 0, f"{path.name}: unpickled before it was verified"
        if ask:
            _refused_over_http(product, stored)
            check_predictions(product)  # what was loaded before goes on serving
        assert path.read_bytes() == damaged, "what is damaged must be kept"


def _refused(stored: Stored) -> None:
    """Every way in which the files are loaded refuses them."""
    if isinstance(stored, Backup):
        ways: list[Callable[[], object]] = [
            lambda: backups.verify_backup(backup=stored),
            lambda: restoring.preview_restore(backup=stored),
            lambda: restoring.restore_backup(backup=stored),
        ]
    else:
        ways = [
            lambda: artifacts.load_scorer(stored),
            lambda: artifacts.load_twin(stored),
            lambda: artifacts.load_neighbours(stored),
            lambda: versions.activate_version(version=stored),
        ]
    for load in ways:
        try:
            load()
        except (BackupError, UnservableVersionError):
            continue
        raise AssertionError(f"{stored.name} was loaded although it is damaged")


def _refused_over_http(product: Product, stored: Stored) -> None:
    path = f"/train/restore/{stored.name}" if isinstance(stored, Backup) else "/train/reload"
    if isinstance(stored, ModelVersion) and versions.newest_version() != stored:
        return  # the reload would load another one
    answer = product.post(path)
    assert (answer.status_code, answer.json()["success"]) == (500, False), f"{path}: {answer.text[:300]}"


class Plant:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def _plant(product: Product, active: ModelVersion, backup: Backup, name: str, mark: Path) -> None:
    """In the version that serves and in its backup; then everybody loads, a fresh web process too."""
    plant = pickle.dumps(Plant(mark))
    with (
        _instead(artifacts.directory_of(active) / name, plant),
        _instead(artifacts.directory_of(backup) / name, plant),
    ):
        for stored in (active, backup):
            _refused(stored)
            _refused_over_http(product, stored)
        check_predictions(product)  # what was loaded before goes on serving
        _restart_web(product, WEB_WORKERS="1")
        answer = product.post("/predict", PROBES)
        assert not mark.exists(), "the plant ran"
        if holds(artifacts.directory_of(active) / name, plant):
            assert answer.status_code == 503, f"{answer.status_code} {answer.text[:300]}"
        else:  # the queue has noticed, and taken the files of another backup
            check_predictions(product)
    _restart_web(product, WEB_WORKERS="1")
    check_predictions(product)
    pickle.loads(plant)
    assert mark.exists(), "the plant would not have been seen"
    mark.unlink()


@contextmanager
def _instead(path: Path, content: bytes) -> Iterator[None]:
    genuine = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(genuine)
