"""An active version that was damaged gets its files back from a backup, by itself, and that is told."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from django.core.management import call_command
from django.utils import timezone

from predictions import predictor
from tests.storing import TestBucket
from tests.trained import approved_records, identical, predictions, trained_version
from training import artifacts, backups, nodes, repairs, restoring, upkeep, watchdog
from training.errors import StorageError, UnservableVersionError
from training.findings import Code
from training.ml.failpoints import POINTS, Crash, armed
from training.ml.manifest import MANIFEST
from training.models import Backup, Delivery, Finding, ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    approved_records()
    return trained_version(is_active=True)


@pytest.fixture
def backup(version: ModelVersion) -> Backup:
    return backups.create_backup(kind=Backup.Kind.MANUAL)


@pytest.fixture(autouse=True)
def _leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs.Turn, "last", -repairs.PAUSE)
    nodes.beat()


def cut(directory: Path) -> None:
    model = directory / "features.pkl"
    model.write_bytes(model.read_bytes()[:-100])


def cut_twin(directory: Path) -> None:
    (directory / "twin.pkl").write_bytes(b"")


def cut_manifest(directory: Path) -> None:
    (directory / MANIFEST).write_bytes(b"{")


def lose_manifest(directory: Path) -> None:
    (directory / MANIFEST).unlink()


HARMS = [cut, cut_twin, cut_manifest, lose_manifest, shutil.rmtree]


def notice(version: ModelVersion) -> None:
    """A web process tries to load it, and the watch looks."""
    with pytest.raises(UnservableVersionError):
        artifacts.load_scorer(version)
    watch()


def watch() -> None:
    for check in watchdog.CHECKS:
        if check.codes & set(repairs.CODES):
            watchdog.run(check)


def watch_twice() -> None:
    """What one look has read back and written into the row, the next one tells."""
    watch()
    watch()


@pytest.mark.parametrize("harm", HARMS)
def test_it_serves_again_and_that_is_told(
    version: ModelVersion,
    backup: Backup,
    harm: Callable[[Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = predictions(version)
    assert not repairs.is_due()
    harm(artifacts.directory_of(version))
    assert predictor.current().loaded is None
    watch()
    finding = Finding.objects.get(code=Code.VERSION_DAMAGED)
    assert repairs.is_due()
    assert not repairs.is_due()  # once in a minute
    call_command("repair_version")
    version.refresh_from_db()
    assert (version.verification_error, version.is_active) == ("", True)
    assert identical(predictions(version), before)
    finding.refresh_from_db()
    assert (finding.is_mended, finding.facts["backup"]) == (True, backup.name)
    assert not Finding.objects.current().exists()
    assert f"Mended: {version} has its files back from {backup.name}" in caplog.messages
    watch()
    assert not Finding.objects.current().exists()


def lose_file(directory: Path) -> None:
    (directory / "neighbours.pkl").unlink()


def rename_file(directory: Path) -> None:
    (directory / "features.pkl").rename(directory / "features.old")


def add_file(directory: Path) -> None:
    (directory / "stray").touch()


@pytest.mark.parametrize("harm", [cut, cut_twin, cut_manifest, lose_file, rename_file, add_file])
def test_a_file_that_is_lost_or_cut_is_noticed_without_a_web_process(
    version: ModelVersion, backup: Backup, harm: Callable[[Path], None]
) -> None:
    """The names and sizes tell; then it is read, and the finding says what is wrong."""
    watch()
    assert not Finding.objects.exists()
    harm(artifacts.directory_of(version))
    watch_twice()
    assert [row.code for row in Finding.objects.current()] == [Code.VERSION_DAMAGED]
    assert repairs.is_due()
    assert repairs.repair_active_version() == backup
    watch()
    assert not Finding.objects.current().exists()


def test_the_newest_backup_is_looked_at_too(backup: Backup) -> None:
    older, newest = backup, backups.create_backup(kind=Backup.Kind.MANUAL)
    for each in (older, newest):
        cut_manifest(artifacts.directory_of(each))
    watch()
    watch()
    assert [row.subject for row in Finding.objects.current()] == [newest.name]
    watch()  # at the one before, since that one cannot be restored any more
    assert {row.subject for row in Finding.objects.current()} == {older.name, newest.name}


def test_sound_files_are_listed_and_not_read(
    each_storage: TestBucket | None, version: ModelVersion, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifests once, to know the sizes."""
    watch()

    def read(*_: object, **__: object) -> None:
        raise AssertionError("was read")

    with monkeypatch.context() as patch:
        patch.setattr("training.shelves.directories.verify_directory", read)
        patch.setattr("training.shelves.directories.read_manifest", read)
        patch.setattr("training.shelves.bucket.Bucket.download", read)
        watch()
    assert not Finding.objects.exists()


def test_an_object_that_is_cut_is_noticed(bucket: TestBucket, version: ModelVersion, backup: Backup) -> None:
    watch()
    assert not Finding.objects.exists()
    bucket.write(f"{version.path}/features.pkl", bucket.read(f"{version.path}/features.pkl")[:-1])
    watch_twice()
    assert [row.code for row in Finding.objects.current()] == [Code.VERSION_DAMAGED]


