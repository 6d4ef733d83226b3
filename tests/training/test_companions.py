"""Real processes: the command that stands in for a companion is one of ours."""

import logging
import subprocess
from pathlib import Path

import pytest
from django.conf import settings

from tests.queue_processes import wait_until
from training import companions
from training.companions import Companions

work = {"waits": True}


def has_work() -> bool:
    return work["waits"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> "list[subprocess.Popen[bytes]]":
    """`sleep` and `exit` in the place of commands; what was started."""
    work["waits"] = True
    processes: list[subprocess.Popen[bytes]] = []

    def spawn(name: str) -> "subprocess.Popen[bytes]":
        processes.append(subprocess.Popen(["/bin/sh", "-c", name], start_new_session=True))
        return processes[-1]

    monkeypatch.setattr(companions, "spawn_command", spawn)
    return processes


def keeping(command: str) -> Companions:
    return Companions({command: f"{__name__}.has_work"})


def test_one_process_works_while_there_is_work(started: "list[subprocess.Popen[bytes]]") -> None:
    kept = keeping("sleep 60")
    work["waits"] = False
    kept.keep()
    assert started == []
    work["waits"] = True
    kept.keep()
    kept.keep()
    assert [process.poll() for process in started] == [None]
    kept.stop()
    assert [process.poll() for process in started] == [-15]


def test_who_ended_is_started_again_when_there_is_work(started: "list[subprocess.Popen[bytes]]") -> None:
    kept = keeping("true")
    kept.keep()
    started[0].wait()
    kept.keep()
    assert len(started) == 2
    kept.stop()


def test_who_failed_is_left_alone_for_a_while_and_what_it_started_dies(
    started: "list[subprocess.Popen[bytes]]", caplog: pytest.LogCaptureFixture
) -> None:
    kept = keeping("sleep 60 & exit 3")
    kept.keep()
    started[0].wait()
    with caplog.at_level(logging.ERROR):
        kept.keep()
    assert len(started) == 1
    assert "ended with exit code 3" in caplog.text
    wait_until(lambda: _group_is_empty(started[0].pid))
    kept.stop()


def test_who_does_not_end_in_order_is_killed(
    started: "list[subprocess.Popen[bytes]]", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(companions, "LEAVE", 0.2)
    kept = keeping("trap '' TERM; while :; do sleep 0.05; done")
    kept.keep()
    wait_until(lambda: _is_trapping(started[0].pid))
    kept.stop()
    assert started[0].poll() == -9


def test_the_products_companions_exist() -> None:
    assert set(settings.QUEUE_COMPANIONS) == {
        "run_prediction_jobs",
        "keep_files",
        "repair_version",
        "run_quality_checks",
    }
    Companions(settings.QUEUE_COMPANIONS)


def _group_is_empty(group: int) -> bool:
    """Zombies aside, which nobody has looked after yet."""
    stats = [_stat(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return not any(fields[2] == str(group) and fields[0] not in "ZX" for fields in stats if fields)


def _stat(entry: Path) -> list[str]:
    """State, parent, group, …; nothing of a process that is gone."""
    try:
        return (entry / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _is_trapping(pid: int) -> bool:
    """SIGTERM, signal 15, is among those that the process ignores."""
    status = Path(f"/proc/{pid}/status").read_text()
    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored, 16) >> 14 & 1)
