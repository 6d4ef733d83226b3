"""What a process itself says of its memory (proc(5)), before a piece of work, at its peak and after it."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

AT_PEAK, AFTERWARDS, SETTLES = 150, 50, 10  # MB more, MB more, seconds until then


@dataclass(slots=True)
class Memory:
    """MB more than before."""

    peak: float = 0.0
    after: float = 0.0


@contextmanager
def memory_of(pid: int) -> Iterator[Memory]:
    """Measure what the process takes for what is done inside, and what of it is left SETTLES later."""
    memory = Memory()
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # its peak is what it has now
    before = megabytes(pid, "VmRSS")
    yield memory
    memory.peak = megabytes(pid, "VmHWM") - before
    deadline = time.monotonic() + SETTLES
    while (left := megabytes(pid, "VmRSS") - before) > AFTERWARDS and time.monotonic() < deadline:
        time.sleep(0.2)
    memory.after = left


def megabytes(pid: int | str, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1_024 for line in lines if line.startswith(f"{name}:"))


# A command that says at its end what it had at its peak. (Of a child, wait4 tells its parent's too.)
COMMAND = """
import atexit, runpy, sys
from pathlib import Path
from tests.process_memory import megabytes
place = Path(sys.argv[1])
atexit.register(lambda: place.write_text(str(megabytes("self", "VmHWM"))))
sys.argv = ["manage.py", *sys.argv[2:]]
runpy.run_path("manage.py", run_name="__main__")
"""


def peak_of(place: Path, *arguments: str) -> tuple[int, float]:
    """The exit code of a command, and the MB that it had at its peak."""
    command = [sys.executable, "-c", COMMAND, str(place), *arguments]
    done = subprocess.run(command, capture_output=True, check=False)
    return done.returncode, float(place.read_text())
