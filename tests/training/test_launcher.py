"""Fresh processes from one that has loaded what they need. Session 0 is nowhere: to train it fails."""

import signal
import sys

import pytest

from tests.queue_processes import launchers, running, trainings, wait_until
from training.launcher import ENDED, Child, Launcher

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def attempt(launcher: Launcher, lines: list[str] | None = None) -> Child:
    with launcher.launch(0, 1, on_line=(lines if lines is not None else []).append) as child:
        child.wait()
    return child


def test_one_launcher_serves_many_attempts(queue_mark: str) -> None:
    with Launcher() as launcher:
        lines: list[str] = []
        first = attempt(launcher, lines)
        (serving,) = launchers(queue_mark)
        second = attempt(launcher)
        assert launchers(queue_mark) == [serving]
        assert trainings(queue_mark) == []
    assert running(queue_mark) == []
    assert (first.exit_code, second.exit_code) == (1, 1)
    assert first.last_lines == second.last_lines
    assert first.last_lines[-1].endswith("TrainingSession matching query does not exist.")
    assert first.last_words == "\n".join(["with exit code 1.", *first.last_lines])
    assert lines[-1] == f"{first.last_lines[-1]}\n"
    assert not any(ENDED.decode() in line for line in lines)


def test_a_launcher_that_died_is_replaced(queue_mark: str) -> None:
    with Launcher() as launcher:
        attempt(launcher)
        (serving,) = launchers(queue_mark)
        serving.signal(signal.SIGKILL)
        wait_until(lambda: launcher.warm().pid != serving.pid)
        assert attempt(launcher).exit_code == 1
        assert len(launchers(queue_mark)) == 1


def test_a_block_that_ends_early_kills_what_runs(queue_mark: str, caplog: pytest.LogCaptureFixture) -> None:
    with Launcher() as launcher:
        launcher.warm()
        (serving,) = wait_until(lambda: launchers(queue_mark))
        serving.signal(signal.SIGSTOP)
        with launcher.launch(0, 1, on_line=print) as child:
            assert child.wait(0.05) is None
        assert child.exit_code == -signal.SIGKILL
        (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert warning == (
            "The launcher of trainings was stopped (SIGSTOP) and is killed with attempt 1 of "
            "training session 0: the next training starts another"
        )
        assert child.last_words == "killed by SIGKILL (out of memory?)."
        assert running(queue_mark) == []
        assert attempt(launcher).exit_code == 1
