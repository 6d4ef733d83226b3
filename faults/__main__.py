"""`python -m faults`: the product, really running, through every fault that it must survive.

The figures of docs/reliability.md that harm an installation, on SQLite and, when they answer, on PostgreSQL
and in production's configuration with PostgreSQL, Redis and S3; a table of faults tried and survived. The
first loss ends the run, with what was lost and an exit code that is not 0.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

from e2e.product import ROOT
from faults.configurations import CONFIGURATIONS, REDIS, Configuration, installed
from faults.mounts import DATABASE, MEDIA, mounted
from faults.table import print_titles
from tests.queue_processes import MARK, running

FIGURES = sorted({figure for each in CONFIGURATIONS.values() for figure in each.figures})
SERVER = "postgres://postgres@127.0.0.1:5432"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m faults", description=__doc__)
    parser.add_argument(
        "--short",
        action="store_true",
        help="some minutes: most figures, each fault once",
    )
    parser.add_argument(
        "--most", type=int, default=500, metavar="N", help="try no fault more often than that"
    )
    parser.add_argument("--figures", type=_figures, metavar="1,2,…")
    parser.add_argument(
        "--database", choices=list(CONFIGURATIONS), action="append", help="default: all that can run here"
    )
    parser.add_argument("--server", default=SERVER, help=f"where PostgreSQL answers (default: {SERVER})")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = [CONFIGURATIONS[name] for name in options.database or _available(options.server)]
    print_titles()

    def on(configuration: Configuration) -> int:
        offered = configuration.short if options.short and not options.figures else configuration.figures
        figures = [figure for figure in options.figures or offered if figure in configuration.figures]
        effort = [options.short, options.most, [each.name for each in chosen]]
        return run(configuration, options.server, figures, json.dumps(effort)) if figures else 0

    if options.short:
        with ThreadPoolExecutor() as pool:
            return max(pool.map(on, chosen))
    return next((code for configuration in chosen if (code := on(configuration))), 0)


def run(configuration: Configuration, server: str, figures: list[int], effort: str) -> int:
    """The figures on that installation, in a process of their own: its settings say which; the exit code.

    Nothing that it started is left.
    """
    with tempfile.TemporaryDirectory(prefix="faults-", ignore_cleanup_errors=True) as directory:
        scratch = Path(directory)
        (scratch / "shots").mkdir()
        with (
            mounted(scratch / MEDIA, scratch / DATABASE),
            installed(configuration, scratch, server) as environment,
        ):
            environment |= {"FAULTS": effort}
            command = [sys.executable, "-m", "faults.one_database", str(scratch), *map(str, figures)]
            try:
                return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode
            finally:
                for process in running(environment[MARK]):
                    with suppress(ProcessLookupError):
                        process.signal(signal.SIGKILL)


def _figures(text: str) -> list[int]:
    chosen = [int(part) for part in text.split(",")]
    if not set(chosen) <= set(FIGURES):
        raise argparse.ArgumentTypeError(f"figures are {', '.join(map(str, FIGURES))}")
    return chosen


def _available(server: str) -> list[str]:
    """The configurations whose servers answer."""
    try:
        psycopg.connect(f"{server}/postgres", connect_timeout=3).close()
    except psycopg.OperationalError:
        print("No PostgreSQL answers: on SQLite only.")
        return ["sqlite"]
    try:
        with redis.Redis.from_url(REDIS, socket_timeout=3) as client:
            client.ping()
    except redis.RedisError:
        print("No Redis answers: not in production's configuration.")
        return ["sqlite", "postgresql"]
    return list(CONFIGURATIONS)


if __name__ == "__main__":
    sys.exit(main())
