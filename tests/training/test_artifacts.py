"""Signed directories and their rows: published whole or not at all, verified before use, never lost."""

import errno
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import BackupFactory, VersionFactory
from training import artifacts
from training.errors import BackupError, NotAllowedNowError, StorageError, UnservableVersionError
from training.ml.held_out import write_held_out
from training.ml.records import TARGETS
from training.models import Backup, ModelVersion
from training.shelves.ownership import MARK

pytestmark = pytest.mark.django_db

FILES = {"features.pkl": b"features" * 50, "twin.pkl": b"twin"}
RECORDS = pd.DataFrame(
    {"anomaly_id": ["A"]}
    | {f"{target}_score": [1.5] for target in TARGETS}
    | {f"{target}_suggested": [2] for target in TARGETS}
)


def publish(name: str = "version_1", model_class: type[artifacts.Stored] = ModelVersion) -> Path:
    with artifacts.publish(model_class, name, facts={"rows": 3}) as directory:
        for file, content in FILES.items():
            (directory / file).write_bytes(content)
    return directory.with_name(name)


def stored_version(name: str = "version_1", **values: Any) -> ModelVersion:
    publish(name)
    manifest = artifacts.read_back(ModelVersion, name)
    version: ModelVersion = VersionFactory.create(
        name=name, digest=manifest.digest, size_bytes=manifest.size_bytes, **values
    )
    return version


def names_in(root: Path) -> list[str]:
    return sorted(path.name for path in root.rglob("*") if path.name != MARK)


def age(path: Path, hours: float) -> None:
    moment = time.time() - hours * 3600
    os.utime(path, (moment, moment))


# --- Names -------------------------------------------------------------------------------------


def test_a_row_s_directory_is_a_child_of_its_root(media_root: Path) -> None:
    version, backup = VersionFactory.build(name="version_1"), BackupFactory.build(name="backup_1")

    assert artifacts.directory_of(version) == media_root / "model_versions" / "version_1"
    assert artifacts.directory_of(backup) == media_root / "model_backups" / "backup_1"


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../model_versions/version_1", "/etc", "a/b", "a\\b", "..\\a", ".tmp-x", ".damaged-x",
        "a\0", "a\n", "a b", "é", "~", "%2e%2e", "a" * 101, "..%2f..", "a/..", "./a", "-rf", "\ud800",
    ],
)  # fmt: skip
def test_a_path_is_no_name(name: str) -> None:
    with pytest.raises(UnservableVersionError, match="is not a name of model_versions"):
        artifacts.directory_of(ModelVersion(name=name))
    with pytest.raises(BackupError, match="is not a name of model_backups"):
        artifacts.verify(Backup(name=name))


def test_a_name_that_is_linked_elsewhere_is_refused(media_root: Path) -> None:
    version = stored_version()
    directory = artifacts.directory_of(version)
    directory.rename(media_root / "elsewhere")
    directory.symlink_to(media_root / "elsewhere")

    with pytest.raises(UnservableVersionError, match="'version_1' is not a name of model_versions"):
        artifacts.verify(version)


def test_a_root_that_is_linked_elsewhere_is_the_operator_s_choice(media_root: Path, tmp_path: Path) -> None:
    (tmp_path / "large_disk").mkdir()
    (media_root / "model_versions").symlink_to(tmp_path / "large_disk")

    version = stored_version()

    assert artifacts.verify(version).path == tmp_path / "large_disk" / "version_1"


# --- Publishing --------------------------------------------------------------------------------


def test_a_published_directory_reads_back(media_root: Path) -> None:
    path = publish()

    manifest = artifacts.read_back(ModelVersion, "version_1")
    assert path == manifest.path == media_root / "model_versions" / "version_1"
    assert {name: manifest.read(name) for name in manifest.files} == FILES
    assert (manifest.kind, manifest.facts) == ("model_versions", {"rows": 3})
    assert names_in(media_root / "model_versions") == [
        "features.pkl",
        "manifest.json",
        "twin.pkl",
        "version_1",
    ]


