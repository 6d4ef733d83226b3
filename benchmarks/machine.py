"""What a table of figures must say about where it was made."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SAY_VERSIONS = """
import json, sys
from importlib.metadata import version
print(json.dumps([version(name) for name in sys.argv[1:]]))
"""


def describe() -> str:
    """Processors, memory, system and Python."""
    model = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.release()}"
    return f"{os.cpu_count()} × {model}, {memory:.0f} GiB, {system}, Python {platform.python_version()}"


def versions_of(python: Path, packages: Sequence[str]) -> str:
    """Of these packages, as that interpreter finds them."""
    said = subprocess.run(
        [python, "-c", SAY_VERSIONS, *packages], capture_output=True, text=True, check=True
    ).stdout
    return ", ".join(f"{name} {version}" for name, version in zip(packages, json.loads(said), strict=True))


def load() -> float:
    """Of the last minute: above the number of processors the figures are of a busy machine."""
    return os.getloadavg()[0]


def command(name: str) -> str:
    """How the benchmark of that name was called, without the folders of the files."""
    return f"python -m benchmarks.{name} {' '.join(Path(argument).name for argument in sys.argv[1:])}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()
