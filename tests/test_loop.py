"""The loop in any order, with a crash anywhere, against a simple model of what must be true.

`HYPOTHESIS=long` looks at many more and longer stories, other ones each time.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from django.utils import timezone
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pytest_django import Settings

from predictions.predictor import Predictor
from tests.factories import report
from tests.trained import identical, predictions
from training import artifacts, backups, restoring, review, runner, sessions, versions
from training.errors import (
    NotAllowedNowError,
    NothingApprovedError,
    SessionActiveError,
    TrainingError,
    UnservableVersionError,
)
from training.ml import failpoints
from training.ml.failpoints import POINTS, Crash
from training.ml.records import SCORE_COLUMNS
from training.ml.scorer import Suggestion
from training.models import Activation, Anomaly, Backup, ModelVersion, TrainingSession

LONG = os.environ.get("HYPOTHESIS") == "long"
STORIES = hypothesis_settings(
    max_examples=300 if LONG else 12,
    stateful_step_count=50 if LONG else 15,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=True,
)
IDS = [f"R-{n}" for n in range(6)]
APPROVED, PENDING, REJECTED = "approved", "pending", "rejected"
QUEUED, RUNNING = "queued", "running"
Scores = tuple[float | None, ...]
Record = tuple[str, Scores]  # status and scores
Records = Mapping[str, Record]

scores = st.tuples(*[st.sampled_from([1.0, 2.0, 2.5, 4.0, 5.0])] * 3)
some_ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=4, unique=True)
batches = st.dictionaries(st.sampled_from(IDS), scores, min_size=1, max_size=4)


def crashes(*passed: str) -> st.SearchStrategy[str]:
    """At a point whose name begins like that; in a third of the cases nowhere."""
    points = [f"{point}=crash" for point in POINTS if point.startswith(passed)]
    later = [f"{point}@2" for point in points if point.endswith((".sealed", ".file", ".fitting", "_file"))]
    return st.sampled_from([*points, *later, *[""] * (len(points) // 2)])


RESTORE = ("restore.", "records.stored", "activate.moved", "model_versions.")
IN_ONE = ("records.stored", "restore.stored", "restore.reopened", "restore.claimed", "activate.moved")
BACKUP = ("backup.", "model_backups.", "records.part", "records.renamed")


class Truth(NamedTuple):
    """What must be true. `session`: status, attempts, and whether somebody asked to cancel."""

    records: Records
    active: int | None = None
    session: tuple[str, int, bool] | None = None

    @classmethod
    def seen(cls) -> "Truth":
        rows = Anomaly.objects.values_list("anomaly_id", "status", *SCORE_COLUMNS)
        version, session = ModelVersion.objects.active(), TrainingSession.objects.active().first()
        return cls(
            records={anomaly_id: (status, tuple(values)) for anomaly_id, status, *values in rows},
            active=version.pk if version else None,
            session=(session.status, session.attempts, session.cancel_requested) if session else None,
        )

    def with_records(self, changes: Records) -> "Truth":
        return self._replace(records={**self.records, **changes})

    @property
    def approved(self) -> dict[str, Scores]:
        return {key: values for key, (status, values) in self.records.items() if status == APPROVED}


class Held(NamedTuple):
    """What a backup must hold."""

    records: dict[str, Scores]
    active: int | None


def content(backup: Backup) -> dict[str, Scores]:
    """The records that the backup's files hold."""
    manifest = artifacts.verify(backup)
    with tempfile.TemporaryDirectory() as copy:
        backups.copy_records(manifest, Path(copy))
        columns = ["anomaly_id", *SCORE_COLUMNS]
        return {
            anomaly_id: tuple(values)
            for frame in backups.read_records(manifest, Path(copy))
            for anomaly_id, *values in frame[columns].to_numpy().tolist()
        }


