"""A restore that fails or is killed at any step leaves everything old, and the next one works."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection

from tests.queue_processes import database_url
from tests.sampling import EXHAUSTIVE
from tests.trained import identical, predictions
from tests.training.backups.state import training_set, whole_state
from training import artifacts, backups, records, restoring, versions
from training.models import Anomaly, Backup, ModelVersion

pytestmark = pytest.mark.django_db
MANUAL = Backup.Kind.MANUAL
STEP = 1 if EXHAUSTIVE else 3  # from the statement before which it dies to the next such
Status = Anomaly.Status


class Killed(BaseException):
    """No except Exception sees it, as none sees a SIGKILL."""


def killer(at: int) -> tuple[Callable[..., Any], list[int]]:
    """A wrapper of all database statements that dies before the one with that number."""
    made = [0]

    def execute(call: Callable[..., Any], *args: Any) -> Any:
        made[0] += 1
        if made[0] == at:
            raise Killed
        return call(*args)

    return execute, made


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("files", ["removed", "damaged"])
def test_killed_before_any_statement_everything_is_old_and_the_next_restore_works(
    backup: Backup, version: ModelVersion, second: ModelVersion, files: str
) -> None:
    version.refresh_from_db()
    suggestions = predictions(version)
    if files == "removed":
        artifacts.remove(version)
    if files == "damaged":
        (artifacts.directory_of(version) / "features.pkl").write_bytes(b"damaged")
    before, present = whole_state(), training_set()

    at, done = 1, False
    while not done:
        execute, _made = killer(at)
        try:
            with connection.execute_wrapper(execute):
                restoring.restore_backup(backup=backup)
            done = True
        except Killed:
            assert not connection.in_atomic_block
            assert whole_state() == before
            at += STEP
    assert at > 30

    assert ModelVersion.objects.active() == version
    version.refresh_from_db()
    assert identical(predictions(version), suggestions)
    safety = Backup.objects.filter(kind=Backup.Kind.BEFORE_RESTORE).first()
    assert safety is not None
    restoring.restore_backup(backup=safety)
    assert training_set() == present


@pytest.mark.parametrize(
    ("owner", "step"),
    [
        (backups, "copy_records"),
        (backups, "try_model"),
        (backups, "create_backup"),
        (restoring, "make_servable"),
        (restoring, "_shut_out_writers"),
        (restoring, "_reopen"),
        (records, "store_records"),
        (restoring, "claim_files"),
        (versions, "set_active"),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_whatever_fails_after_any_step_leaves_everything_old(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
) -> None:
    before = whole_state()
    real = getattr(owner, step)

    def failing(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        raise DatabaseError("lost connection")

    monkeypatch.setattr(owner, step, failing)
    with pytest.raises(DatabaseError, match="lost connection"):
        restoring.restore_backup(backup=backup)

    assert whole_state() == before


KILLED_RESTORE = """
import os, signal, sys
import django
django.setup()
from django.db import connection
from training import restoring
from training.models import Backup
_, name, statement = sys.argv

def execute(call, sql, *args):
    if statement in sql:
        os.kill(os.getpid(), signal.SIGKILL)
    return call(sql, *args)

with connection.execute_wrapper(execute):
    restoring.restore_backup(backup=Backup.objects.get(name=name))
"""


@pytest.mark.parametrize(
    "statement",
    ['INSERT INTO "training_backup"', 'UPDATE "training_anomaly"', 'INSERT INTO "training_activation"'],
)
@pytest.mark.usefixtures("each_storage")
@pytest.mark.django_db(transaction=True)
def test_a_killed_process_leaves_everything_old_and_the_next_restore_works(
    backup: Backup, version: ModelVersion, second: ModelVersion, media_root: Path, statement: str
) -> None:
    before = whole_state()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RESTORE, backup.name, statement],
        env=os.environ | {
            "DJANGO_SETTINGS_MODULE": "anomalyproject.settings",
            "DATABASE_URL": database_url(),
            "MEDIA_ROOT": str(media_root),
        },
        check=False,
    )  # fmt: skip

    assert killed.returncode == -signal.SIGKILL
    assert whole_state() == before
    restoring.restore_backup(backup=backup)
    assert ModelVersion.objects.active() == version
