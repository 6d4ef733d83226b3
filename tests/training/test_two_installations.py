"""Figure 14: whatever another installation does with a storage, its owner finds it as it was, to the byte."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory
from tests.installations import Database, become_another_installation, everything_stored
from tests.sampling import EXHAUSTIVE
from tests.storing import TestBucket
from tests.trained import approved_records, predictions, trained_version
from training import (
    artifacts,
    backups,
    doctor,
    file_imports,
    moving,
    nodes,
    restoring,
    runner,
    sessions,
    upkeep,
    versions,
    watchdog,
)
from training.errors import ForeignStorageError, StorageError, TrainingError
from training.models import (
    Activation,
    Anomaly,
    Backup,
    FileImport,
    Finding,
    ModelVersion,
    SessionLogEntry,
    TrainingSession,
)
from training.shelves import ownership, roots

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("hours_later")]


@pytest.fixture
def hours_later(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """By the storage's clock all that stands there is old enough to be swept."""
    for clock in ("training.shelves.directories._clock_of", "training.shelves.bucket.Bucket.clock"):
        monkeypatch.setattr(clock, lambda _of: time.time() + 48 * 3600)
    monkeypatch.setattr("os.nice", lambda _by: 0)
    settings.KEEP_BACKUPS = settings.KEEP_MODEL_VERSIONS = 1
    settings.KEEP_DAILY_BACKUPS = settings.KEEP_WEEKLY_BACKUPS = 0
    settings.KEEP_DAILY_MODEL_VERSIONS = settings.KEEP_WEEKLY_MODEL_VERSIONS = 0


def work(count: int = 3) -> None:
    """What an installation does all day."""
    for n in range(count):
        ApprovedFactory.create()
        version = trained_version(f"version_{ModelVersion.objects.count()}_{n}_{random.random():.8f}"[:60])
        versions.set_active(version=version, reason=Activation.Reason.REQUEST)
        backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)
    file = SimpleUploadedFile("a.csv", CSV)
    file_imports.receive_files(files=[file], status=Anomaly.Status.PENDING, user=None)


CSV = (
    b"anomaly_id,description,equipment_name,equipment_id,availability_score,fiability_score,"
    b"process_safety_score\nI-1,fuite,Vanne,eq-1,1,2,3\n"
)


@pytest.fixture
def owner(each_storage: TestBucket | None) -> None:
    """The test's own database: the other one is a copy of it."""
    approved_records()
    work()