def test_facts_may_be_filled_while_the_files_are_written() -> None:
    facts: dict[str, Any] = {}
    with artifacts.publish(ModelVersion, "version_1", facts=facts):
        facts["libraries"] = {"numpy": "2"}

    assert artifacts.read_back(ModelVersion, "version_1").facts == {"libraries": {"numpy": "2"}}


def test_an_error_of_the_block_leaves_nothing(media_root: Path) -> None:
    def interrupted() -> None:
        with artifacts.publish(ModelVersion, "version_1", facts={}) as directory:
            (directory / "features.pkl").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert names_in(media_root) == ["model_versions"]


def test_a_taken_name_is_refused_and_kept() -> None:
    publish()
    before = artifacts.read_back(ModelVersion, "version_1")

    with pytest.raises(OSError, match="not empty"):
        publish()

    assert artifacts.read_back(ModelVersion, "version_1") == before


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail_at(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, nth: int, *, error: OSError = FULL
) -> list[int]:
    """Let the nth call of `owner.name` raise; the counter of the calls that were made."""
    calls, real = [0], getattr(owner, name)

    def failing(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == nth:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)
    return calls


@pytest.mark.parametrize(
    ("owner", "name", "nth"),
    [
        (os, "mkdir", 1),  # the temporary directory
        (Path, "open", 1),  # features.pkl of the block
        (Path, "open", 2),
        (Path, "open", 3),  # reading it for its digest
        (Path, "open", 5),  # the manifest
        (os, "fsync", 1),
        (os, "fsync", 2),
        (os, "fsync", 3),
        (os, "fsync", 4),
        (Path, "rename", 1),
    ],
)
def test_a_full_disk_publishes_nothing_and_harms_nothing(
    monkeypatch: pytest.MonkeyPatch, media_root: Path, owner: object, name: str, nth: int
) -> None:
    publish("version_0")
    before = artifacts.read_back(ModelVersion, "version_0")

    with monkeypatch.context() as patch:
        calls = fail_at(patch, owner, name, nth)
        with pytest.raises(OSError, match="No space left"):
            publish("version_1")
    assert calls[0] >= nth

    assert sorted(path.name for path in (media_root / "model_versions").iterdir()) == ["version_0"]
    assert artifacts.read_back(ModelVersion, "version_0") == before
    publish("version_1")


def test_a_name_is_reserved_once() -> None:
    VersionFactory.create(name="version_1")
    publish("version_2")

    names = [f"version_{n}" for n in range(1, 9)]
    with (
        artifacts.reserved(ModelVersion, names) as first,
        artifacts.reserved(ModelVersion, names) as second,
    ):
        assert (first, second) == ("version_3", "version_4")
        publish(first)

    assert artifacts.read_back(ModelVersion, "version_3").facts == {"rows": 3}
    with artifacts.reserved(ModelVersion, names) as third:
        assert third == "version_4"


# --- Verifying ---------------------------------------------------------------------------------


def test_verifying_tells_the_row() -> None:
    version = stored_version(verification_error="was damaged")
    before = timezone.now()

    artifacts.verify(version)

    row = ModelVersion.objects.get(pk=version.pk)
    assert row.verification_error == version.verification_error == ""
    assert row.verified_at == version.verified_at
    assert row.verified_at is not None
    assert row.verified_at >= before


def test_what_does_not_verify_is_quarantined_and_free_again_once_it_does(media_root: Path) -> None:
    version = stored_version()
    path = media_root / "model_versions" / "version_1" / "features.pkl"
    path.write_bytes(b"Features" * 50)

    with pytest.raises(UnservableVersionError, match=r"^'features.pkl' in version_1 was altered\.$"):
        artifacts.verify(version)
    row = ModelVersion.objects.get(pk=version.pk)
    assert (row.verification_error, row.is_usable) == ("'features.pkl' in version_1 was altered.", False)
    assert path.read_bytes() == b"Features" * 50

    path.write_bytes(FILES["features.pkl"])
    artifacts.verify(version)
    assert ModelVersion.objects.get(pk=version.pk).is_usable is True


