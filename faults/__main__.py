"""`python -m faults`: the product, really running, through every fault that it must survive.

Figures 1 to 9 of docs/reliability.md, on SQLite and, when it answers, on PostgreSQL; a table of faults tried
and survived. The first loss ends the run, with what was lost and an exit code that is not 0.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg

from e2e.product import ROOT, database, free_port
from faults.table import print_titles
from tests.queue_processes import MARK, running

FIGURES = range(1, 10)
SERVER = "postgres://postgres@127.0.0.1:5432"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument("--short", action="store_true", help="each fault once, on one of the databases")
    parser.add_argument(
        "--most", type=int, default=500, metavar="N", help="try no fault more often than that"
    )
    parser.add_argument("--figures", type=_figures, default=list(FIGURES), metavar="1,2,…")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], help="default: both")
    parser.add_argument("--server", default=SERVER, help=f"where PostgreSQL answers (default: {SERVER})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    databases = [options.database] if options.database else _databases(options.server)
    print_titles()

    def on(turn: int) -> int:
        effort = json.dumps([options.short, options.most, turn, len(databases)])
        return run(databases[turn], options.server, options.figures, effort)

    if options.short:
        with ThreadPoolExecutor() as pool:
            return max(pool.map(on, range(len(databases))))
    return next((code for turn in range(len(databases)) if (code := on(turn))), 0)


def run(name: str, server: str, figures: list[int], effort: str) -> int:
    """The figures on that database, in a process of their own: its settings say which; the exit code.

    Nothing that it started is left.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as directory:
        scratch = Path(directory)
        (scratch / "media").mkdir()
        (scratch / "shots").mkdir()
        with database(scratch, f"{server}/x" if name == "postgresql" else "") as url:
            environment = _environment(scratch, url) | {"FAULTS": effort}
            command = [sys.executable, "-m", "faults.one_database", str(scratch), *map(str, figures)]
            try:
                return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
            finally:
                for process in running(environment[MARK]):
                    with suppress(ProcessLookupError):
                        process.signal(signal.SIGKILL)


def _environment(scratch: Path, url: str) -> dict[str, str]:
    return os.environ | {
        "DJANGO_SETTINGS_MODULE": "anomalyproject.settings",
        "DATABASE_URL": url,
        "MEDIA_ROOT": str(scratch / "media"),
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "ARTIFACT_SIGNING_KEYS": secrets.token_hex(32),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LOG_LEVEL": "WARNING",
        "KEEP_MODEL_VERSIONS": "5",  # so that trainings remove old ones too
        "KEEP_BACKUPS": "8",
        MARK: secrets.token_hex(8),
    }


def _figures(text: str) -> list[int]:
    chosen = [int(part) for part in text.split(",")]
    if not set(chosen) <= set(FIGURES):
        raise argparse.ArgumentTypeError("figures are 1 to 9")
    return chosen


def _databases(server: str) -> list[str]:
    try:
        psycopg.connect(f"{server}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError:
        print("No PostgreSQL answers: on SQLite only.")
        return ["sqlite"]
    return ["sqlite", "postgresql"]


if __name__ == "__main__":
    sys.exit(main())
