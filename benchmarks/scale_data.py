"""How the data grows: import, backup and restore, each beside what any project would do instead.

    python benchmarks/scale_data.py import|backup SOURCE_DIR [--records N] [--runs N] [--postgres URL]

SOURCE_DIR holds the customer's three CSVs; `synthesise.py` makes the records out of them. Everything happens
in a scratch directory, with a SQLite database of its own or, with --postgres, in a database that is created
on that server (URL without a database's name) and dropped again. Contenders take turns; each run is a process
of its own. Medians are printed, the ratio of the CPU times first: above 1, ours is cheaper. CPU is user and
system time of the process (not of a PostgreSQL server), memory its peak.
"""

import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from random import Random

HERE = Path(__file__).resolve()
ROOT = HERE.parent.parent
FILES = ("disponibilite.csv", "fiabilite.csv", "process_safty.csv")
MANAGE = str(ROOT / "manage.py")


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: seconds on the clock, seconds of CPU, megabytes at the peak."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True, slots=True)
class Scratch:
    directory: Path
    postgres: str | None

    def run(self, *command: str) -> Cost:
        """One process on the scratch database. Raises CalledProcessError after showing what it said."""
        url = f"{self.postgres}/{self.name}" if self.postgres else f"sqlite:///{self.directory}/db.sqlite3"
        environment = {**os.environ, "DATABASE_URL": url, "MEDIA_ROOT": str(self.directory / "media")}
        environment |= {"DEBUG": "0", "SECRET_KEY": "s" * 64, "ARTIFACT_SIGNING_KEYS": "k" * 64}
        environment |= {"ALLOWED_HOSTS": "testserver", "PYTHONPATH": str(ROOT)}
        begin = time.perf_counter()
        with (self.directory / "said").open("w+") as said:
            process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                said.seek(0)
                print(said.read(), file=sys.stderr)
                raise subprocess.CalledProcessError(process.returncode, command)
        return Cost(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)

    def manage(self, *command: str) -> Cost:
        return self.run(sys.executable, MANAGE, *command)

    def child(self, *command: str) -> Cost:
        """A contender of this file, in a process with Django."""
        return self.run(sys.executable, str(HERE), "--child", *command)

    @property
    def name(self) -> str:
        return f"bench_{self.directory.name.lower()}"

    def drop(self) -> None:
        if self.postgres:
            subprocess.run([*_tool("dropdb", self.postgres), "--if-exists", self.name], check=True)
        for path in self.directory.glob("db.sqlite3*"):
            path.unlink()
        shutil.rmtree(self.directory / "media", ignore_errors=True)

    def renew(self) -> None:
        """An empty database with the project's tables, and no files."""
        self.drop()
        (self.directory / "media").mkdir()
        if self.postgres:
            subprocess.run([*_tool("createdb", self.postgres), self.name], check=True)
        self.manage("migrate", "-v0")


def _tool(name: str, server: str) -> list[str]:
    return [shutil.which(name) or name, f"--maintenance-db={server}/postgres"]


@contextmanager
def scratch(postgres: str | None) -> Iterator[Scratch]:
    with tempfile.TemporaryDirectory() as name:
        place = Scratch(Path(name), postgres)
        try:
            yield place
        finally:
            place.drop()


# --- The benchmarks: contenders by name, ours first ----------------------------------------------

Contenders = dict[str, Callable[[], Cost]]


def imports(place: Scratch, paths: Sequence[str], runs: int) -> None:
    fixture = str(place.directory / "fixture.json")
    place.renew()
    place.manage("import_anomalies", *paths)
    place.manage("dumpdata", "training.anomaly", "training.historicalanomaly", "--output", fixture)
    contenders: Contenders = {
        "`import_anomalies` (checks, duplicates, history)": lambda: place.manage("import_anomalies", *paths),
        "csv → `bulk_create` (no checks, no history)": lambda: place.child("plain-import", *paths),
        "`loaddata` of the same rows and history": lambda: place.manage("loaddata", fixture),
    }
    report(measure(contenders, runs, before=place.renew))


