"""How fast `POST /train` is: three new records on top of the data, beside the same training written plainly.

    .venv/bin/python -m benchmarks.train disponibilite.csv fiabilite.csv process_safty.csv

Imports the files into a scratch database, starts the web server and the queue of the Procfile, and posts
three new records again and again. The answer comes when the records are stored, the present is backed up, the
model is measured on held-out records, fitted to all, compared with the one that serves, written, read back
and published. The peer, `benchmarks/peers/plain_training.py`, is a script of its own: scikit-learn's pipeline
of the same features and questions, measured on held-out records and fitted to all; no backup, no champion, no
service. They take turns.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks import servers
from benchmarks.load import Connection, median
from benchmarks.machine import command, describe, load, versions_of
from benchmarks.servers import ROOT
from e2e.product import command_of

PACKAGES = ("django", "django-q2", "scikit-learn", "scipy", "pandas")
PLAIN = ROOT / "benchmarks/peers/plain_training.py"


def main() -> None:
    arguments = parse(__doc__)
    data = [path.resolve() for path in arguments.data]
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        scratch = Path(name)
        servers.install(data, scratch)
        with process("worker", scratch), process("web", scratch, PORT=str(arguments.port)):
            url = f"http://127.0.0.1:{arguments.port}/train"
            wait_for(url)
            post(url, number=0)  # the queue has started when this one is answered
            ours, plain = [], []
            for number in range(1, arguments.rounds + 1):
                ours.append(post(url, number=number))
                plain.append(train_plainly(data, scratch))
    print(document(ours, plain))


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "data", nargs="+", type=Path, help="the three files of the customer, or others like them"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--port", type=int, default=5160)
    return parser.parse_args()


@contextmanager
def process(name: str, scratch: Path, **environment: str) -> Iterator[None]:
    """A process of the Procfile, for the length of the block."""
    with (scratch / f"{name}.log").open("wb") as output:
        started = subprocess.Popen(
            command_of(name),
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield
    finally:
        started.send_signal(signal.SIGTERM)
        started.wait(timeout=60)


def wait_for(url: str) -> None:
    """Return once the server answers."""
    end = time.monotonic() + servers.PATIENCE
    while time.monotonic() < end:
        with suppress(OSError):
            with suppress(RuntimeError):  # no records: refused, so it answers
                Connection(url).post(b"[]")
            return
        time.sleep(0.5)
    raise RuntimeError("The server does not answer.")


def post(url: str, *, number: int) -> float:
    """Seconds that three new records took to become a new version."""
    records = [
        {
            "anomaly_id": f"benchmark-{number}-{position}",
            "description": f"FUITE HUILE PALIER POMPE {position}",
            "equipment_name": "POMPE",
            "equipment_id": f"benchmark-{position}",
            "availability_score": 2,
            "fiability_score": 1,
            "process_safety_score": 3,
        }
        for position in range(3)
    ]
    seconds, content = Connection(url).post(json.dumps(records).encode())
    statistics = json.loads(content)["statistics"]
    if statistics["total_records_added"] != len(records) or not statistics["backup_location"]:
        raise RuntimeError(f"That was no training on top: {statistics}")
    return seconds


def train_plainly(data: list[Path], scratch: Path) -> float:
    begin = time.perf_counter()
    servers.run([sys.executable, str(PLAIN), *map(str, data), "--out", str(scratch / "plain.joblib")])
    return time.perf_counter() - begin


def document(ours: list[float], plain: list[float]) -> str:
    ratio = median([theirs / mine for mine, theirs in zip(ours, plain, strict=True)])
    return "\n".join(
        [
            f"{describe()}; load average {load():.1f}.",
            f"{versions_of(Path(sys.executable), PACKAGES)}.",
            f"Medians of {len(ours)} rounds. Command: `{command('train')}`.",
            "",
            "| | × ours | median, s | fastest, s | slowest, s |",
            "|---|---|---|---|---|",
            row("`POST /train`, 3 new records", 1.0, ours),
            row("plain script, no service", ratio, plain),
        ]
    )


def row(name: str, ratio: float, seconds: list[float]) -> str:
    figures = (ratio, median(seconds), min(seconds), max(seconds))
    return f"| {name} | {' | '.join(f'{figure:.2f}' for figure in figures)} |"


if __name__ == "__main__":
    main()