def test_a_genuine_directory_in_another_s_place_is_refused(media_root: Path) -> None:
    version = stored_version("version_1")
    with artifacts.publish(ModelVersion, "version_2", facts={"rows": 4}):
        pass
    root = media_root / "model_versions"
    (root / "version_1").rename(root / "aside")
    (root / "version_2").rename(root / "version_1")

    with pytest.raises(UnservableVersionError, match="not what was stored under that name"):
        artifacts.verify(version)


def test_keys_rotate(settings: Settings) -> None:
    version = stored_version()
    old = settings.ARTIFACT_SIGNING_KEYS[0]

    settings.ARTIFACT_SIGNING_KEYS = ["newer", old]
    assert artifacts.verify(version).digest == version.digest
    settings.ARTIFACT_SIGNING_KEYS = ["newer"]
    with pytest.raises(UnservableVersionError, match="signature"):
        artifacts.verify(version)


def test_a_backup_s_refusal_is_a_backup_error() -> None:
    backup = BackupFactory.create(name="backup_1")

    with pytest.raises(BackupError, match="No such file"):
        artifacts.verify(backup)

    assert "No such file" in Backup.objects.get(pk=backup.pk).verification_error


def test_removed_files_are_no_damage() -> None:
    version = VersionFactory.create(name="version_1", pruned_at=timezone.now())

    with pytest.raises(UnservableVersionError, match=r"^The files of version_1 were removed on \d{4}-"):
        artifacts.verify(version)

    assert ModelVersion.objects.get(pk=version.pk).verification_error == ""


def test_verifying_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    version = stored_version()

    with django_assert_num_queries(1):
        artifacts.verify(version)


# --- Held-out records --------------------------------------------------------------------------


def measured_version() -> ModelVersion:
    with artifacts.publish(ModelVersion, "version_1", facts={}) as directory:
        (directory / "features.pkl").write_bytes(b"features")
        write_held_out(directory, RECORDS)
    manifest = artifacts.read_back(ModelVersion, "version_1")
    version: ModelVersion = VersionFactory.create(name="version_1", digest=manifest.digest)
    return version


