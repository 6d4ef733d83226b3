"""A restore that is killed before any upload leaves everything old, and the next one works."""

import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from tests.queue_processes import database_url
from tests.sampling import share, turn
from tests.storing import TestBucket
from tests.trained import approved_records, identical, predictions, trained_version
from tests.training.backups.state import whole_state
from training import artifacts, backups, restoring, versions
from training.models import Activation, Backup, ModelVersion

KILLED_RESTORE = """
import os, signal, sys
import django
django.setup()
from training import restoring
from training.models import Backup
from training.shelves.bucket import Bucket

create, left = Bucket.create, int(sys.argv[2])

def create_or_die(*args, **values):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return create(*args, **values)

Bucket.create = create_or_die
restoring.restore_backup(backup=Backup.objects.get(name=sys.argv[1]))
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("upload", share([1, 2, 5, 11, 12, 13, 18], of=3, turn=turn()))
def test_killed_before_an_upload(bucket: TestBucket, media_root: Path, upload: int) -> None:
    """Of the place that is held, of the eleven objects of the safety backup, of the seven of the version."""
    approved_records()
    version = trained_version("version_1", is_active=True)
    suggestions = predictions(version)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    newer = trained_version("version_2")
    versions.set_active(version=newer, reason=Activation.Reason.RELOAD)
    artifacts.remove(version)
    before = whole_state()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RESTORE, backup.name, str(upload)],
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
    version.refresh_from_db()
    assert identical(predictions(version), suggestions)
    artifacts.sweep(grace=timedelta(seconds=-5))
    names = {key.split("/")[1] for key in bucket.listing() if "/.damaged-" not in key}
    rows = [*ModelVersion.objects.all(), *Backup.objects.all()]
    assert names == {row.name for row in rows}
