"""How the data grows: import, backup, restore and pages, each beside what any project would do instead.

    python benchmarks/scale_data.py import SOURCE_DIR [--records 100000] [--postgres URL]
    python benchmarks/scale_data.py backup SOURCE_DIR [--records 1000000] [--postgres URL]
    python benchmarks/scale_data.py pages SOURCE_DIR [--records 1000000] [--postgres URL]

SOURCE_DIR holds the customer's three CSVs; `synthesise.py` makes the records out of them. Everything happens in
a scratch directory with a SQLite database of its own, or, with --postgres, in a database that is created on
that server and dropped again. Each contender is a process of its own and they take turns: --runs times
each, medians are printed. CPU is user and system time of the process (not of a PostgreSQL server), memory its peak.
"""

import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
FILES = ("disponibilite.csv", "fiabilite.csv", "process_safty.csv")
LIMIT = 150  # milliseconds that a page may take


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one process: seconds on the clock, seconds of CPU, megabytes at its peak."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Scratch:
    """Where a benchmark works: the environment of its processes, and a directory."""

    directory: Path
    postgres: str | None

    def environment(self, database: str) -> dict[str, str]:
        url = (
            f"{self.postgres}/{database}"
            if self.postgres
            else f"sqlite:///{self.directory}/{database}.sqlite3"
        )
        secret = {"SECRET_KEY": "s" * 64, "ARTIFACT_SIGNING_KEYS": "k" * 64}
        served = {"DEBUG": "0", "ALLOWED_HOSTS": "testserver", "MEDIA_ROOT": str(self.directory / "media")}
        return {**os.environ, **secret, **served, "DATABASE_URL": url, "PYTHONPATH": str(ROOT)}

    def run(self, database: str, *command: str) -> Cost:
        """Raises CalledProcessError, after showing what the process said."""
        before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command],
            env=self.environment(database),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        said = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            print(said, file=sys.stderr)
            raise subprocess.CalledProcessError(status, command)
        del before
        return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