def backups(place: Scratch, paths: Sequence[str], runs: int) -> None:
    fixture = str(place.directory / "fixture.json")
    place.renew()
    place.manage("import_anomalies", *paths)
    contenders: Contenders = {
        "`create_backup` (read back)": lambda: place.manage("create_backup"),
        "`dumpdata` of the anomalies": lambda: place.manage(
            "dumpdata", "training.anomaly", "--output", fixture
        ),
    }
    report(measure(contenders, runs))
    name = min(path.name for path in (place.directory / "media" / "model_backups").iterdir())
    for case, before in {
        "nothing changed": lambda: None,
        "10 % changed": lambda: place.child("change-tenth"),
        "all records gone": lambda: place.child("delete-all"),
    }.items():
        restores: Contenders = {
            f"`restore_backup`, {case} (preview, safety backup, history)": lambda: place.manage(
                "restore_backup", name, "--yes"
            ),
            f"`loaddata`, {case}": lambda: place.manage("loaddata", fixture),
        }
        report(measure(restores, runs, before=before))


def measure(
    contenders: Contenders, runs: int, before: Callable[[], object] = lambda: None
) -> dict[str, list[Cost]]:
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, contender in contenders.items():
            before()
            costs[name].append(contender())
    return costs


def report(costs: dict[str, list[Cost]]) -> None:
    ours = statistics.median(cost.cpu for cost in next(iter(costs.values())))
    print("\n| ratio | | CPU s | wall s | peak MB | runs |\n|---|---|---|---|---|---|")
    for name, runs in costs.items():
        cpu, wall, memory = (
            statistics.median(getattr(cost, figure) for cost in runs) for figure in ("cpu", "wall", "memory")
        )
        print(f"| {cpu / ours:.2f} | {name} | {cpu:.1f} | {wall:.1f} | {memory:.0f} | {len(runs)} |")


# --- What runs in a process of its own -------------------------------------------------------------


def child(name: str, arguments: Sequence[str]) -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    import django  # noqa: PLC0415  # only these processes need it

    django.setup()
    CHILDREN[name](*arguments)


def plain_import(*paths: str) -> None:
    """The script that a project without this one would write."""
    import csv  # noqa: PLC0415
    from contextlib import ExitStack  # noqa: PLC0415
    from datetime import UTC, datetime  # noqa: PLC0415
    from itertools import islice  # noqa: PLC0415

    from training.models import Anomaly  # noqa: PLC0415

    with ExitStack() as stack:
        files = [stack.enter_context(Path(path).open(encoding="utf-8", newline="")) for path in paths]
        rows = enumerate(zip(*(csv.reader(file) for file in files), strict=True))
        next(rows)
        anomalies = (
            Anomaly(
                anomaly_id=f"row-{number}",
                equipment_id=row[0],
                system=row[1],
                description=row[2],
                detected_at=datetime.fromisoformat(row[3]).replace(tzinfo=UTC),
                equipment_name=row[4],
                section=row[5],
                availability_score=float(row[6]),
                fiability_score=float(second[6]),
                process_safety_score=float(third[6]),
                status="approved",
                source="import",
            )
            for number, (row, second, third) in rows
        )
        while chunk := list(islice(anomalies, 1_000)):
            Anomaly.objects.bulk_create(chunk)


def change_tenth() -> None:
    """Another score for each record of a random tenth."""
    from django.db.models import F  # noqa: PLC0415
    from django.db.models.functions import Mod  # noqa: PLC0415

    from training.models import Anomaly  # noqa: PLC0415

    tenth = Anomaly.objects.annotate(rest=Mod("pk", 10)).filter(rest=Random().randrange(10))
    tenth.update(availability_score=1.25 + 0.6 * F("availability_score"))


def delete_all() -> None:
    """The records, not their history. In SQL: Django would fetch them first, for simple-history's signal."""
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM training_anomaly")


CHILDREN: dict[str, Callable[..., None]] = {
    "plain-import": plain_import,
    "change-tenth": change_tenth,
    "delete-all": delete_all,
}
BENCHMARKS = {"import": imports, "backup": backups}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("benchmark", choices=BENCHMARKS)
    parser.add_argument("source", metavar="SOURCE_DIR")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgres", metavar="URL", help="for example postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with scratch(options.postgres) as place:
        data = str(place.directory / "data")
        count = str(options.records)
        synthesise = str(HERE.with_name("synthesise.py"))
        place.run(sys.executable, synthesise, options.source, "--records", count, "--out", data)
        database = "PostgreSQL" if options.postgres else "SQLite"
        print(f"{options.benchmark}, {options.records:,} records, {database}, load {os.getloadavg()[0]:.1f};")
        print(
            f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
            f"Django {version('django')}: python benchmarks/scale_data.py {' '.join(sys.argv[1:])}"
        )
        BENCHMARKS[options.benchmark](place, [f"{data}/{name}" for name in FILES], options.runs)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
    else:
        main()