def test_a_storage_that_cannot_be_reached_says_nothing_of_the_files(
    version: ModelVersion, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("The object storage does not answer.")

    monkeypatch.setattr(artifacts, "files_of", fail)
    upkeep.verify_changed()
    version.refresh_from_db()
    assert version.verification_error == ""


def test_files_that_vanish_are_noticed_without_a_web_process(version: ModelVersion, backup: Backup) -> None:
    shutil.rmtree(artifacts.directory_of(version))
    watch()
    assert repairs.is_due()
    assert repairs.repair_active_version() == backup
    assert Finding.objects.get(code=Code.FILES_MISSING).is_mended


def test_a_web_process_serves_it_again(
    version: ModelVersion, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(artifacts.directory_of(version))
    assert predictor.current().failure is not None
    repairs.repair_active_version()
    monkeypatch.setattr(predictor, "RETRY_AFTER", 0)
    state = predictor.current()
    assert (state.failure, state.loaded and state.loaded.version_id) == (None, version.pk)


def test_the_damaged_files_are_kept_aside(version: ModelVersion, backup: Backup, media_root: Path) -> None:
    directory = artifacts.directory_of(version)
    cut(directory)
    damaged = (directory / "features.pkl").read_bytes()
    repairs.repair_active_version()
    (aside,) = media_root.glob("model_versions/.damaged-*")
    assert (aside / "features.pkl").read_bytes() == damaged


def test_a_backup_that_does_not_verify_is_passed_over(version: ModelVersion, backup: Backup) -> None:
    newer = backups.create_backup(kind=Backup.Kind.MANUAL)
    (artifacts.directory_of(newer) / "features.pkl").write_bytes(b"x")
    cut(artifacts.directory_of(version))
    assert repairs.repair_active_version() == backup
    newer.refresh_from_db()
    assert "features.pkl" in newer.verification_error


def test_without_a_backup_that_holds_it_it_is_told_and_left(
    version: ModelVersion, caplog: pytest.LogCaptureFixture
) -> None:
    cut(artifacts.directory_of(version))
    assert backups.create_backup(kind=Backup.Kind.MANUAL).model_version is None
    notice(version)
    for _ in range(3):
        assert repairs.repair_active_version() is None
    assert caplog.messages.count(f"No backup holds {version}: activate another version") == 1
    assert Finding.objects.current().get().code == Code.VERSION_DAMAGED
    assert artifacts.directory_of(version).is_dir()


def test_what_verifies_again_is_left_as_it_is(
    version: ModelVersion, backup: Backup, media_root: Path
) -> None:
    ModelVersion.objects.update(verification_error="an older program's libraries could not read it")
    watch()
    assert repairs.is_due()
    assert repairs.repair_active_version() is None
    version.refresh_from_db()
    assert version.verification_error == ""
    assert not list(media_root.glob("model_versions/.damaged-*"))


def test_only_what_serves_and_only_one_node(version: ModelVersion, backup: Backup) -> None:
    ModelVersion.objects.update(is_active=False, verification_error="truncated")
    watch()
    assert not repairs.is_due()
    assert repairs.repair_active_version() is None
    ModelVersion.objects.update(is_active=True)
    nodes.leave()
    assert not repairs.is_due()


def test_a_storage_that_does_not_answer_is_no_damage(
    version: ModelVersion, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise StorageError("The object storage does not answer.")

    cut(artifacts.directory_of(version))
    monkeypatch.setattr(artifacts, "_expected", fail)
    assert repairs.repair_active_version() is None
    version.refresh_from_db()
    assert version.verification_error == ""


def test_in_either_storage(each_storage: TestBucket | None) -> None:
    approved_records()
    version = trained_version(is_active=True)
    before, backup = predictions(version), backups.create_backup(kind=Backup.Kind.MANUAL)
    artifacts.set_aside(version)
    assert repairs.repair_active_version() == backup
    assert identical(predictions(version), before)


PASSED = [
    "repair.verified",
    "restore.set_aside",
    "restore.model_file",
    *("model_versions.begun", "model_versions.filled", "model_versions.sealed", "model_versions.manifest"),
    *("model_versions.signed", "model_versions.renamed", "model_versions.durable"),
    "repair.written",
    "repair.claimed",
]


@pytest.mark.parametrize("point", PASSED)
@pytest.mark.django_db(transaction=True)
def test_killed_anywhere_it_is_damaged_or_sound_and_the_next_one_ends_it(
    version: ModelVersion, backup: Backup, point: str
) -> None:
    assert point in POINTS
    before = predictions(version)
    cut(artifacts.directory_of(version))
    notice(version)
    with armed(f"{point}=crash"), pytest.raises(Crash):
        repairs.repair_active_version()
    row = ModelVersion.objects.get()
    assert row.verification_error
    assert Finding.objects.current().exists()
    repairs.repair_active_version()
    row.refresh_from_db()
    assert row.verification_error == ""
    assert identical(predictions(row), before)
    assert Finding.objects.get().is_mended
    assert not Finding.objects.current().exists()


def test_a_restore_beside_it_finds_the_files_there(version: ModelVersion, backup: Backup) -> None:
    cut(artifacts.directory_of(version))
    repairs.repair_active_version()
    verified_at = timezone.now()
    assert restoring.restore_backup(backup=backup).version == version
    version.refresh_from_db()
    assert version.verified_at is not None
    assert version.verified_at > verified_at
    assert not Delivery.objects.filter(event="health.alert").exists()
