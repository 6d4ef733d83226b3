"""How long a prediction takes while a training runs on the same machine, beside one on the quiet machine.

    .venv/bin/python -m benchmarks.beside_training disponibilite.csv fiabilite.csv process_safty.csv

Trains on the files in a scratch database and starts the web server with two processes. Then, round after
round: single predictions one after another for some seconds, and the same from the start of a training to its
end. Prints a Markdown table. The ratio is the median of the rounds' ratios: what slows a whole round down
cancels out.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

from benchmarks import servers
from benchmarks.load import Connection, Seconds, median, percentile
from benchmarks.machine import command, describe, load
from benchmarks.predict import WARM, parse
from benchmarks.servers import ROOT

QUIET = 10.0  # seconds of predictions without a training, a round


def main() -> None:
    arguments = parse(__doc__)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        scratch = Path(name)
        servers.install([path.resolve() for path in arguments.data], scratch)
        _, reports = servers.trained()
        server = servers.ours(arguments.port)
        with servers.started(server, scratch / "server.log", reports[0]):
            connection, bodies = Connection(server.url), cycle(map(server.single, reports))
            for _ in range(WARM):
                connection.post(next(bodies))
            rounds = [
                (list(quiet(connection, bodies)), list(during_a_training(connection, bodies)))
                for _ in range(arguments.rounds)
            ]
    print(document(rounds))


def quiet(connection: Connection, bodies: Iterator[bytes]) -> Iterator[Seconds]:
    end = time.monotonic() + QUIET
    while time.monotonic() < end:
        yield connection.post(next(bodies))[0]


def during_a_training(connection: Connection, bodies: Iterator[bytes]) -> Iterator[Seconds]:
    """Predict until the training has ended. Raises CalledProcessError when it failed."""
    train = [sys.executable, "manage.py", "train"]
    with subprocess.Popen(train, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as training:
        while training.poll() is None:
            yield connection.post(next(bodies))[0]
    if training.returncode:
        raise subprocess.CalledProcessError(training.returncode, train)


def document(rounds: list[tuple[list[Seconds], list[Seconds]]]) -> str:
    lines = [
        f"{describe()}; load average {load():.1f}.",
        f"Medians of {len(rounds)} rounds. Command: `{command('beside_training')}`.",
        "",
        "| | quiet, ms | during a training, ms | ratio (of each round) |",
        "|---|---:|---:|---:|",
    ]
    for share in (50, 90, 99):
        pairs = [(percentile(alone, share), percentile(beside, share)) for alone, beside in rounds]
        ratios = [beside / alone for alone, beside in pairs]
        alone, beside = (1000 * median(list(column)) for column in zip(*pairs, strict=True))
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(f"| p{share} | {alone:.2f} | {beside:.2f} | {median(ratios):.2f} ({each}) |")
    counted = ", ".join(f"{len(alone)} and {len(beside)}" for alone, beside in rounds)
    return "\n".join([*lines, "", f"Predictions a round: {counted}."])


if __name__ == "__main__":
    main()
