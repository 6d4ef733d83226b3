"""The whole installation, a line for each thing: provoked, named, and mended where that is asked for."""

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from tests.factories import (
    ApprovedFactory,
    BackupFactory,
    QueueNodeFactory,
    SessionFactory,
    UserFactory,
    VersionFactory,
)
from tests.queue_processes import Queue
from tests.test_keep import free_port
from training import backups, dependencies, doctor, nodes, schedules, troubles, upkeep, watchdog
from training.errors import StorageError
from training.findings import Code, Trouble
from training.models import Anomaly, Backup, Finding, QueueNode, TrainingSession

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[int, dict[str, Any]]:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", "--json", *arguments, stdout=out, stderr=StringIO())
    assert isinstance(ended.value.code, int)
    return ended.value.code, json.loads(out.getvalue())


def found(*arguments: str) -> dict[str, tuple[str, str]]:
    """Level and detail, by what it is about; the last one of each."""
    return {row["about"]: (row["level"], row["detail"]) for row in run(*arguments)[1]["results"]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    monkeypatch.setattr(doctor, "_private_files", list)
    settings.DEBUG, settings.DISK_FREE_MIB = True, 0
    schedules.ensure_schedule()


def test_a_line_each_with_what_to_do() -> None:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", stdout=out)
    lines = out.getvalue().splitlines()
    assert ended.value.code == 2
    assert "fail  queue: no node lives" in lines
    assert "      → python manage.py qcluster, or systemctl start anomalies-queue" in lines


def test_what_every_installation_is_asked() -> None:
    QueueNodeFactory.create()
    SessionFactory.create()
    UserFactory.create(is_superuser=True)
    code, document = run()
    assert (code, document["worst"], document["fixed"]) == (1, "warn", []), document
    levels = {row["about"]: row["level"] for row in document["results"]}
    levels.pop("packages")  # whatever is installed where the tests run
    assert levels == {
        "python": "ok",
        "secrets": "ok",
        "settings": "warn" if connection.vendor == "postgresql" else "ok",  # keys made on this machine
        "hosts": "ok",
        "storage": "ok",
        "disk": "ok",
        "static files": "ok",
        "cache": "ok",
        "notices": "warn",
        "database": "ok",
        "migrations": "ok",
        "durability": "ok",
        "active version": "warn",
        "newest backup": "warn",
        "queue": "ok",
        "findings": "ok",
        "people": "ok",
    }


def test_it_changes_nothing() -> None:
    QueueNodeFactory.create()
    Schedule.objects.update(repeats=0)
    before = [list(model.objects.values()) for model in (Schedule, OrmQ, Task, QueueNode)]
    assert found()["schedule_wrong"][0] == "warn"
    assert [list(model.objects.values()) for model in (Schedule, OrmQ, Task, QueueNode)] == before


def test_fix_mends_what_is_safe(media_root: Path) -> None:
    Schedule.objects.update(repeats=0)
    media_root.rmdir()
    assert found()["storage"][0] == "fail"
    _code, document = run("--fix")
    assert document["fixed"] == [f"made {media_root}"]
    assert Schedule.objects.get().repeats == schedules.FOREVER
    assert found()["storage"][0] == "ok"


def test_secrets_that_others_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret_key"
    secret.touch(mode=0o644)
    monkeypatch.setattr(doctor, "_private_files", lambda: [secret])
    assert found()["secrets"] == ("fail", "others can read secret_key")
    assert run("--fix")[1]["fixed"] == ["made secret_key private"]
    assert found()["secrets"][0] == "ok"


def test_a_package_that_is_not_as_pinned(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("django==1.0\nno-such-package==2\n# a comment\n")
    settings.BASE_DIR = tmp_path
    level, detail = found()["packages"]
    assert level == "warn"
    assert detail.endswith("not 1.0; no-such-package missing, not 2")


def test_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(doctor, "_reach_database", refuse)
    code, document = run()
    assert code == 2
    (database,) = [row for row in document["results"] if row["about"] == "database"]
    assert database["detail"] == "does not answer: connection refused"
    assert document["results"][-1]["detail"] == "rows, files and queue were not looked at"
    assert run("--fix")[0] == 2


def test_a_database_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(doctor, "_reach_database", lambda: released.wait(30))
    assert found()["database"] == ("fail", "does not answer: no answer in time")
    released.set()


@pytest.mark.parametrize("check", [*doctor.CHECKS, *doctor.ROW_CHECKS, doctor.database, doctor.migrations])
@pytest.mark.parametrize("error", [RuntimeError("broken"), OSError(5, "broken"), OperationalError("broken")])
def test_whatever_a_check_raises_is_a_line(
    check: Callable[[], Iterator[doctor.Result]], error: Exception
) -> None:
    def fail() -> Iterator[doctor.Result]:
        yield from ()
        raise error

    fail.__name__ = check.__name__
    (result,) = doctor.tried(fail)
    assert (result.level, result.about) == (doctor.Level.FAIL, check.__name__.replace("_", " "))
    assert result.detail == f"cannot be examined: {type(error).__name__}: broken"


def test_settings_that_nothing_can_run_with_are_a_line(tmp_path: Path) -> None:
    command = [sys.executable, str(configured.BASE_DIR / "manage.py"), "doctor"]
    environment = {"PATH": os.environ["PATH"], "DEBUG": "0", "WEB_WORKERS": "x"}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("fail  settings: SECRET_KEY must be set when DEBUG is off\n")
    assert "Traceback" not in ended.stderr


def test_a_name_for_everybody(settings: Settings) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert found()["hosts"][0] == "warn"
    settings.DEBUG = False
    assert next(doctor.hosts()).level == doctor.Level.FAIL


def test_a_mail_server_that_refuses(settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()
    level, detail = found()["mail"]
    assert (level, detail) == ("fail", f"127.0.0.1:{settings.EMAIL_PORT}: Connection refused")


def test_a_mail_server_that_says_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "MAIL_PATIENCE", 0.2)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        assert found()["mail"] == ("fail", f"127.0.0.1:{settings.EMAIL_PORT}: no answer in time")


# --- What doctor, the findings and /health say of the same fault ------------------------------------


def harm_second_backup(media_root: Path) -> None:
    ApprovedFactory.create()
    second = backups.create_backup(kind=Backup.Kind.MANUAL)
    backups.create_backup(kind=Backup.Kind.MANUAL)
    path = media_root / second.path / "manifest.json"
    path.write_bytes(path.read_bytes()[:-100])
    Backup.objects.filter(pk=second.pk).update(verified_at=timezone.now() - timedelta(days=8))
    upkeep.keep_up()


def remove_media(media_root: Path) -> None:
    shutil.rmtree(media_root)


def fail_three_trainings(_media_root: Path) -> None:
    for _ in range(3):
        SessionFactory.create(
            status=TrainingSession.Status.FAILED, reason="no room", finished_at=timezone.now()
        )


def silence_redis(_media_root: Path) -> None:
    configured.CACHES = {
        "default": {
            "BACKEND": "anomalyproject.shared_cache.SharedCache",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
            "OPTIONS": {"serializer": "anomalyproject.shared_cache.SignedSerializer"},
        }
    }


def never_back_up(_media_root: Path) -> None:
    ApprovedFactory.create(reviewed_at=timezone.now() - timedelta(days=2))


def fill_database(_media_root: Path) -> None:
    """Its disk is seen as full by whoever tries; the rows of this test can be written."""
    key = ("try_to_write", *(str(connection.settings_dict[name]) for name in ("ENGINE", "NAME", "HOST")))
    full = dependencies.Attempt(lambda: (_ for _ in ()).throw(OSError(28, "database or disk is full")))
    dependencies._attempts[key] = full


@pytest.mark.parametrize(
    "case",
    [
        (harm_second_backup, Code.BACKUP_DAMAGED, "warn"),
        (remove_media, Code.STORAGE_UNREACHABLE, "fail"),
        (fail_three_trainings, Code.TRAININGS_FAILING, "fail"),
        (silence_redis, Code.CACHE_UNREACHABLE, "warn"),
        (never_back_up, Code.BACKUP_NEVER, "fail"),
        (fill_database, Code.DATABASE_READ_ONLY, "fail"),
    ],
)
def test_all_agree(
    case: tuple[Callable[[Path], None], Finding.Code, str],
    settings: Settings,
    client: Client,
    media_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    harm, code, level = case
    monkeypatch.setattr(dependencies, "_attempts", {})
    monkeypatch.setattr(troubles, "FRESH", 0.0)
    monkeypatch.setattr("os.nice", lambda _by: 0)
    settings.CACHES = settings.CACHES  # put back after the test
    if harm is fill_database:
        monkeypatch.setattr(dependencies, "holds_lock", lambda: False)
    nodes.beat()
    harm(media_root)
    watchdog.look({})
    (row,) = [row for row in Finding.objects.current() if row.code == code]
    assert {1: "fail", 2: "warn"}[row.severity] == level
    (problem,) = [each for each in client.get("/health").json()["problems"] if each["code"] == code]
    assert {"serious": "fail", "warning": "warn"}[problem["severity"]] == level
    exit_code, document = run()
    told = [result for result in document["results"] if result["detail"] == problem["message"]]
    assert [result["level"] for result in told] == [level] * len(told) != []
    assert exit_code >= {"warn": 1, "fail": 2}[level]


def test_migrations_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["one"])
    assert found()["migrations"] == ("fail", "1 to apply")


def test_files_under_another_key(settings: Settings) -> None:
    ApprovedFactory.create()
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    assert found()["newest backup"] == ("ok", f"{backup.name} verifies")
    settings.ARTIFACT_SIGNING_KEYS = ["another key of more than thirty-two characters"]
    assert found()["newest backup"] == ("fail", f"The signature of {backup.name} does not match.")


def test_a_version_that_could_serve() -> None:
    assert found()["active version"] == ("warn", "none")
    version = VersionFactory.create(created_at=timezone.now() - timedelta(hours=1))
    level, detail = found()["active version"]
    assert (level, detail.endswith(f"that can be used: {version.pk}.")) == ("fail", True)


def test_an_active_version_without_files() -> None:
    VersionFactory.create(is_active=True)
    result = found()
    assert (result["active version"][0], result["files_missing"][0]) == ("fail", "fail")


def test_a_queue_that_does_not_answer() -> None:
    nodes.beat()
    assert found()["queue"] == ("fail", "did not answer within 0.2 s")
    assert not OrmQ.objects.exists()


def test_a_queue_has_the_time_to_say_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database may have been read-only until a moment ago."""
    waits: list[float] = []

    def speak(seconds: float) -> None:
        waits.append(seconds)
        nodes.beat()

    monkeypatch.setattr("training.doctor.time.sleep", speak)
    monkeypatch.setattr(doctor, "round_trip", lambda: 0.1)
    assert next(doctor.queue()).level == doctor.Level.OK
    assert len(waits) == 1


def test_a_locked_database_is_not_the_queues_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for as long as it takes to know; what stands on it is not blamed."""
    locked = Trouble(code=Code.DATABASE_LOCKED, facts={"seconds": 9})
    asked: list[dict[str, float]] = []

    def find(**how: float) -> Iterator[Trouble]:
        asked.append(how)
        yield locked

    monkeypatch.setattr(dependencies, "database_read_only", find)
    results = found()
    assert {"patience": doctor.PATIENCE} in asked
    assert results["database"] == (
        "fail",
        "Nothing could be written to the database for 9 s: one transaction holds its lock.",
    )
    assert "queue" not in results


@pytest.mark.queue
def test_a_queue_that_answers(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    Anomaly.objects.all().delete()
    monkeypatch.setattr(doctor, "PATIENCE", 30)
    queue.start()
    seconds = doctor.round_trip()
    assert seconds is not None
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()


@pytest.mark.django_db
def test_a_storage_out_of_reach_hides_no_other_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be looked for without it is left out; the clock is looked at all the same."""

    def out_of_reach() -> Iterator[Trouble]:
        raise StorageError("The object storage does not answer")

    for look in ("storage_foreign", "files_missing", "files_damaged", "files_orphaned"):
        monkeypatch.setattr(troubles, look, out_of_reach)
    away = Trouble(code=Code.STORAGE_UNREACHABLE, facts={"host": "a", "reason": "b"})
    monkeypatch.setattr(dependencies, "storage_problems", lambda **_: iter([away]))
    monkeypatch.setattr(troubles, "clock_difference", lambda: 3_600.0)
    told = [result.about for result in doctor.findings()]
    assert Code.CLOCK_OFF.value in told
    assert "files missing" not in told


def open_finding() -> None:
    Finding.objects.create(
        code=Code.TRAININGS_FAILING, severity=1, facts={"count": 3, "reason": "The data is empty."}
    )


def test_a_look_that_fails_hides_no_finding(media_root: Path) -> None:
    """What is written down is listed, what the others find, too; and the failure is a line of its own."""
    VersionFactory.create(is_active=True, name="version_1")
    (media_root / Backup.DIRECTORY).write_text("x")
    BackupFactory.create()
    open_finding()
    results = found()
    assert results["trainings_failing"] == ("fail", "The last 3 trainings failed: The data is empty.")
    assert results["files_missing"][1] == "The files of model_versions/version_1 are missing."
    level, detail = results["files missing"]
    assert (level, detail.split(":")[0]) == ("fail", "cannot be examined")
    place = media_root / Backup.DIRECTORY
    assert results["storage"][0] == "fail"
    assert results["storage"][1].endswith(
        f"cannot write where models and backups are kept: {place}: Not a directory"
    )


@pytest.mark.parametrize(
    "broken", ["written_down", "live", "queue_silent", "files_damaged", "files_orphaned"]
)
def test_whichever_look_fails_the_others_are_listed(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[Trouble]:
        yield from ()
        raise RuntimeError("broken")

    fail.__name__ = broken
    monkeypatch.setattr(troubles, broken, fail)
    monkeypatch.setattr(troubles, "clock_difference", lambda: 3_600.0)
    open_finding()
    told = [result.about for result in doctor.findings()]
    expected = {"clock_off", "trainings_failing", broken.replace("_", " ")}
    assert expected - set(told) == ({"trainings_failing"} if broken == "written_down" else set())
