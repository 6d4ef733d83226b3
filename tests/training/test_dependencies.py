"""Real faults of what the product stands on: a full disk, a read-only one, a storage that hangs, no Redis."""

import errno
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from django.db import connection
from pytest_django import Settings

from anomalyproject.env import env_cache
from tests.queue_processes import wait_until
from tests.storing import TestBucket
from training import dependencies, outages, troubles
from training.findings import Code

pytestmark = pytest.mark.django_db
HOST = socket.gethostname()


def seen() -> list[tuple[str, str, str]]:
    return [(each.code.value, each.subject, str(each.facts["reason"])) for each in troubles.live()]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "FRESH", 0.0)
    monkeypatch.setattr(dependencies, "_attempts", {})
    monkeypatch.setattr(dependencies, "PATIENCE", 30)  # on a machine that is busy


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB; only where the test may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # noqa: S607  # of the system


def fill(disk: Path) -> Path:
    path = disk / "ballast"
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert shutil.disk_usage(disk).free == 0
    return path


def remount(disk: Path, *, writable: bool) -> None:
    mode = f"remount,{'rw' if writable else 'ro'}"
    subprocess.run(["mount", "-o", mode, str(disk)], check=True)  # noqa: S607  # of the system


def test_where_nothing_is_wrong_nothing_is_seen(bucket: TestBucket, media_root: Path) -> None:
    assert seen() == []
    assert list(dependencies.bucket_troubles()) == []
    assert list(media_root.iterdir()) == []
    assert bucket.listing() == []


# --- Media and storage -------------------------------------------------------------------------


def test_media_that_are_full_or_read_only(small_disk: Path, settings: Settings) -> None:
    settings.MEDIA_ROOT = small_disk
    assert seen() == []
    ballast = fill(small_disk)
    assert seen() == [("storage_read_only", HOST, "No space left on device")]
    ballast.unlink()
    assert seen() == []
    remount(small_disk, writable=False)
    assert seen() == [("storage_read_only", HOST, "Read-only file system")]
    remount(small_disk, writable=True)
    assert seen() == []


def test_media_that_are_not_there(media_root: Path) -> None:
    shutil.rmtree(media_root)
    assert seen() == [("storage_unreachable", HOST, "No such file or directory")]


@pytest.mark.parametrize("kind", ["model_versions", "model_backups", "imports"])
def test_a_directory_that_is_a_file(kind: str, media_root: Path) -> None:
    (media_root / kind).write_text("x")
    reason = f"{media_root / kind}: Not a directory"
    assert seen() == [("storage_read_only", f"{HOST} {kind}", reason)]
    (media_root / kind).unlink()
    (media_root / kind).mkdir()
    assert seen() == []
    assert list((media_root / kind).iterdir()) == []


def test_a_directory_that_leads_nowhere(media_root: Path) -> None:
    (media_root / "model_backups").symlink_to("gone")
    reason = f"{media_root / 'model_backups'}: No such file or directory"
    assert seen() == [("storage_unreachable", f"{HOST} model_backups", reason)]


def test_a_directory_on_a_disk_of_its_own(small_disk: Path, media_root: Path) -> None:
    (media_root / "model_versions").symlink_to(small_disk)
    remount(small_disk, writable=False)
    reason = f"{media_root / 'model_versions'}: Read-only file system"
    assert seen() == [("storage_read_only", f"{HOST} model_versions", reason)]
    remount(small_disk, writable=True)
    assert seen() == []


