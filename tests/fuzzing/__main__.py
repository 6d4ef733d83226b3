"""`make fuzz`: 10,000 requests, recorded once, sent to the product on SQLite and on PostgreSQL, compared.

    python -m tests.fuzzing [--requests 10000] [--seed 1] [--postgres postgres://…]

Exit status 1 when an answer is a server error or another than described, or when the databases disagree.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import django

CORPUS = Path(__file__).parent.parent / "corpus" / "found"
SERVER = "postgres://postgres@127.0.0.1:5432/anomalies_fuzz"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", default=SERVER, help="a server on which a test database may be made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        recorded = Path(scratch, "requests.jsonl")
        print(
            f"{_record(recorded, options.requests, options.seed)} requests recorded, seed {options.seed}",
            flush=True,
        )
        databases = {"SQLite": "", "PostgreSQL": options.postgres}
        answers = {name: Path(scratch, name) for name in databases}
        passed = [_replay(recorded, answers[name], url) for name, url in databases.items()]
        return 0 if _compare(answers) and all(passed) else 1


def _record(path: Path, count: int, number: int) -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    django.setup()
    from tests.fuzzing.recording import record, write  # noqa: PLC0415  # they need Django

    made = record(count, number=number)
    write(path, made)
    return len(made)


def _replay(recorded: Path, answers: Path, url: str) -> bool:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"FUZZ_REQUESTS": str(recorded), "FUZZ_ANSWERS": str(answers), "FUZZ_KEEP": str(CORPUS)}
    environment["LOG_LEVEL"] = "CRITICAL"
    if url:
        environment["DATABASE_URL"] = url
    command = [
        sys.executable,
        "-m",
        "pytest",
        "tests/fuzzing/test_replay.py",
        "-n",
        "0",
        "-q",
        "--show-capture=no",
    ]
    return subprocess.run(command, env=environment, check=False).returncode == 0


def _compare(answers: dict[str, Path]) -> bool:
    """Tell how each database answered, and where they differ."""
    told = {
        name: path.read_text(encoding="utf-8").splitlines() for name, path in answers.items() if path.exists()
    }
    for name, lines in told.items():
        statuses = Counter(line.rpartition(" ")[2] for line in lines)
        print(
            f"{name}: {len(lines)} requests, "
            + ", ".join(f"{n} × {status}" for status, n in sorted(statuses.items()))
        )
    if len(told) < len(answers):
        return False
    first, second = told.values()
    differing = [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]]
    print(f"{len(differing)} of {len(first)} requests have another status on the other database")
    for one, other in differing[:20]:
        print(f"  {one} / {other}")
    return not differing


if __name__ == "__main__":
    sys.exit(main())