def test_the_held_out_records_are_read_without_the_other_files(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    version = measured_version()
    (artifacts.directory_of(version) / "features.pkl").unlink()

    with django_assert_num_queries(0):
        assert artifacts.has_held_out(version) is True
        pd.testing.assert_frame_equal(artifacts.load_held_out(version), RECORDS)


def test_an_older_version_has_no_held_out_records() -> None:
    assert artifacts.has_held_out(stored_version()) is False
    assert artifacts.has_held_out(VersionFactory.create(name="without_files")) is False
    assert artifacts.has_held_out(VersionFactory.create(pruned_at=timezone.now())) is False


def test_of_object_storage_it_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    version, asked = measured_version(), list[str]()

    def files(stored: artifacts.Stored) -> dict[str, object]:
        asked.append(stored.name)
        if len(asked) == 1:
            raise StorageError("The storage does not answer.")
        return {"held_out.csv.gz": object()}

    monkeypatch.setattr(artifacts, "is_local", lambda: False)
    monkeypatch.setattr(artifacts, "files_of", files)
    assert [artifacts.has_held_out(version) for _ in range(3)] == [False, True, True]
    assert asked == ["version_1", "version_1"]
    pd.testing.assert_frame_equal(artifacts.load_held_out(version), RECORDS)


def test_altered_held_out_records_are_not_read() -> None:
    version = measured_version()
    write_held_out(artifacts.directory_of(version), RECORDS.assign(anomaly_id="B"))

    with pytest.raises(UnservableVersionError, match="was altered"):
        artifacts.load_held_out(version)

    assert "was altered" in ModelVersion.objects.get(pk=version.pk).verification_error


def test_held_out_records_of_another_version_are_not_read() -> None:
    version = measured_version()
    version.digest = "1" * 64

    with pytest.raises(UnservableVersionError, match="not what was stored under that name"):
        artifacts.load_held_out(version)


# --- Removing and sweeping ---------------------------------------------------------------------


def test_removing_keeps_the_row(media_root: Path) -> None:
    version = stored_version()

    artifacts.remove(version)
    artifacts.remove(version)  # whoever comes second finds it done

    assert ModelVersion.objects.get(pk=version.pk).pruned_at is not None
    assert version.pruned_at is not None
    assert names_in(media_root) == ["model_versions"]


def test_the_active_version_is_not_removed() -> None:
    version = stored_version(is_active=True)

    with pytest.raises(NotAllowedNowError, match="version_1 is the active version"):
        artifacts.remove(version)

    assert artifacts.verify(version).digest == version.digest
    assert ModelVersion.objects.get(pk=version.pk).pruned_at is None


def test_the_row_is_told_before_the_files_go(monkeypatch: pytest.MonkeyPatch) -> None:
    version = stored_version()

    def killed(path: Path, **_options: bool) -> None:
        assert ModelVersion.objects.get(pk=version.pk).pruned_at is not None
        raise KeyboardInterrupt

    monkeypatch.setattr("training.shelves.directories.shutil.rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        artifacts.remove(version)
    monkeypatch.undo()

    age(artifacts.directory_of(version), hours=2)
    assert artifacts.sweep() == ["version_1"]


def test_the_sweep_takes_what_crashes_left_and_nothing_else(media_root: Path) -> None:
    kept = stored_version("version_1")
    publish("version_2")  # no row: killed before it
    publish("backup_2", Backup)  # whole: on a new machine all of them are without a row at first
    (media_root / "model_backups" / "backup_3").mkdir()
    root = media_root / "model_versions"
    for name in (".tmp-old", ".tmp-new", ".damaged-version_0-1", "version_3"):
        (root / name).mkdir()
    (root / "note.txt").touch()
    (root / "link").symlink_to(media_root)
    for path in (*root.iterdir(), *(media_root / "model_backups").iterdir()):
        if path.name not in {".tmp-new", "version_3", "link"}:
            age(path, hours=1.1)

    assert artifacts.orphans(Backup) == ["backup_3"]
    assert artifacts.unknown_backups() == ["backup_2"]
    assert artifacts.unknown_versions() == ["version_2"]
    assert sorted(artifacts.sweep()) == [".tmp-old", "backup_3"]

    assert sorted(path.name for path in root.iterdir()) == [
        ".damaged-version_0-1", ".tmp-new", "link", "note.txt", "version_1", "version_2", "version_3",
    ]  # fmt: skip
    assert artifacts.verify(kept).digest == kept.digest
    assert sorted(artifacts.sweep(grace=timedelta())) == [".tmp-new", "version_3"]


def test_sweeping_an_empty_installation_is_nothing() -> None:
    assert artifacts.sweep() == []


def test_what_stands_in_the_way_is_set_aside_whole(media_root: Path) -> None:
    version = stored_version()

    aside = artifacts.set_aside(version)

    assert aside is not None
    assert aside.startswith(".damaged-version_1-")
    assert (media_root / "model_versions" / aside / "features.pkl").read_bytes() == FILES["features.pkl"]
    assert artifacts.set_aside(version) is None


def test_storage_is_counted_from_the_rows(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    assert artifacts.storage_used() == {"model_versions": 0, "model_backups": 0}
    VersionFactory.create(size_bytes=5)
    VersionFactory.create(size_bytes=7, pruned_at=timezone.now())
    BackupFactory.create_batch(2, size_bytes=10)

    with django_assert_num_queries(2):
        assert artifacts.storage_used() == {"model_versions": 5, "model_backups": 20}
