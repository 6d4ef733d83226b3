"""The memory that a long answer took is given back once it is sent; what killed masters left is removed."""

import logging
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import OperationalError, ProgrammingError

from anomalyproject import gunicorn
from predictions import predictor
from predictions.predictor import Failure, State
from tests.predictions.published import publish_version
from training.ml import libraries
from training.models import WebNode


@pytest.mark.parametrize(
    ("received", "sent", "times"),
    [
        ("", 0, 0),
        ("", gunicorn.LONG, 0),
        ("", gunicorn.LONG + 1, 1),
        (str(gunicorn.LONG), 0, 0),
        (str(gunicorn.LONG + 1), 0, 1),
    ],
)
def test_after_a_long_request_or_answer_memory_goes_back(
    received: str, sent: int, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Timer:
        def __init__(self, _seconds: float, action: object) -> None:
            self.action = action

        def start(self) -> None:
            started.append(self.action)

    monkeypatch.setattr("threading.Timer", Timer)
    for _ in range(3):  # of those within a second, one gives back for all
        gunicorn.post_request(None, None, {"CONTENT_LENGTH": received}, SimpleNamespace(sent=sent))
    assert started == [gunicorn._give_back_once] * times
    if times:
        gunicorn._give_back_once()
        gunicorn.post_request(None, None, {"CONTENT_LENGTH": received}, None)
        assert len(started) == 1 + bool(received)
        gunicorn._gives_back.acquire(blocking=False)
        gunicorn._gives_back.release()


def test_giving_back_changes_nothing_else() -> None:
    gunicorn._give_memory_back()


def test_metrics_of_masters_that_were_killed_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for master in (ended.pid, os.getpid()):
        (tmp_path / f"anomaly-metrics-{master}-x").mkdir()
    (tmp_path / "somebody-elses").mkdir()
    gunicorn._remove_left_behind()
    left = {path.name for path in tmp_path.glob("*-*")}
    assert left == {f"anomaly-metrics-{os.getpid()}-x", "somebody-elses"}


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def log(self, level: int, words: str, *arguments: object) -> None:
        if level >= logging.INFO:
            self.said.append((logging.getLevelName(level), words % arguments))

    def info(self, words: str, *arguments: object) -> None:
        self.log(logging.INFO, words, *arguments)


@pytest.fixture
def _present(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that does not end; the test's connection stays."""
    monkeypatch.setattr(gunicorn, "_leaving", threading.Event())
    monkeypatch.setattr("django.db.connection.close", lambda: None)


@pytest.mark.django_db
@pytest.mark.usefixtures("_present")
def test_a_worker_says_that_it_lives_and_leaves_in_order() -> None:
    gunicorn._ask_database(gunicorn._beat, Log())
    node = WebNode.objects.get()
    assert (node.pid, node.loaded_version, node.libraries) == (os.getpid(), None, libraries.installed())
    gunicorn.worker_exit(None, SimpleNamespace(log=Log()))
    assert not WebNode.objects.exists()
    gunicorn._ask_database(gunicorn._beat, Log())  # a sign of life that comes too late
    assert not WebNode.objects.exists()


@pytest.mark.django_db
@pytest.mark.usefixtures("_present")
def test_what_its_libraries_cannot_load_stands_in_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    failure = Failure(version_id=3, reason="other format", failed_at=0, is_incompatible=True)
    monkeypatch.setattr(predictor, "current", lambda: State(failure=failure))
    gunicorn._beat()
    failure = Failure(version_id=4, reason="truncated", failed_at=0)
    seen = WebNode.objects.get()
    assert (seen.refused_version, seen.refusal) == (3, "other format")
    gunicorn._beat()
    seen.refresh_from_db()
    assert (seen.refused_version, seen.refusal) == (None, "")


@pytest.mark.django_db
@pytest.mark.usefixtures("_present")
def test_its_row_follows_the_active_version_without_a_request(
    media_root: Path,
) -> None:
    version = publish_version(is_active=True)
    gunicorn._beat()
    assert WebNode.objects.get().loaded_version == version.pk


@pytest.mark.usefixtures("_present")
def test_a_worker_outlives_a_database_that_is_away() -> None:
    """That it is away is said once for the process; anything else once, and when it is over."""

    def fail(error: Exception) -> None:
        raise error

    log = Log()
    for _ in range(3):
        gunicorn._ask_database(partial(fail, OperationalError("gone")), log)
    assert log.said == []
    for _ in range(3):
        gunicorn._ask_database(partial(fail, ProgrammingError("no such table")), log)
    gunicorn._ask_database(lambda: None, log)
    gunicorn._ask_database(lambda: None, log)
    assert log.said == [
        ("WARNING", "This web node could not be noted: no such table"),
        ("INFO", "No longer: This web node could not be noted"),
    ]
