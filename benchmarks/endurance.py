"""An hour of everything at once: no error, no lock error, memory and file descriptors flat.

    python -m benchmarks.endurance /plant/data/*.csv --minutes 60
    DATABASE_URL=postgres://postgres@127.0.0.1:5432/x python -m benchmarks.endurance /plant/data/*.csv
    python -m benchmarks.endurance data/*.csv --minutes 10 --writers 8 --readers 16 --pace 5 --scheduled

Starts the product as `make run` does, with the files' records, in a directory of its own. Writers report,
clients ask for predictions, reviewers approve, a training runs every minute and its version serves; readers
go through lists, if there are any; `--scheduled` leaves the trainings to the queue's scheduler. Memory
(RSS) and descriptors of every process of the product are read every ten seconds. Ends with 1 when a request
failed, a log holds an error, or a web or queue process is more than a tenth larger at the end than after
warming up (the medians of the last fifth and of the second one).
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import machine
from benchmarks.mixed_load import Client, Tally, keep_at, predict, read, review, train, write
from e2e.product import PASSWORD, Product, running

SAMPLED_EVERY = 10.0  # seconds
ALLOWED = 1.10  # how much larger the end may be
KINDS = {"gunicorn": "web", "run_training": "training", "run_prediction_jobs": "jobs", "qcluster": "queue"}
BAD_LINES = ("ERROR", "CRITICAL", "Traceback", "database is locked")
LASTING = {"web", "queue"}  # a training's process is another one each time
REVIEWERS = ("ana", "luc")
EVERY_MINUTE = (
    "from training.schedules import plan_training; "
    "plan_training(user=None, changes={'cron': '* * * * *', 'minimum_new': 1})"
)
SESSIONS = (
    "from collections import Counter; from training.models import TrainingSession; "
    "rows = TrainingSession.objects.values_list('trigger', 'status'); "
    "print(', '.join(f'{n} {how} {status}' for (how, status), n in Counter(rows).items()))"
)


@dataclass
class Growth:
    """What the product's processes take, by kind: the largest of each at each look."""

    memory: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # MB
    descriptors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def look(self, mark: str) -> None:
        largest: dict[str, tuple[float, int]] = {}
        for kind, megabytes, files in _processes(mark):
            before = largest.get(kind, (0.0, 0))
            largest[kind] = (max(before[0], megabytes), max(before[1], files))
        for kind, (megabytes, files) in largest.items():
            self.memory[kind].append(megabytes)
            self.descriptors[kind].append(files)

    def rows(self) -> Iterator[tuple[str, str, float, float]]:
        """Kind, what, after warming up, at the end; of what was there nearly all the time."""
        looks = max(map(len, self.memory.values()))
        for what, taken in (("MB", self.memory), ("descriptors", self.descriptors)):
            for kind, values in sorted(taken.items()):
                if len(values) > looks * 0.9:
                    fifth = max(1, len(values) // 5)
                    yield kind, what, _median(values[fifth : 2 * fifth]), _median(values[-fifth:])


def main() -> int:
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="endurance-") as scratch, running(Path(scratch)) as product:
        product.manage("import_anomalies", *map(str, arguments.files))
        if arguments.scheduled:
            product.shell(EVERY_MINUTE)
        tally, growth = Tally(), Growth()
        begin = time.monotonic()
        _run(product, tally, growth, arguments)
        seconds = time.monotonic() - begin
        print("Sessions: " + product.shell(SESSIONS))
        return _report(tally, growth, list(_bad_lines(Path(scratch))), seconds)