@pytest.mark.parametrize("operation", ["scandir", "open"])
def test_a_directory_that_is_closed_to_us(
    operation: str, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by its permissions: the tests may run as root, who may do everything."""
    closed, original = str(media_root / "model_backups"), getattr(os, operation)
    Path(closed).mkdir()

    def refuse(path: object, *arguments: object) -> object:
        if str(path).startswith(closed):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), closed)
        return original(path, *arguments)

    monkeypatch.setattr(os, operation, refuse)
    assert seen() == [("storage_read_only", f"{HOST} model_backups", f"{closed}: Permission denied")]


def test_what_is_wrong_with_all_is_told_once(small_disk: Path, settings: Settings) -> None:
    settings.MEDIA_ROOT = small_disk
    (small_disk / "model_backups").mkdir()
    remount(small_disk, writable=False)
    assert seen() == [("storage_read_only", HOST, "Read-only file system")]
    remount(small_disk, writable=True)


def test_the_copies_of_an_object_storage(bucket: TestBucket, media_root: Path) -> None:
    (media_root / "cache").write_text("x")
    places = [media_root / "cache" / kind for kind in ("model_versions", "model_backups")]
    assert [reason for _, _, reason in seen()] == [f"{place}: Not a directory" for place in places]


def test_several_directories_that_hang_are_waited_for_together(
    media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("model_versions", "model_backups", "imports"):
        (media_root / kind).mkdir()
    released, original = threading.Event(), tempfile.NamedTemporaryFile

    def hang(*, dir: Path, prefix: str) -> object:  # noqa: A002  # its name there
        if dir != media_root:
            released.wait(30)
        return original(dir=dir, prefix=prefix)

    monkeypatch.setattr(dependencies, "PATIENCE", 0.5)
    monkeypatch.setattr(tempfile, "NamedTemporaryFile", hang)
    begin = time.monotonic()
    assert [code for code, _, _ in seen()] == ["storage_unreachable"] * 3
    assert time.monotonic() - begin < 1.4
    released.set()


def test_a_disk_that_hangs_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the same attempt a second thread is never started, and its answer counts when it comes."""
    hanging, tried = threading.Event(), []

    def hang(_descriptor: int) -> None:
        tried.append(1)
        assert hanging.wait(30)

    monkeypatch.setattr(dependencies, "PATIENCE", 0.05)
    monkeypatch.setattr(os, "fsync", hang)
    for _ in range(3):
        (found,) = troubles.live()
        assert (found.code, found.sentence) == (
            Code.STORAGE_UNREACHABLE,
            f"{HOST} cannot reach the storage of models and backups: no answer in time",
        )
    assert tried == [1]
    hanging.set()
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
    wait_until(lambda: seen() == [])


def test_since_is_when_it_was_first_seen(media_root: Path) -> None:
    shutil.rmtree(media_root)
    first, second = troubles.live(), troubles.live()
    assert first[0].since == second[0].since
    media_root.mkdir()
    assert troubles.live() == []
    shutil.rmtree(media_root)
    assert troubles.live()[0].since > first[0].since


def test_what_was_tried_lately_is_not_tried_again(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(troubles, "FRESH", 60.0)
    assert seen() == []
    shutil.rmtree(media_root)
    assert seen() == []


def test_an_object_storage_that_does_not_answer(bucket: TestBucket, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = settings.STORAGES["artifacts"]["OPTIONS"] | {"endpoint_url": endpoint}
        settings.STORAGES = settings.STORAGES | {
            "artifacts": settings.STORAGES["artifacts"] | {"OPTIONS": options}
        }
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(dependencies, "PATIENCE", 0.2)
            assert seen() == [("storage_unreachable", f"{HOST} bucket", dependencies.NO_ANSWER)]


def test_an_object_storage_that_refuses(bucket: TestBucket, settings: Settings) -> None:
    bucket.client.delete_bucket(Bucket=bucket.name)
    ((code, subject, reason),) = seen()
    assert (code, subject) == ("storage_unreachable", f"{HOST} bucket")
    assert reason.startswith("The object storage refuses: ")


def test_an_object_storage_that_takes_nothing(bucket: TestBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "The object storage refuses: Access Denied")

    monkeypatch.setattr("training.shelves.bucket.Bucket.write", refuse)
    (found,) = dependencies.bucket_troubles()
    assert (found.code, found.subject) == (Code.STORAGE_READ_ONLY, f"{HOST} bucket")
    assert found.facts["reason"] == "The object storage refuses: Access Denied"


# --- The database ------------------------------------------------------------------------------


@pytest.fixture
def sqlite_on(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = small_disk / "db.sqlite3"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (x)")
    database.close()
    monkeypatch.setitem(connection.settings_dict, "ENGINE", "django.db.backends.sqlite3")
    monkeypatch.setitem(connection.settings_dict, "NAME", str(path))
    monkeypatch.setattr(dependencies, "holds_lock", lambda: False)  # the test's own transaction is elsewhere
    return path


def test_a_database_on_a_full_or_read_only_disk(sqlite_on: Path, small_disk: Path) -> None:
    assert seen() == []
    ballast = fill(small_disk)
    ((code, _, reason),) = seen()
    assert code == "database_read_only"
    assert reason in {"database or disk is full", "disk I/O error"}
    ballast.unlink()
    assert seen() == []
    remount(small_disk, writable=False)
    ((code, _, reason),) = seen()
    assert code == "database_read_only"
    assert reason in {"attempt to write a readonly database", "unable to open database file"}
    remount(small_disk, writable=True)
    assert seen() == []


@contextmanager
def locked(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


def test_a_database_that_is_busy_for_a_moment_can_be_written(sqlite_on: Path) -> None:
    lock = locked(sqlite_on)
    lock.__enter__()
    timer = threading.Timer(0.3, lock.__exit__, (None, None, None))
    timer.start()
    assert seen() == []
    timer.join()


def test_a_database_that_stays_locked(sqlite_on: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks first waits no longer than for anything else, who asks next knows; afterwards it is gone."""
    monkeypatch.setattr(dependencies, "LOCKED_AFTER", 1.0)
    monkeypatch.setattr(dependencies, "PATIENCE", 0.2)
    with locked(sqlite_on):
        begin = time.monotonic()
        assert troubles.live() == []
        assert not dependencies.is_writable(max_age=60)
        assert time.monotonic() - begin < 0.9
        wait_until(lambda: bool(list(dependencies.database_read_only(max_age=60))))
        begin = time.monotonic()
        (found,) = troubles.live()
        assert time.monotonic() - begin < 0.9
        assert (found.code, found.subject, found.severity) == (Code.DATABASE_LOCKED, "", 1)
        assert found.sentence.startswith("Nothing could be written to the database for 1 s:")
        assert outages.was_unavailable_within(1)
    wait_until(lambda: troubles.live() == [])
    assert dependencies.is_writable()


@pytest.mark.skipif("connection.vendor != 'postgresql'")
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("default_transaction_read_only=on", "its transactions are read-only"),
        ("temp_file_limit=64kB", "temporary file size exceeds temp_file_limit (64kB)"),
    ],
)
def test_a_postgresql_that_takes_nothing(setting: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", f"-c {setting}")
    assert seen() == [("database_read_only", "", reason)]


# --- The cache ---------------------------------------------------------------------------------


def test_a_redis_that_is_gone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{port}/0")
    settings.CACHES = {"default": env_cache("REDIS_URL", prefix="g")}
    ((code, subject, reason),) = seen()
    assert (code, subject) == ("cache_unreachable", HOST)
    assert "Connection refused" in reason