@pytest.fixture(params=["stranger", "empty", "copy"])
def other(
    request: pytest.FixtureRequest, owner: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    """Another installation that knows the owner's rows, one that knows nothing, or a copy of the database."""
    database = Database.copied(tmp_path)
    if connection.vendor == "sqlite":  # nothing in a file tells it from a copy: say that something does
        monkeypatch.setattr(ownership, "database_identity", lambda: str(connection.settings_dict["NAME"]))
        for root in roots():
            ownership.adopt(root)
    with database.in_use():
        if request.param != "copy":
            become_another_installation()
        if request.param == "empty":
            for model in (SessionLogEntry, TrainingSession, Backup, Activation, ModelVersion, FileImport):
                model.objects.all().delete()
    yield database
    database.drop()


# --- What the other one does -------------------------------------------------------------------


def start() -> None:
    call_command("check")
    nodes.beat()
    watchdog.look({})


def watch() -> None:
    nodes.beat()
    watchdog.look({})
    watchdog.look({})


def train() -> None:
    session = sessions.start_session(trigger=TrainingSession.Trigger.COMMAND, enqueue=False)
    attempt = sessions.claim(session.pk)
    assert attempt == 1
    runner.run_attempt(session.pk, attempt)
    session.refresh_from_db()
    assert session.status == TrainingSession.Status.FAILED
    assert "The storage is not this installation's." in session.reason


def mend() -> None:
    assert any(line.startswith("nothing in the storage: ") for line in doctor.fix())


def restore() -> None:
    for backup in Backup.objects.available():
        with pytest.raises(StorageError, match="not this installation's"):
            restoring.restore_backup(backup=backup)


def prune() -> None:
    before = Backup.objects.available().count()
    with suppress(ForeignStorageError):
        assert backups.prune_backups(keep=1) == []
    with suppress(ForeignStorageError):
        assert versions.prune_versions(keep=1) == []
    with pytest.raises(CommandError, match="not this installation's"):
        call_command("prune_backups")
    assert Backup.objects.available().count() == before


def sweep() -> None:
    with pytest.raises(ForeignStorageError):
        artifacts.sweep()
    with pytest.raises(ForeignStorageError):
        file_imports.sweep_imports()


def back_up() -> None:
    with pytest.raises(ForeignStorageError):
        backups.create_backup(kind=Backup.Kind.MANUAL)
    upkeep_failed = False
    try:
        upkeep.keep_up()
    except ForeignStorageError:
        upkeep_failed = True
    assert upkeep_failed is (upkeep.backup_due_since() is not None)


def adopt_backups() -> None:
    with pytest.raises(CommandError, match="not this installation's"):
        call_command("adopt_backups")


def receive() -> None:
    file = SimpleUploadedFile("b.csv", CSV)
    with pytest.raises(TrainingError, match="not this installation's"):
        file_imports.receive_files(files=[file], status=Anomaly.Status.PENDING, user=None)


def decide_imports() -> None:
    for waiting in FileImport.objects.filter(status=FileImport.Status.WAITING):
        with pytest.raises((ForeignStorageError, TrainingError)):
            file_imports.discard_import(waiting=waiting, user=None)


def resign() -> None:
    keys = settings.ARTIFACT_SIGNING_KEYS
    with override_settings(ARTIFACT_SIGNING_KEYS=["k" * 40, *keys]):
        if ModelVersion.objects.filter(pruned_at=None).exists():
            with pytest.raises(CommandError, match="could not be signed"):
                call_command("resign_artifacts")


def set_aside_and_remove() -> None:
    for stored in [*ModelVersion.objects.filter(is_active=False), *Backup.objects.all()]:
        for change in (artifacts.set_aside, artifacts.remove):
            with pytest.raises(ForeignStorageError):
                change(stored)


def move() -> None:
    for stored in moving.to_move():
        with suppress(ForeignStorageError):
            assert moving.move(stored) in {moving.Moved.THERE, moving.Moved.ELSEWHERE}


SEQUENCES = {"disk": 4, "objects": 4 if EXHAUSTIVE else 1}  # for each kind of installation

STEPS: list[Callable[[], None]] = [
    start, watch, train, mend, restore, prune, sweep, back_up, adopt_backups, receive, decide_imports, resign,
    set_aside_and_remove, move,
]  # fmt: skip


def test_every_step_once(other: Database) -> None:
    stored = everything_stored()
    for step in STEPS:
        with other.in_use():
            step()
        assert everything_stored() == stored, step.__name__
    for version in ModelVersion.objects.filter(pruned_at=None):
        assert artifacts.verify(version).digest == version.digest


def test_any_sequence(other: Database, each_storage: TestBucket | None) -> None:
    """Both work at the same time; what the owner does goes on, whatever the other one tries."""
    for seed in range(SEQUENCES["objects" if each_storage else "disk"]):
        chosen = random.Random(seed)
        for step in chosen.sample(STEPS, 5):
            if chosen.random() < 0.2:
                work(1)
                backups.prune_backups()
            stored = everything_stored()
            with other.in_use():
                step()
            assert everything_stored() == stored, (seed, step.__name__)
    nodes.beat()
    watchdog.look({})
    assert not Finding.objects.current().filter(code=Finding.Code.STORAGE_FOREIGN).exists()
    assert artifacts.sweep() == []


def test_the_watch_says_whose_it_is_and_reading_goes_on(other: Database) -> None:
    with other.in_use():
        watch()
        finding = Finding.objects.current().filter(code=Finding.Code.STORAGE_FOREIGN).first()
        assert finding is not None
        assert "belongs to" in finding.facts["reason"]
        orphaned = (Finding.Code.FILES_ORPHANED, Finding.Code.FILES_UNKNOWN, Finding.Code.BACKUPS_UNKNOWN)
        assert not Finding.objects.current().filter(code__in=orphaned).exists()
        if (version := ModelVersion.objects.active()) is not None:
            assert predictions(version)["availability"].score.shape == (6,)


def test_the_heir_adopts_it_and_then_the_former_owner_is_the_stranger(other: Database) -> None:
    with other.in_use():
        call_command("adopt_storage", yes=True)
        artifacts.require_own_storage()
        backups.create_backup(kind=Backup.Kind.MANUAL)
    stored = everything_stored()
    with pytest.raises(ForeignStorageError, match="belongs to"):
        backups.create_backup(kind=Backup.Kind.MANUAL)
    assert everything_stored() == stored
    assert timezone.now() - timedelta(days=1) < Backup.objects.latest("pk").created_at