def _run(product: Product, tally: Tally, growth: Growth, arguments: argparse.Namespace) -> None:
    token = _prepare(product)
    stop, numbers = threading.Event(), iter(range(1_000))

    def client(with_token: str = token) -> Client:
        return Client(product=product, tally=tally, number=next(numbers), token=with_token)

    pause = 0.5 / arguments.pace
    threads = [keep_at(write, client(), pause, stop) for _ in range(arguments.writers)]
    threads += [keep_at(read, client(), pause, stop) for _ in range(arguments.readers)]
    threads += [keep_at(predict, client(), pause / 2, stop) for _ in range(arguments.predictors)]
    for name in REVIEWERS:
        reviewer = client("")
        reviewer.log_in(name)
        threads.append(keep_at(review, reviewer, 2.0, stop))
    if not arguments.scheduled:
        threads.append(keep_at(train, client(), arguments.train_every, stop))
    until = time.monotonic() + arguments.minutes * 60
    while time.monotonic() < until:
        time.sleep(SAMPLED_EVERY)
        growth.look(product.environment["MEDIA_ROOT"])
        left = (until - time.monotonic()) / 60
        print(
            f"\r{left:5.1f} min left, {sum(tally.done.values()):,} done, {sum(tally.failed.values())} failed",
            end="",
        )
    stop.set()
    for thread in threads:
        thread.join(120)
    print()


def _prepare(product: Product) -> str:
    """Reviewers who may log in; the token of a client that may do everything."""
    people = dict.fromkeys(REVIEWERS, "review_anomaly view_anomaly")
    product.shell(f"from e2e.people import add_people; add_people({people!r}, {PASSWORD!r})")
    return product.shell(
        "from django.contrib.auth.models import User; from rest_framework.authtoken.models import Token; "
        "print(Token.objects.get_or_create(user=User.objects.get(username='owner'))[0].key)"
    )


def _report(tally: Tally, growth: Growth, bad: list[str], seconds: float) -> int:
    print(f"{machine.command('endurance')}\n{machine.describe()}, load {machine.load():.1f}")
    print(f"\n{seconds / 60:.1f} minutes\n\n| what | done | slowest, s |\n|---|---:|---:|")
    for name, count in sorted(tally.done.items()):
        print(f"| {name} | {count:,} | {tally.slowest[name]:.2f} |")
    print("\n| process | | after warming up | at the end | ratio |\n|---|---|---:|---:|---:|")
    grown = 0
    for kind, what, before, after in growth.rows():
        grown += kind in LASTING and after > before * ALLOWED
        print(f"| {kind} | {what} | {before:.0f} | {after:.0f} | {after / before:.2f} |")
    for sentence, count in tally.failed.most_common(20):
        print(f"FAILED {count} × {sentence}")
    for line in bad[:20]:
        print(f"LOGGED {line}")
    print(f"\n{sum(tally.failed.values())} requests failed, {len(bad)} bad lines logged, {grown} grew")
    return int(bool(tally.failed or bad or grown))


def _processes(mark: str) -> Iterator[tuple[str, float, int]]:
    """Kind, megabytes and open files of every process of the product."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark.encode() not in (entry / "environ").read_bytes():
                continue
            command = (entry / "cmdline").read_text()
            status = dict(line.split(":", 1) for line in (entry / "status").read_text().splitlines())
            files = len(list((entry / "fd").iterdir()))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        kind = next((kind for word, kind in KINDS.items() if word in command), None)
        if kind and "VmRSS" in status:
            yield kind, int(status["VmRSS"].split()[0]) / 1024, files


def _bad_lines(scratch: Path) -> Iterator[str]:
    for log in sorted(scratch.glob("*.log")):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if any(word in line for word in BAD_LINES):
                yield f"{log.name}: {line[:300]}"


def _median(values: list[float]) -> float:
    return statistics.median(values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "files", nargs="+", type=Path, help="the customer's three CSVs, or one with all scores"
    )
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--predictors", type=int, default=6)
    parser.add_argument("--readers", type=int, default=0)
    parser.add_argument("--pace", type=float, default=1, help="how many times as often they ask (default: 1)")
    parser.add_argument("--scheduled", action="store_true", help="the scheduler trains, every minute")
    parser.add_argument("--train-every", type=float, default=60, metavar="SECONDS")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
