"""Figure 13: what could not be compared with the champion, or not be loaded by everybody, is not activated by
itself.
"""

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from django_q.tasks import async_task

from faults.health_issues import Code, Fault, lasting
from faults.invariants import Ledger, check_predictions, holds
from faults.product import Batch, Product
from faults.sessions import next_one_works
from faults.table import Effort, Row, Table
from tests.queue_processes import wait_until
from training import artifacts, backups, records, schedules, validation, versions
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, Backup, ModelVersion, SessionLogEntry, TrainingSession
from training.shelves import is_local

APPROVALS = 40  # random ones, of which no model can learn anything
CUT = 100  # bytes off the end of a file
TWIN = "twin.pkl"  # what the champion said of the held-out records
OTHER = "scikit-learn=0.0.1"  # what a node pretends to have


def never_activated(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    if is_local():
        _damaged_champions(product, ledger, table, effort=effort)
    else:
        _other_libraries(product, ledger, table, effort=effort)


def _damaged_champions(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    with table.row(13, f"a scheduled training, {CUT} bytes cut off the champion everywhere") as row:
        for n in range(effort.times(10)):
            next_one_works(product, ledger)
            with row.trial():
                cut = _Cut(product, ledger, seed=n)
                fault = Fault(
                    name="a champion that cannot be read",
                    code=Code.VERSION_NOT_COMPARED,
                    word="compare",
                    begin=cut.begin,
                    end=cut.end,
                    also=frozenset({Code.VERSION_DAMAGED, Code.BACKUP_DAMAGED}),
                )
                with lasting(product, row, [fault]):
                    cut.check()
            ledger.check()
    with table.row(13, f"a scheduled training, {CUT} bytes cut off the champion, backups sound") as row:
        for n in range(effort.times(10)):
            next_one_works(product, ledger)
            with row.trial():
                _repaired(product, ledger, seed=100 + n)


class _Cut:
    """The champion and its copies in the backups lose the end of a file; then the schedule is due."""

    def __init__(self, product: Product, ledger: Ledger, *, seed: int) -> None:
        self.product, self.ledger, self.seed = product, ledger, seed
        self.champion = ModelVersion.objects.get(is_active=True)
        self.session: TrainingSession | None = None
        self._stack = ExitStack()

    def begin(self) -> None:
        check_predictions(self.product)
        for stored in (self.champion, *Backup.objects.available()):
            if (file := artifacts.directory_of(stored) / TWIN).is_file():
                self._stack.enter_context(_cut(file))
        self.session = train_by_schedule(self.product, self.ledger, seed=self.seed)

    def check(self) -> None:
        """The candidate waits for somebody, and says why."""
        assert self.session is not None
        candidate = self.session.model_version
        assert candidate is not None, self.session.reason
        assert not candidate.comparison["passed"], candidate.comparison
        assert ModelVersion.objects.get(is_active=True) == self.champion, "activated without a comparison"
        events = SessionLogEntry.objects.filter(session=self.session, kind=SessionLogEntry.Kind.EVENT)
        assert any("Not activated" in event.text for event in events), "the session does not say why"
        check_predictions(self.product)

    def end(self) -> None:
        """The files are put back, and somebody looks and decides."""
        self._stack.close()
        for stored in (self.champion, *Backup.objects.available()):
            artifacts.verify(stored)
        if self.session is not None and (candidate := self.session.model_version) is not None:
            versions.activate_version(version=candidate, note="compared by hand")


def _repaired(product: Product, ledger: Ledger, *, seed: int) -> None:
    """The champion is itself again by itself; what is activated then was compared with it."""
    champion = ModelVersion.objects.get(is_active=True)
    backups.create_backup(kind=Backup.Kind.MANUAL)
    file = artifacts.directory_of(champion) / TWIN
    whole = file.read_bytes()
    file.write_bytes(whole[:-CUT])
    session = train_by_schedule(product, ledger, seed=seed)
    candidate = session.model_version
    assert candidate is not None, session.reason
    active = ModelVersion.objects.get(is_active=True)
    was_compared = bool(candidate.comparison.get("champion"))
    assert active == champion or (was_compared and candidate.comparison["passed"]), "not compared, activated"
    wait_until(lambda: holds(file, whole), 60)
    artifacts.verify(champion)
    if not was_compared:
        versions.keep_champion(candidate=candidate)
    ledger.check()


@contextmanager
def _cut(file: Path) -> Iterator[None]:
    whole = file.read_bytes()
    file.write_bytes(whole[:-CUT])
    try:
        yield
    finally:
        if file.parent.is_dir():  # a damaged backup may have been pruned meanwhile
            file.write_bytes(whole)


def train_by_schedule(product: Product, ledger: Ledger, *, seed: int) -> TrainingSession:
    """Random approvals, then the schedule is due; the session that it started, ended."""
    chance, before = random.Random(seed), TrainingSession.objects.latest("pk").pk
    batch: Batch = [
        product.record(f"G-{n:02d}", 0)
        | {name: float(chance.randint(1, 5)) for name in SCORE_COLUMNS}
        | {"description": f"bruit anormal {chance.randrange(1000)}"}
        for n in range(APPROVALS)
    ]
    records.store_records(reports=validation.validate_batch(batch), user=None, source=Anomaly.Source.IMPORT)
    ledger.accept(batch)
    async_task(schedules.TRAIN_ON_SCHEDULE)
    ended = TrainingSession.objects.ended().filter(trigger=TrainingSession.Trigger.SCHEDULE, pk__gt=before)
    session: TrainingSession = wait_until(ended.first, 120)
    return session


def _other_libraries(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    """A node whose libraries differ takes no training, harms no row, and is named."""
    with table.row(13, f"a queue node with {OTHER}") as row:
        for n in range(effort.times(10)):
            with row.trial():
                _one_other_node(product, ledger, row, seed=200 + n)
    with table.row(13, f"all queue nodes with {OTHER}") as row:
        for _ in range(effort.times(10)):
            with row.trial():
                _only_other_nodes(product, ledger)


def _one_other_node(product: Product, ledger: Ledger, row: Row, *, seed: int) -> None:
    fault = Fault(
        name="a node with other libraries",
        code=Code.NODE_INCOMPATIBLE,
        word="librar",
        begin=lambda: product.start_queue(works=False, FAILPOINTS_LIBRARIES=OTHER),
        end=lambda: product.stop_queue(product.queues[-1]),
    )
    with lasting(product, row, [fault]):
        for _ in range(4):  # whoever is faster takes a session
            next_one_works(product, ledger)
        session = train_by_schedule(product, ledger, seed=seed)
        candidate = session.model_version
        assert candidate is not None, session.reason
        assert candidate.libraries["scikit-learn"] != OTHER.partition("=")[2], "the odd node trained"
        assert candidate.comparison.get("champion"), "not compared"
        check_predictions(product)
    ledger.check()


def _only_other_nodes(product: Product, ledger: Ledger) -> None:
    """A half-upgraded fleet: whatever is trained there does not serve by itself where nobody can load it."""
    champion = ModelVersion.objects.get(is_active=True)
    with product.other_queue(works=False, FAILPOINTS_LIBRARIES=OTHER):
        batch = product.batch()
        answer = product.train(batch)
        ledger.accept(batch)
        assert answer.status_code != 200, "a node with other libraries trained"
        assert ModelVersion.objects.get(is_active=True) == champion
        assert champion.verification_error == "", "a node's libraries are told as the version's damage"
        product.stop_web()
        product.start_web()
        product.wait_for_model()
        check_predictions(product)
    next_one_works(product, ledger)
