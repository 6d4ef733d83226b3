"""Backups hold the models that served and the training set, of one moment, and tell when they do not."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import sleep
from typing import Any

import pandas as pd
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection, connections
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import ApprovedFactory, BackupFactory, UserFactory
from tests.storing import editing, file_of, files_of
from tests.trained import approved_records, trained_version
from tests.training.test_artifacts import FULL, fail_at
from training import artifacts, backups, datafiles, frames, upkeep
from training.errors import BackupError, IncompatibleBackupError
from training.ml import libraries
from training.ml.manifest import sign_directory
from training.models import Anomaly, Backup, ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_storage")]
MANUAL = Backup.Kind.MANUAL
MODEL_FILES = [
    "availability_model.pkl",
    "features.pkl",
    "fiability_model.pkl",
    "neighbours.pkl",
    "process_safety_model.pkl",
    "twin.pkl",
]
CSV_FILES = ["disponibilite.csv", "fiabilite.csv", "process_safty.csv"]


def contents_of(stored: artifacts.Stored) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in files_of(stored)}


def records_of(backup: Backup) -> pd.DataFrame:
    with editing(backup) as directory:
        return pd.concat(datafiles.read_customer_directory(directory))


def resign(backup: Backup, **facts: Any) -> None:
    """Sign what the directory now holds, as only the key's holder can, and tell the row."""
    with editing(backup) as directory:
        signed = json.loads((directory / "manifest.json").read_bytes())["signed"]
        digest = sign_directory(
            directory,
            key=settings.ARTIFACT_SIGNING_KEYS[0],
            kind=signed["kind"],
            facts=signed["facts"] | facts,
        ).digest
    Backup.objects.filter(pk=backup.pk).update(digest=digest)
    backup.refresh_from_db()


# --- Creating ----------------------------------------------------------------------------------


def test_a_backup_holds_the_model_and_the_records(version: ModelVersion) -> None:
    user: User = UserFactory.create()
    before = timezone.now()

    backup = backups.create_backup(kind=MANUAL, user=user)

    assert sorted(contents_of(backup)) == sorted([*MODEL_FILES, *CSV_FILES, "manifest.json"])
    assert {name: contents_of(backup)[name] for name in MODEL_FILES} == {
        name: contents_of(version)[name] for name in MODEL_FILES
    }
    frame = records_of(backup)
    assert frame.to_dict("records") == frames.approved_frame().to_dict("records")
    row = Backup.objects.get()
    assert (row.kind, row.record_count, row.model_version, row.created_by) == (MANUAL, 12, version, user)
    assert row.digest == artifacts.read_back(Backup, row.name).digest
    assert row.size_bytes == sum(map(len, contents_of(backup).values()))
    assert row.name == f"backup_{row.created_at:%Y%m%d_%H%M%S}"
    assert row.verified_at is not None
    assert before <= row.created_at <= row.verified_at


def test_the_facts_tell_the_version_s_row(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)

    facts = artifacts.verify(backup).facts
    assert facts == {
        "created_at": backup.created_at.isoformat(),
        "record_count": 12,
        "model": {
            "id": version.pk,
            "name": "version_1",
            "digest": version.digest,
            "dataset_rows": 12,
            "dataset_fingerprint": version.dataset_fingerprint,
            "created_at": version.created_at.isoformat(),
            "dataset_read_at": version.dataset_read_at.isoformat(),
            "libraries": version.libraries,
            "metrics": {},
            "statistics": version.statistics,
            "comparison": {},
            "facts": artifacts.verify(version).facts,
            "files": MODEL_FILES,
        },
    }


def test_a_backup_stands_alone(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)

    for file in files_of(backup):
        assert not isinstance(file, Path) or file.stat().st_nlink == 1
    ModelVersion.objects.update(is_active=False)
    version.refresh_from_db()
    artifacts.remove(version)
    assert backups.verify_backup(backup=backup).verification_error == ""


def test_only_approved_records_are_held(version: ModelVersion) -> None:
    Anomaly.objects.filter(anomaly_id="T-001").update(status=Anomaly.Status.PENDING)
    Anomaly.objects.filter(anomaly_id="T-002").update(status=Anomaly.Status.REJECTED)

    backup = backups.create_backup(kind=MANUAL)

    frame = records_of(backup)
    assert backup.record_count == 10
    assert set(frame["anomaly_id"]) == {f"T-{n:03d}" for n in range(12)} - {"T-001", "T-002"}


