"""The whole installation, a line for each thing: provoked, named, and mended where that is asked for."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from tests.factories import ApprovedFactory, QueueNodeFactory, SessionFactory, UserFactory, VersionFactory
from tests.queue_processes import Queue
from training import backups, doctor, nodes, schedules
from training.models import Anomaly, Backup, QueueNode

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
        "storage": "ok",
        "disk": "ok",
        "static files": "ok",
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

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    code, document = run()
    assert code == 2
    assert document["results"][-1]["detail"] == "does not answer: connection refused"


def test_migrations_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationExecutor, "migration_plan", lambda *_: ["one"])
    assert found()["migrations"] == ("fail", "1 to apply")


def test_files_under_another_key(settings: Settings) -> None:
    ApprovedFactory.create()
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    assert found()["newest backup"] == ("ok", f"{backup.name} verifies")
    settings.ARTIFACT_SIGNING_KEYS = ["another key of more than thirty-two characters"]
    assert found()["newest backup"] == ("fail", f"The signature of {backup.name} does not match.")


def test_an_active_version_without_files() -> None:
    VersionFactory.create(is_active=True)
    result = found()
    assert (result["active version"][0], result["files_missing"][0]) == ("fail", "fail")


def test_a_queue_that_does_not_answer() -> None:
    nodes.beat()
    assert found()["queue"] == ("fail", "did not answer within 0.2 s")
    assert not OrmQ.objects.exists()


@pytest.mark.queue
def test_a_queue_that_answers(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    Anomaly.objects.all().delete()
    monkeypatch.setattr(doctor, "PATIENCE", 30)
    queue.start()
    seconds = doctor.round_trip()
    assert seconds is not None
    assert not Task.objects.exists()
    assert not OrmQ.objects.exists()
