"""The queue's watch while the database is away: it waits, and says so once."""

import os
import signal

import pytest
from django.db import OperationalError

from training.management.commands import qcluster


@pytest.mark.django_db
def test_no_cluster_is_started_that_could_not_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks: list[int] = []

    def refuse() -> bool:
        raise OperationalError("gone")

    def live(*_arguments: object) -> None:
        looks.append(1)
        if len(looks) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(qcluster, "prepare", refuse)
    monkeypatch.setattr(qcluster, "live", live)
    monkeypatch.setattr(qcluster, "LOOK", 0)
    monkeypatch.setattr(qcluster, "spawn_command", lambda *_: pytest.fail("a cluster was started"))
    monkeypatch.setattr("training.management.commands.qcluster.connection.close", lambda: None)
    qcluster.watch(grace=1)
    assert len(looks) == 3
    assert caplog.messages == []  # the database's probe has the one line (test_outages.py)
