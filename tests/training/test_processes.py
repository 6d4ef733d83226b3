"""Processes that end together."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from pytest_django import Settings

from training.processes import BATCH_NICE, StopRequest, kill_group, spawn_command, stop_requests


def test_signals_become_a_request_for_the_length_of_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
        assert stop.is_set() is False
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.wait(0.01) is True
    assert signal.getsignal(signal.SIGTERM) == before


def test_waiting_without_a_request() -> None:
    assert StopRequest().wait(0) is False


def test_a_command_gets_a_group_of_its_own() -> None:
    with spawn_command("run_training", stdin=subprocess.PIPE) as process:
        try:
            assert os.getpgid(process.pid) == process.pid
        finally:
            kill_group(process)
        assert process.wait() == -signal.SIGKILL
    kill_group(process)  # gone: nothing to do


def run_python(script: str, settings: Settings) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=settings.BASE_DIR,
    )


def test_a_child_whose_parent_is_gone_leaves_at_once(settings: Settings) -> None:
    process = run_python("from training.processes import *\ndie_with_parent(1)\nprint('alive')", settings)
    assert process.communicate()[0] == ""
    assert process.returncode == 143


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's work")
def test_forks_die_with_their_parents(settings: Settings) -> None:
    """A parent forks a child, which forks another; the parent is killed, and all are gone."""
    script = """
        import os, signal, time
        from training.processes import tie_forks_to_their_parents
        tie_forks_to_their_parents()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for _ in range(2):
            if os.fork():
                break
        # One write: three processes share the pipe.
        os.write(1, f"{signal.getsignal(signal.SIGTERM).name}\\n".encode())
        time.sleep(60)
    """
    process = run_python(script, settings)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline().strip() for _ in range(3)]
    finally:
        process.kill()
    assert sorted(lines) == ["SIG_DFL", "SIG_DFL", "SIG_IGN"]
    started = time.monotonic()
    assert process.communicate()[0] == ""  # returns when nobody holds the pipe any more
    assert time.monotonic() - started < 5


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's work")
def test_batch_work_is_behind_the_others_in_its_session_and_as_a_session(settings: Settings) -> None:
    """In a session of its own `nice` alone would change nothing: the kernel shares time between sessions."""
    script = """
        import os
        from pathlib import Path
        from training.processes import lower_priority
        os.setsid()
        lower_priority()
        lower_priority()
        session = Path("/proc/self/autogroup")
        print(os.nice(0), session.read_text().split()[-1] if session.exists() else "5")
    """
    assert run_python(script, settings).communicate()[0] == "5 5\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's work")
def test_who_is_nicer_already_stays_so(settings: Settings) -> None:
    script = "import os\nfrom training.processes import *\nos.nice(15)\nlower_priority()\nprint(os.nice(0))"
    assert run_python(script, settings).communicate()[0] == "15\n"


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's work")
def test_the_launcher_of_trainings_is_behind_the_others() -> None:
    with spawn_command("run_training", stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        try:
            until = time.monotonic() + 60
            while os.getpriority(os.PRIO_PROCESS, process.pid) != BATCH_NICE and time.monotonic() < until:
                time.sleep(0.1)
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == BATCH_NICE
        finally:
            kill_group(process)
