"""How training grows: 10,000, 100,000 and 1,000,000 approved records, beside the same written plainly.

    .venv/bin/python -m benchmarks.scale_training DIRECTORY --records 10000 100000 1000000

DIRECTORY holds the customer's three files; `synthesise.py` makes the records out of them. Each number of
records is imported into a scratch SQLite database, then `manage.py train` is timed from its start to its end:
backup, held-out evaluation, fit, files written and read back. Memory is that of all its processes together,
at the peak. The peer is `benchmarks/peers/plain_training.py` on the same files; beyond `--plain` records it
is left out, since it takes hours. The exponent of growth between two sizes is log(ratio of times) /
log(ratio of records).
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import median
from benchmarks.machine import command, describe, load, versions_of
from benchmarks.servers import ROOT, family, import_data, run

FILES = ("disponibilite.csv", "fiabilite.csv", "process_safty.csv")
PACKAGES = ("django", "scikit-learn", "scipy", "pandas")
PLAIN = ROOT / "benchmarks/peers/plain_training.py"
LOOK = 0.5  # seconds between looks at the memory


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one training: seconds, and GiB of all its processes at their peak."""

    seconds: float
    memory: float


def main() -> None:
    arguments = parse(__doc__)
    ours: dict[int, list[Cost]] = {}
    plain: dict[int, list[Cost]] = {}
    for records in arguments.records:
        with tempfile.TemporaryDirectory(prefix="benchmark-", dir=arguments.scratch) as name:
            scratch = Path(name)
            files = synthesised(arguments.directory, records, scratch)
            import_data(files, scratch)
            runs = arguments.runs if records <= arguments.plain else 1
            ours[records] = [cost([sys.executable, "manage.py", "train"]) for _ in range(runs)]
            if records <= arguments.plain:
                program = [sys.executable, str(PLAIN), *map(str, files), "--out", str(scratch / "plain")]
                plain[records] = [cost(program)]
    print(document(ours, plain))


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=Path, help="of the customer's three files")
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--runs", type=int, default=5, help="with a peer beside them; one without")
    parser.add_argument("--plain", type=int, default=10_000, help="the most records that the peer gets")
    parser.add_argument("--scratch", type=Path, help="where to make the scratch directory")
    return parser.parse_args()


def synthesised(directory: Path, records: int, scratch: Path) -> list[Path]:
    program = [sys.executable, str(ROOT / "benchmarks/synthesise.py"), str(directory.resolve())]
    run([*program, "--records", str(records), "--out", str(scratch / "files"), "--seed", "0"])
    return [scratch / "files" / name for name in FILES]


def cost(program: Sequence[str]) -> Cost:
    """Raises CalledProcessError; the last lines of what it said are shown then."""
    begin, peak = time.perf_counter(), 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(program, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK)
        seconds = time.perf_counter() - begin
        if process.returncode:
            said.seek(0)
            sys.stderr.write(said.read().decode()[-2000:])
            raise subprocess.CalledProcessError(process.returncode, program)
    return Cost(seconds=seconds, memory=peak)


def memory(pid: int) -> float:
    """GiB of the process and its descendants, shared pages counted once (PSS)."""
    kibibytes = 0
    for member in family(pid):
        with suppress(OSError):
            for line in Path(f"/proc/{member}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    kibibytes += int(line.split()[1])
    return kibibytes / 2**20


def document(ours: dict[int, list[Cost]], plain: dict[int, list[Cost]]) -> str:
    return "\n".join(
        [
            f"{describe()}; load average {load():.1f}.",
            f"{versions_of(Path(sys.executable), PACKAGES)}. Command: `{command('scale_training')}`.",
            "",
            "| records | plain × ours | ours, s | runs | exponent | ours, GiB | plain, s | plain, GiB |",
            "|---|---|---|---|---|---|---|---|",
            *rows(ours, plain),
        ]
    )


def rows(ours: dict[int, list[Cost]], plain: dict[int, list[Cost]]) -> list[str]:
    found, before = [], None
    for records, costs in ours.items():
        seconds, peak = median([c.seconds for c in costs]), max(c.memory for c in costs)
        growth = f"{math.log(seconds / before[1], records / before[0]):.2f}" if before else "–"
        theirs = plain.get(records)
        ratio = f"{theirs[0].seconds / seconds:.1f}" if theirs else "–"
        peer = f"{theirs[0].seconds:.0f} | {theirs[0].memory:.2f}" if theirs else "– | –"
        found.append(
            f"| {records:,} | {ratio} | {seconds:.1f} | {len(costs)} | {growth} | {peak:.2f} | {peer} |"
        )
        before = (records, seconds)
    return found


if __name__ == "__main__":
    os.environ["LOG_LEVEL"] = "WARNING"
    main()
