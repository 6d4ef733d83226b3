"""Faults happen where they were asked for, and nowhere else."""

import ast
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from training.ml import failpoints
from training.ml.failpoints import POINTS, Crash, arm, armed, failpoint

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    failpoints.disarm()


def run(points: str) -> int:
    """How a process ends that passes one point."""
    script = f"from training.ml import failpoints as f; f.arm({points!r}); f.failpoint('training.saved')"
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode


def test_nothing_happens_unarmed() -> None:
    for name in POINTS:
        failpoint(name)


def test_each_fault() -> None:
    assert run("training.saved=kill") == -signal.SIGKILL
    assert run("training.saved=exit") == 1
    assert run("training.loaded=kill") == 0
    with armed("training.saved=crash; training.loaded=oserror:ENOSPC"):
        with pytest.raises(Crash, match=r"training\.saved"):
            failpoint("training.saved")
        with pytest.raises(OSError, match="No space left on device"):
            failpoint("training.loaded")
    failpoint("training.saved")


def test_a_pause_passes() -> None:
    started = time.monotonic()
    with armed("training.saved=pause:1"):
        failpoint("training.saved")
    assert time.monotonic() - started >= 1


def test_what_hangs_hears_no_signal_but_kill() -> None:
    script = (
        "from training.ml import failpoints as f; f.arm('training.saved=hang'); print('now', flush=True);"
        "f.failpoint('training.saved')"
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"now\n"
        status = Path(f"/proc/{process.pid}/status")
        while "SigBlk:\t0000000000000000" in status.read_text():
            time.sleep(0.01)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.kill()
    assert process.returncode == -signal.SIGKILL


def test_from_a_passing_on() -> None:
    with armed("training.saved=crash@3"):
        failpoint("training.saved")
        failpoint("training.saved")
        for _ in range(2):
            with pytest.raises(Crash):
                failpoint("training.saved")


def test_a_shot_is_taken_once(tmp_path: Path) -> None:
    shots = tmp_path / "shots"
    shots.mkdir()
    arm("", shots=shots)
    failpoint("training.saved")
    (shots / "training.saved").write_text("crash@3")
    failpoint("training.saved")
    with pytest.raises(Crash):
        failpoint("training.saved")
    assert list(shots.iterdir()) == []
    failpoint("training.saved")


@pytest.mark.parametrize(
    "wrong",
    ["training.save=kill", "training.saved", "training.saved=die", "training.saved=oserror:ENONE", "=kill"],
)
def test_what_does_not_exist_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="there is no"):
        arm(wrong)


def called() -> Iterator[str]:
    """What the product passes to `failpoint`, as regular expressions."""
    for path in (ROOT / "training").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "failpoint":
                (name,) = node.args
                if isinstance(name, ast.JoinedStr):  # f"{kind}.signed"
                    yield rf"model_\w+{re.escape(str(ast.literal_eval(name.values[1])))}"
                else:
                    yield re.escape(str(ast.literal_eval(name)))


def test_every_point_is_passed_in_one_place() -> None:
    places = list(called())
    assert [sum(bool(re.fullmatch(place, name)) for place in places) for name in POINTS] == [1] * len(POINTS)
    for place in places:
        assert any(re.fullmatch(place, name) for name in POINTS), place
