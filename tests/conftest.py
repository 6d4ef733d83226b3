"""What every test stands on: a database file that other processes can open, and files of its own."""

import logging
import math
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as django_settings
from django.db import connections
from django.utils import translation
from pytest_django import Settings

from anomalyproject.env import env_storage
from predictions import predictor
from predictions.predictor import Predictor
from tests.queue_processes import MARK, Queue, database_url, running
from tests.storing import KEYS, PREFIX, TestBucket
from training import database, outages, troubles
from training.api import known_callers

# These ask for it, too, but are of permissions, files, forms and processes: another says nothing new.
ANY_DATABASE_DOES = (
    "fuzzing/",
    "predictions/test_foreign_files.py",
    "test_damaged_storage.py",
    "test_every_route.py",
    "test_logs_of_processes.py",
    "test_secrets_stay.py",
    "test_traversals.py",
    "training/admin/test_access.py",
    "training/admin/test_roles.py",
    "training/api/test_bodies.py",
    "training/api/test_guide_errors.py",
    "training/api/test_methods.py",
    "training/api/v1/test_permissions.py",
    "training/backups/test_tampering.py",
    "training/shelves/",
    "training/test_doctor_command.py",
    "training/test_evaluate_command.py",
    "training/test_launcher.py",
    "training/test_library_mix.py",
    "training/test_repairs.py",
    "training/test_run_quality_checks_command.py",
    "training/test_sender.py",
    "training/test_supervisor.py",
    "training/test_two_installations.py",
)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what asks for the database, and may be answered differently by another one."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        asks = item.get_closest_marker("django_db") or {"db", "transactional_db"} & set(fixtures)
        if asks and _depends_on_the_database(item):
            item.add_marker("database")


def _depends_on_the_database(item: pytest.Item) -> bool:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    if parameters.get("each_storage") == "objects":
        return False
    return not item.nodeid.startswith(tuple(f"tests/{part}" for part in ANY_DATABASE_DOES))


def pytest_configure() -> None:
    """Static files are found when they are asked for: each test's client would list them all first."""
    django_settings.WHITENOISE_AUTOREFRESH = True


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    tmp_path_factory: pytest.TempPathFactory, django_db_modify_db_settings_parallel_suffix: None
) -> None:
    """SQLite in a file instead of in memory: as in production, and reachable for real queue processes.

    On PostgreSQL each test process has a database of its own.
    """
    database = connections["default"].settings_dict
    if database["ENGINE"] == "django.db.backends.sqlite3":
        database["TEST"]["NAME"] = str(tmp_path_factory.mktemp("database") / "test.sqlite3")


@pytest.fixture(scope="session", autouse=True)
def _database_clock(django_db_setup: None, django_db_blocker: Any) -> None:
    """Tests that count queries count none for the database's clock: it has been read, and stays so."""
    with django_db_blocker.unblock():
        database.database_now()
    database.FRESH = math.inf


@pytest.fixture(autouse=True)
def media_root(settings: Settings, tmp_path: Path) -> Path:
    """Model versions and backups of one test never meet those of another, nor real ones."""
    root = tmp_path / "media"
    root.mkdir()
    settings.MEDIA_ROOT = root
    return root


@pytest.fixture(scope="session")
def object_server() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415  # a second to load, for who needs it

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(object_server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> TestBucket:
    """Artifacts are in an empty bucket of their own, for this process and those that it starts."""
    bucket = TestBucket(name=f"test-{uuid4().hex}", endpoint=object_server)
    bucket.client.create_bucket(Bucket=bucket.name)
    address = {"ARTIFACT_STORAGE": f"s3://{bucket.name}/{PREFIX}", "AWS_ENDPOINT_URL": object_server}
    for name, value in (KEYS | address).items():
        monkeypatch.setenv(name, value)
    settings.STORAGES = settings.STORAGES | {"artifacts": env_storage("ARTIFACT_STORAGE", timeout=5)}
    return bucket


@pytest.fixture(params=["disk", "objects"])
def each_storage(request: pytest.FixtureRequest) -> TestBucket | None:
    """The test runs twice: artifacts on local disk, and in object storage."""
    bucket: TestBucket | None = request.getfixturevalue("bucket") if request.param == "objects" else None
    return bucket


@pytest.fixture(autouse=True)
def own_predictor(monkeypatch: pytest.MonkeyPatch) -> Predictor:
    """The process's predictor, as it is when the process starts."""
    fresh = Predictor()
    monkeypatch.setattr(predictor, "_predictor", fresh)
    return fresh


@pytest.fixture(autouse=True)
def _quiet_outages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread asks a database that a test made fail; what was away, who was known, which clock jumped
    is forgotten."""
    monkeypatch.setattr(troubles, "clock", troubles.SteadyClock())
    monkeypatch.setattr(outages, "suspect", lambda: None)
    monkeypatch.setattr(outages, "_failing", {})
    monkeypatch.setattr(outages._Outage, "seen_at", -math.inf)
    yield
    known_callers.forget_all()


@pytest.fixture(autouse=True)
def _english() -> Iterator[None]:
    """A request in French leaves its thread speaking French: the next test starts in English."""
    with translation.override("en"):
        yield


@pytest.fixture
def queue_mark(
    transactional_db: None, media_root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Processes that the test starts work on its database and files, and do not outlive it."""
    mark = uuid4().hex
    settings.TRAINING_LEASE = 3
    environment = {"DATABASE_URL": database_url(), "MEDIA_ROOT": str(media_root), "TRAINING_LEASE": "3"}
    environment |= {"BACKUP_EVERY_DAYS": "0", "VERIFY_EVERY_HOURS": "0"}
    for name, value in (environment | {MARK: mark}).items():
        monkeypatch.setenv(name, value)
    yield mark
    for process in running(mark):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def queue(queue_mark: str, tmp_path: Path) -> Iterator[Queue]:
    """A queue to be started; its log is shown when the test fails."""
    queue = Queue(queue_mark, tmp_path / "queue.log")
    yield queue
    if queue.process is not None:
        queue.process.kill()
        queue.process.wait()
    print(queue.log.read_text() if queue.log.exists() else "")  # noqa: T201  # pytest shows it on failure