class Loop(RuleBasedStateMachine):
    root: Path
    product: Settings

    @initialize()
    def begin(self) -> None:
        for model in (TrainingSession, Activation, Backup, ModelVersion, Anomaly, Anomaly.history.model):
            model._base_manager.all().delete()
        self.product.MEDIA_ROOT = Path(tempfile.mkdtemp(dir=self.root))
        self.truth = Truth(records={})
        self.came: dict[str, Record | None] = {}  # with the session: what was before
        self.says: dict[int, dict[str, Suggestion]] = {}  # each version, in the order of their making
        self.held: dict[int, Held] = {}  # each backup, likewise
        self.restores, self.turned = 0, 0  # restores so far, and how many versions there were at the last
        self.predictor = Predictor()
        self.accept(dict.fromkeys(IDS[:3], (2.0, 1.0, 4.0)), "")
        self.train_any("")
        self.reload("")

    # --- The model ---

    def attempt(
        self,
        do: Callable[[], object],
        *between: Truth,
        then: Truth,
        fault: str,
        held: Held | None = None,
        error: type[TrainingError] | None = None,
    ) -> None:
        """Do it, and `then` is true; after a crash that, or what was true before, or something `between`.

        `held` is what a backup made meanwhile must hold; with `error`, that is raised.
        """
        try:
            with failpoints.armed(fault):
                if error:
                    with pytest.raises(error):
                        do()
                else:
                    do()
        except Crash:
            seen = Truth.seen()
            assert seen in (self.truth, *between, then), f"neither old nor new after {fault}"
            then = seen
        self.truth = then
        self.find_backups(held)
        self.find_versions()
        self.find_restores()

    def find_backups(self, held: Held | None) -> None:
        for backup in Backup.objects.exclude(pk__in=self.held).order_by("pk"):
            assert held is not None
            assert (content(backup), backup.model_version_id) == held
            self.held[backup.pk] = held

    def find_versions(self) -> None:
        for version in ModelVersion.objects.exclude(pk__in=self.says).order_by("pk"):
            assert version.session.status == TrainingSession.Status.SUCCEEDED
            self.says[version.pk] = predictions(version)

    def find_restores(self) -> None:
        if (count := Activation.objects.filter(reason=Activation.Reason.RESTORE).count()) > self.restores:
            self.restores, self.turned = count, len(self.says)

    @property
    def newest(self) -> int | None:
        """What a reload lets serve."""
        since = list(self.says)[self.turned :]
        return since[-1] if since else self.truth.active

    def before_session(self) -> Held:
        """The present without what came with the session."""
        records = {key: row for key, row in self.truth.approved.items() if key not in self.came}
        earlier = {key: row for key, row in self.came.items() if row and key in self.truth.approved}
        records |= {key: values for key, (status, values) in earlier.items() if status == APPROVED}
        return Held(records, self.truth.active)

    def rows(self, ids: Sequence[str]) -> list[Anomaly]:
        return list(Anomaly.objects.filter(anomaly_id__in=ids))

    # --- What people and clients do ---

    @rule(batch=batches, fault=crashes("accept.", "records.stored"))
    def accept(self, batch: dict[str, Scores], fault: str) -> None:
        reports = [
            report(IDS.index(key), **dict(zip(SCORE_COLUMNS, values, strict=True)))
            for key, values in batch.items()
        ]
        new: dict[str, Record] = {key: (APPROVED, values) for key, values in batch.items()}
        before = self.truth
        if before.session:
            error = SessionActiveError
            self.attempt(lambda: sessions.accept_batch(reports=reports), then=before, fault="", error=error)
            return
        then = before.with_records(new)._replace(session=(QUEUED, 0, False))
        self.attempt(lambda: sessions.accept_batch(reports=reports), then=then, fault=fault)
        if self.truth.session:
            changed = [key for key, row in new.items() if before.records.get(key) != row]
            self.came = {key: before.records.get(key) for key in changed}

    @rule(key=st.sampled_from(IDS), values=st.none() | scores)
    def report_pending(self, key: str, values: Scores | None) -> None:
        if key in self.truth.records:
            return
        given = values or (None, None, None)
        said = report(IDS.index(key))
        texts = {name: getattr(said, name) for name in ("description", "equipment_name", "equipment_id")}
        Anomaly.objects.create(anomaly_id=key, **texts, **dict(zip(SCORE_COLUMNS, given, strict=True)))
        self.truth = self.truth.with_records({key: (PENDING, given)})

    @rule(ids=some_ids, values=st.none() | scores)
    def approve(self, ids: list[str], values: Scores | None) -> None:
        """Approve what is pending; what is settled stays as it is."""
        found = {key: self.truth.records[key] for key in ids if key in self.truth.records}
        new = {key: (APPROVED, values or row[1]) for key, row in found.items() if row[0] == PENDING}
        new = {key: row for key, row in new.items() if None not in row[1]}
        given = dict(zip(SCORE_COLUMNS, values or (), strict=False))
        changed = review.approve(anomalies=self.rows(ids), user=None, scores=given)  # type: ignore[arg-type]
        assert changed == len(new)
        self.truth = self.truth.with_records(new)

    @rule(ids=some_ids, status=st.sampled_from([PENDING, REJECTED]))
    def move(self, ids: list[str], status: str) -> None:
        """Reject or reopen."""
        found = {key: self.truth.records[key] for key in ids if key in self.truth.records}
        new = {key: (status, row[1]) for key, row in found.items() if row[0] != status}
        verb = review.reject if status == REJECTED else review.reopen
        assert verb(anomalies=self.rows(ids), user=None) == len(new)
        self.truth = self.truth.with_records(new)

    @rule(key=st.sampled_from(IDS), values=scores)
    def correct(self, key: str, values: Scores) -> None:
        if key not in self.truth.records:
            return
        (row,) = self.rows([key])
        status, before = self.truth.records[key]
        given: Any = dict(zip(SCORE_COLUMNS, values, strict=True))
        if before == values:
            with pytest.raises(NotAllowedNowError):
                review.correct(anomaly=row, scores=given, user=None)
        else:
            review.correct(anomaly=row, scores=given, user=None)
        self.truth = self.truth.with_records({key: (status, values)})

    # --- Training ---

    @rule(fault=crashes(*BACKUP, "session.claimed", "training.", "bundle.", "model_versions."))
    def train(self, fault: str) -> None:
        self.train_any(fault)

    @precondition(lambda self: not self.truth.session or self.truth.session[0] == QUEUED)
    @rule(fault=crashes("backup.row", "model_versions.durable", "training.saved", "training.finished"))
    def train_in_one(self, fault: str) -> None:
        """Where most could go wrong: while version and session are written."""
        self.train_any(fault)

    def train_any(self, fault: str) -> None:
        """The session that waits, or a new one; a running one that crashed is nobody's yet."""
        now = self.truth
        if now.session is None and not now.approved:
            start = lambda: sessions.start_session(trigger=TrainingSession.Trigger.ADMIN)  # noqa: E731
            self.attempt(start, then=now, fault="", error=NothingApprovedError)
            return
        if now.session is None:
            self.came = {}
        status, attempts, is_cancelled = now.session or (QUEUED, 0, False)
        ended = now._replace(session=None)
        if status == RUNNING or is_cancelled:
            self.attempt(self.run, then=now, fault="")
            return
        queued = now._replace(session=(QUEUED, attempts, False))
        running = now._replace(session=(RUNNING, attempts + 1, False))
        self.attempt(self.run, queued, running, then=ended, fault=fault, held=self.before_session())
        last = TrainingSession.objects.latest("pk")
        if not last.is_active:
            assert last.status == ("succeeded" if now.approved else "failed"), last.reason

    def run(self) -> None:
        session = TrainingSession.objects.active().first() or sessions.start_session(
            trigger=TrainingSession.Trigger.ADMIN
        )
        attempt = sessions.claim(session.pk)
        if attempt is not None:
            runner.run_attempt(session.pk, attempt)

    @precondition(lambda self: self.truth.session and self.truth.session[0] == RUNNING)
    @rule()
    def lease_runs_out(self) -> None:
        assert self.truth.session is not None
        _, attempts, is_cancelled = self.truth.session
        long_ago = timezone.now() - timedelta(days=1)
        TrainingSession.objects.active().update(heartbeat_at=long_ago)
        assert sessions.recover_sessions() == 1
        goes_on = attempts < 2 and not is_cancelled
        self.truth = self.truth._replace(session=(QUEUED, attempts, False) if goes_on else None)

    @precondition(lambda self: self.truth.session)
    @rule()
    def cancel(self) -> None:
        assert self.truth.session is not None
        status, attempts, _ = self.truth.session
        sessions.cancel_session(session=TrainingSession.objects.active().get())
        self.truth = self.truth._replace(session=(RUNNING, attempts, True) if status == RUNNING else None)

    # --- Versions and backups ---

    @rule(fault=crashes("activate."))
    def reload(self, fault: str) -> None:
        newest = self.newest
        error = None if newest else UnservableVersionError
        then = self.truth._replace(active=newest)
        self.attempt(versions.reload_newest, then=then, fault=fault, error=error)

    @precondition(lambda self: self.says)
    @rule(data=st.data(), fault=crashes("activate."))
    def activate(self, data: st.DataObject, fault: str) -> None:
        version = ModelVersion.objects.get(pk=data.draw(st.sampled_from(list(self.says))))
        self.attempt(
            lambda: versions.activate_version(version=version, note="of all"),
            then=self.truth._replace(active=version.pk),
            fault=fault,
        )

    @rule(fault=crashes(*BACKUP))
    def back_up(self, fault: str) -> None:
        held = Held(self.truth.approved, self.truth.active)
        self.attempt(
            lambda: backups.create_backup(kind=Backup.Kind.MANUAL), then=self.truth, fault=fault, held=held
        )

    @precondition(lambda self: self.held and not self.truth.session)
    @rule(data=st.data(), fault=crashes(*IN_ONE))
    def restore_in_one(self, data: st.DataObject, fault: str) -> None:
        """Where most could go wrong: while records and version are switched."""
        self.restore_any(data, fault, is_damaged=False)

    @precondition(lambda self: self.held)
    @rule(data=st.data(), is_damaged=st.booleans(), fault=crashes(*BACKUP, *RESTORE))
    def restore(self, data: st.DataObject, is_damaged: bool, fault: str) -> None:
        self.restore_any(data, fault, is_damaged=is_damaged)

    def restore_any(self, data: st.DataObject, fault: str, *, is_damaged: bool) -> None:
        backup = Backup.objects.get(pk=data.draw(st.sampled_from(list(self.held))))
        held, now = self.held[backup.pk], self.truth
        restore = partial(restoring.restore_backup, backup=backup)
        if now.session:
            self.attempt(restore, then=now, fault="", error=SessionActiveError)
            return
        is_damaged = is_damaged and held.active != now.active
        if is_damaged and held.active:
            version = ModelVersion.objects.get(pk=held.active)
            (artifacts.directory_of(version) / "features.pkl").write_bytes(b"damaged")
        left: Records = {key: (PENDING, values) for key, values in now.approved.items()}
        back: Records = {key: (APPROVED, values) for key, values in held.records.items()}
        then = now.with_records(left).with_records(back)._replace(active=held.active)
        present = Held(now.approved, now.active)
        self.attempt(restore, then=then, fault=fault, held=present)
        if is_damaged and held.active and self.truth != then:  # nothing but a restore mends the files
            self.attempt(restore, then=then, fault="", held=present)

    @rule()
    def sweep(self) -> None:
        """What crashes left goes, and nothing else."""
        artifacts.sweep(timedelta(0))

    # --- What must be true ---

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        assert Truth.seen() == self.truth

    @invariant()
    def no_row_is_without_its_files(self) -> None:
        for stored in (*ModelVersion.objects.all(), *Backup.objects.all()):
            assert artifacts.read_back(type(stored), stored.name).digest == stored.digest

    @invariant()
    def what_serves_says_what_it_always_said(self) -> None:
        loaded = self.predictor.current().loaded
        assert (loaded and loaded.version_id) == self.truth.active
        if loaded:
            version = ModelVersion.objects.get(pk=loaded.version_id)
            assert identical(predictions(version), self.says[version.pk])


@pytest.fixture
def _calm(settings: Settings, tmp_path: Path) -> Iterator[None]:
    """No lease runs out by itself, however slow the machine."""
    settings.TRAINING_LEASE = settings.TRAINING_QUEUE_LIMIT = 3_600
    Loop.root, Loop.product = tmp_path, settings
    yield
    failpoints.disarm()


@pytest.mark.usefixtures("_calm")
@pytest.mark.django_db(transaction=True)
def test_the_loop_in_any_order() -> None:
    run_state_machine_as_test(Loop, settings=STORIES)
