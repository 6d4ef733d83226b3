"""Figure 8: restores, whole and killed at each step."""

from collections.abc import Callable
from dataclasses import dataclass

import requests

from faults.invariants import (
    APPROVED,
    Ledger,
    Truth,
    check_predictions,
    check_records,
    check_versions,
    stored,
)
from faults.product import Product
from faults.sessions import DIRECTORY
from faults.table import Effort, Table
from tests.trained import identical, predictions
from training import artifacts, backups
from training.ml.scorer import Suggestion
from training.models import Anomaly, Backup, ModelVersion

POINTS = (
    *("restore.verified", "restore.copied", "restore.tried", "backup.reserved"),
    *("records.part", "records.parts_written", "records.renamed", "backup.model_file"),
    *(f"model_backups.{step}" for step in DIRECTORY),
    *("backup.read_back", "backup.row", "restore.backed_up", "restore.set_aside", "restore.model_file"),
    *(f"model_versions.{step}" for step in DIRECTORY),
    *("restore.servable", "restore.locked", "records.stored", "restore.stored", "restore.reopened"),
    *("restore.claimed", "activate.moved", "restore.finished", "restore.committed"),
)
PENDING = Anomaly.Status.PENDING.value


@dataclass(frozen=True, kw_only=True)
class World:
    """What a backup holds: the truth, the version that serves, and what that says, bit for bit."""

    backup: Backup
    truth: Truth
    version: ModelVersion
    says: dict[str, Suggestion]

    @classmethod
    def now(cls) -> "World":
        version = ModelVersion.objects.get(is_active=True)
        backup = backups.create_backup(kind=Backup.Kind.MANUAL)
        return cls(backup=backup, truth=stored(), version=version, says=predictions(version))

    def after_restore(self, present: Truth) -> Truth:
        """What was approved here is as it was; what came later waits for a review, with its scores."""
        held = {key: row for key, row in self.truth.items() if row[0] == APPROVED}
        return {key: held.get(key) or (PENDING, *row[1:]) for key, row in present.items()}


class Drill:
    """Two worlds, and restores from the newer one to the older one and back."""

    def __init__(self, product: Product, ledger: Ledger) -> None:
        self.product, self.ledger = product, ledger
        self.older = World.now()
        new = [product.record(f"N-{len(ledger.truth)}-{n}", n) for n in range(3)]
        batch = [*product.batch(), *new]
        assert product.train(batch).status_code == 200
        ledger.accept(batch)
        assert product.post("/train/reload").status_code == 200
        self.newer = World.now()
        assert self.newer.version != self.older.version
        ledger.check()

    def fails(self, attempt: Callable[[str], object]) -> bool:
        """The older version's files are damaged, and `attempt` at restoring it fails; whether it is restored.

        It is entirely old or entirely new; then the way to the older world and back is open.
        """
        (artifacts.directory_of(self.older.version) / "features.pkl").write_bytes(b"damaged")
        old, new = dict(self.ledger.truth), self.older.after_restore(self.ledger.truth)
        attempt(f"/train/restore/{self.older.backup.name}")
        is_new = ModelVersion.objects.get(is_active=True) == self.older.version
        check_records(new if is_new else old)
        check_versions()
        check_predictions(self.product)
        self.restore(self.older)
        self.restore(self.newer)
        for backup in Backup.objects.available().filter(kind=Backup.Kind.BEFORE_RESTORE):
            artifacts.remove(backup)
        return is_new

    def restore(self, world: World) -> None:
        """The way that is always open: everything is as it was, and the model says the same, bit for bit."""
        answer = self.product.post(f"/train/restore/{world.backup.name}")
        assert answer.status_code == 200, f"{answer.status_code} {answer.text[:300]}"
        assert ModelVersion.objects.get(is_active=True) == world.version
        version = ModelVersion.objects.get(pk=world.version.pk)
        assert identical(predictions(version), world.says), "the restored model says something else"
        self.ledger.truth = world.after_restore(self.ledger.truth)
        self.ledger.check()


def killed_at_each_step(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    drill = Drill(product, ledger)
    with table.row(8, "restored: records and predictions identical, bit for bit") as row:
        for _ in range(effort.times(20)):
            with row.trial():
                drill.restore(drill.older)
                drill.restore(drill.newer)

    def attempt(path: str) -> None:
        try:
            answer = product.post(path)
        except requests.ConnectionError:
            return
        raise AssertionError(f"nobody died: {answer.status_code} {answer.text[:200]}")

    for point in effort.share(POINTS, apart=3):
        with table.row(8, f"kill -9 of the restore at {point}") as row:
            for _ in range(effort.times(3)):
                with row.trial():
                    shot = product.arm(point, "kill")
                    is_new = drill.fails(attempt)
                    assert not shot.exists()
                    assert is_new == (point == "restore.committed"), "new before it was committed"
