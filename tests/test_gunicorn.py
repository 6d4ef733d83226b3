"""The memory that a long answer took is given back once it is sent; what killed masters left is removed."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from anomalyproject import gunicorn


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
