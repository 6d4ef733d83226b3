"""What a power cut leaves: everything is on the disk before it can be found under its name.

Killing a process cannot show it, since the kernel keeps what was written. So the calls themselves are
watched: files, manifest and directory are synced, then renamed, then the parent is synced, and the row comes
last.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.factories import ApprovedFactory
from training import artifacts, backups
from training.errors import BackupError
from training.models import Backup, ModelVersion
from training.shelves import local_shelf_of
from training.shelves.directories import DirectoryShelf

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks into /proc"),
]

FILES = ("features.pkl", "notes.csv")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is synced and renamed, in order."""
    made: list[str] = []
    sync, rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        made.append(f"sync {Path(f'/proc/self/fd/{descriptor}').readlink().name}")
        sync(descriptor)

    def renamed(source: Any, target: Any, **options: Any) -> None:
        made.append(f"rename {Path(source).name} {Path(target).name}")
        rename(source, target, **options)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", renamed)
    return made


def publish(name: str) -> str:
    """The temporary directory's name."""
    with artifacts.publish(ModelVersion, name, facts={}) as directory:
        for file in FILES:
            (directory / file).write_bytes(b"content")
    return directory.name


def test_a_version_is_durable_before_it_has_its_name_and_its_name_is_durable_too(calls: list[str]) -> None:
    publish("version_0")  # makes the root
    calls.clear()
    temporary = publish("version_1")
    assert calls == [
        *(f"sync {file}" for file in FILES),
        "sync manifest.json",
        f"sync {temporary}",
        f"rename {temporary} version_1",
        "sync model_versions",
    ]


def test_the_root_s_own_name_is_durable(calls: list[str], media_root: Path) -> None:
    artifacts.require_own_storage()  # which makes the media root, and marks it
    calls.clear()
    publish("version_0")
    assert calls[0] == f"sync {media_root.name}"


def test_what_is_moved_aside_stays_there(calls: list[str]) -> None:
    publish("version_0")
    calls.clear()
    aside = artifacts.set_aside(ModelVersion(name="version_0"))
    assert calls == [f"rename version_0 {aside}", "sync model_versions"]


def test_a_backup_is_durable_before_its_row(calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    ApprovedFactory.create()
    create = Backup.objects.create

    def noted(**values: Any) -> Backup:
        calls.append("row")
        return create(**values)

    monkeypatch.setattr(Backup.objects, "create", noted)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    files = sorted(path.name for path in artifacts.directory_of(backup).iterdir())
    kept = [name for name in files if name != "manifest.json"]
    steps = calls[calls.index(f"sync {kept[0]}") :]
    temporary = steps[len(kept) + 1].removeprefix("sync ")
    assert steps == [
        *(f"sync {name}" for name in kept),
        "sync manifest.json",
        f"sync {temporary}",
        f"rename {temporary} {backup.name}",
        "sync model_backups",
        "row",
    ]


def test_a_new_signature_replaces_the_old_one_at_once(calls: list[str]) -> None:
    publish("version_0")
    calls.clear()
    shelf = local_shelf_of(ModelVersion.DIRECTORY)
    shelf.write_manifest("version_0", b"{}\n")
    assert calls == ["sync manifest.json", "sync version_0"]


def test_a_disk_that_keeps_something_else_is_found_before_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    ApprovedFactory.create()
    put = DirectoryShelf.put

    def damaged(shelf: DirectoryShelf, directory: Path, name: str) -> None:
        put(shelf, directory, name)
        file = shelf.directory(name) / "fiabilite.csv"
        content = file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))

    monkeypatch.setattr(DirectoryShelf, "put", damaged)
    with pytest.raises(BackupError, match=r"'fiabilite\.csv' in backup_[0-9_]+ was altered"):
        backups.create_backup(kind=Backup.Kind.MANUAL)
    assert not Backup.objects.exists()