def test_before_the_first_model_the_records_alone_are_held() -> None:
    approved_records(3)

    backup = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)

    assert sorted(contents_of(backup)) == [*CSV_FILES[:2], "manifest.json", CSV_FILES[2]]
    assert (backup.model_version, backup.record_count) == (None, 3)
    assert artifacts.verify(backup).facts["model"] is None
    backups.verify_backup(backup=backup)


def test_an_empty_installation_can_be_backed_up() -> None:
    backup = backups.create_backup(kind=MANUAL)

    assert (backup.record_count, backup.model_version) == (0, None)
    assert backups.verify_backup(backup=backup).verification_error == ""


def test_a_version_without_a_twin_is_held() -> None:
    approved_records(1)
    trained_version(is_active=True, twin=False)

    backup = backups.create_backup(kind=MANUAL)

    assert "twin.pkl" not in contents_of(backup)
    backups.verify_backup(backup=backup)


def test_a_damaged_model_does_not_keep_the_records_from_being_held(version: ModelVersion) -> None:
    file_of(version, "features.pkl").write_bytes(b"damaged")

    backup = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)

    assert sorted(contents_of(backup)) == [*CSV_FILES[:2], "manifest.json", CSV_FILES[2]]
    assert (backup.model_version, backup.record_count) == (None, 12)
    model = artifacts.verify(backup).facts["model"]
    assert (model["id"], model["name"]) == (version.pk, "version_1")
    assert model["missing"].startswith("'features.pkl' in version_1 is truncated: 7 bytes, not ")
    version.refresh_from_db()
    assert version.verification_error == model["missing"]
    backups.verify_backup(backup=backup)


def test_the_cost_does_not_grow_with_the_records(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    approved_records(1)
    trained_version(is_active=True)
    costs = []
    for _ in range(2):
        with django_assert_max_num_queries(24) as queries:  # whose the storage is, before each change of it
            backups.create_backup(kind=MANUAL)
        costs.append(sum("clock_timestamp" not in query["sql"] for query in queries.captured_queries))
        ApprovedFactory.create_batch(2)
        sleep(1)  # a taken second is waited out
    assert costs[0] == costs[1]


@pytest.mark.parametrize("each_storage", ["disk"], indirect=True)
@pytest.mark.parametrize(
    "step",
    [
        (os, "mkdir", 1),
        (os, "mkdir", 2),
        *((Path, "open", nth) for nth in (1, 2, 3, 10, 15, 20)),
        *((os, "fsync", nth) for nth in range(1, 12)),
        (Path, "rename", 1),
        (Path, "replace", 2),
    ],
)
def test_a_full_disk_leaves_no_backup_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, media_root: Path, version: ModelVersion, step: tuple[object, str, int]
) -> None:
    earlier = backups.create_backup(kind=MANUAL)
    before = contents_of(earlier) | contents_of(version)

    with monkeypatch.context() as patch:
        calls = fail_at(patch, *step, error=FULL)
        with pytest.raises(
            BackupError, match=r"^The backup could not be written: No space left on device\.$"
        ):
            backups.create_backup(kind=MANUAL)
    assert calls[0] >= step[2]

    assert list(Backup.objects.values_list("name", flat=True)) == [earlier.name]
    assert [path.name for path in (media_root / "model_backups").iterdir()] == [earlier.name]
    assert contents_of(earlier) | contents_of(version) == before
    backups.verify_backup(backup=earlier)
    assert artifacts.verify(version).digest == version.digest


# --- One moment --------------------------------------------------------------------------------


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """A thread with a database connection of its own."""
    with ThreadPoolExecutor(1) as pool:
        yield pool
        pool.submit(connections.close_all).result()


@pytest.mark.django_db(transaction=True)
def test_a_backup_sees_one_moment_and_holds_no_writer_up(
    monkeypatch: pytest.MonkeyPatch, elsewhere: ThreadPoolExecutor
) -> None:
    approved_records(3)
    real = frames.iter_approved

    def meanwhile(chunk_size: int = 2, *, before: None) -> Iterator[Any]:
        pieces = real(chunk_size, before=before)
        yield next(pieces)
        elsewhere.submit(ApprovedFactory.create, anomaly_id="meanwhile").result(timeout=5)
        elsewhere.submit(Anomaly.objects.filter(anomaly_id="T-002").update, availability_score=5).result(
            timeout=5
        )
        yield from pieces

    monkeypatch.setattr("training.backups.frames.iter_approved", meanwhile)
    expected = frames.approved_frame().to_dict("records")

    backup = backups.create_backup(kind=MANUAL)

    frame = records_of(backup)
    assert frame.to_dict("records") == expected
    assert Anomaly.objects.approved().count() == 4


@pytest.mark.django_db(transaction=True)
def test_after_a_backup_the_connection_writes_again() -> None:
    approved_records(2)

    backups.create_backup(kind=MANUAL)

    assert not connection.in_atomic_block
    ApprovedFactory.create()
    assert backups.create_backup(kind=MANUAL).record_count == 3


@pytest.mark.django_db(transaction=True)
def test_after_a_failed_backup_the_connection_writes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    approved_records(2)
    with monkeypatch.context() as patch:
        fail_at(patch, os, "fsync", 2)
        with pytest.raises(BackupError):
            backups.create_backup(kind=MANUAL)

    ApprovedFactory.create()
    assert backups.create_backup(kind=MANUAL).record_count == 3


# --- Verifying ---------------------------------------------------------------------------------


def test_a_backup_whose_model_needs_other_libraries_is_not_called_damaged(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.nice", lambda _by: 0)
    backup = backups.create_backup(kind=MANUAL)
    Backup.objects.update(verified_at=None)
    libraries.pretend("scikit-learn=1.0.0")
    try:
        with pytest.raises(IncompatibleBackupError, match=r"cannot be loaded here: .* needs 1\.0\.0"):
            backups.verify_backup(backup=backup)
        upkeep.keep_up()
    finally:
        libraries.pretend("")
    row = Backup.objects.get()
    assert (row.verification_error, row.verified_at is not None) == ("", True)


def test_a_sound_backup_verifies(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)
    Backup.objects.update(verified_at=None, verification_error="was damaged")

    verified = backups.verify_backup(backup=backup)

    row = Backup.objects.get()
    assert verified == row
    assert (row.verification_error, row.verified_at) == ("", verified.verified_at)
    assert row.verified_at is not None


@pytest.mark.parametrize("name", [*MODEL_FILES, *CSV_FILES, "manifest.json"])
def test_a_backup_with_a_damaged_file_is_quarantined(version: ModelVersion, name: str) -> None:
    backup = backups.create_backup(kind=MANUAL)
    path = file_of(backup, name)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    with pytest.raises(BackupError) as refusal:
        backups.verify_backup(backup=backup)
    row = Backup.objects.get()
    assert (row.verification_error, row.is_usable) == (str(refusal.value), False)

    path.write_bytes(content)
    assert backups.verify_backup(backup=row).is_usable is True


def test_records_that_are_fewer_than_signed_are_found(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)
    resign(backup, record_count=13)

    with pytest.raises(BackupError, match=rf"^{backup.name} should hold 13 records, and holds 12\.$"):
        backups.verify_backup(backup=backup)

    assert Backup.objects.get().is_usable is False


def test_records_that_do_not_parse_are_found(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)
    file_of(backup, "fiabilite.csv").write_text("no header\n")
    resign(backup)

    with pytest.raises(BackupError, match=rf"^The records of {backup.name} cannot be read: "):
        backups.verify_backup(backup=backup)


def test_a_model_of_another_library_is_found(version: ModelVersion) -> None:
    backup = backups.create_backup(kind=MANUAL)
    model = artifacts.verify(backup).facts["model"]
    resign(backup, model=model | {"facts": model["facts"] | {"scikit-learn": "0.1"}})

    with pytest.raises(BackupError, match=r"cannot be loaded here: .* written with scikit-learn 0\.1;"):
        backups.verify_backup(backup=backup)


def test_a_removed_backup_does_not_verify() -> None:
    backup = BackupFactory.create(pruned_at=timezone.now())

    with pytest.raises(BackupError, match="were removed on"):
        backups.verify_backup(backup=backup)

    assert Backup.objects.get().verification_error == ""
