"""`make nodes`: three web nodes, three queue nodes, one database, one S3 server, one Redis; some are killed.

First trainings, while a queue node is killed and another one paused beyond its lease; then trainings and
activations under load, while a web node and a queue node are killed; then long files of reports, scored by
more and more nodes, one of which is killed. All of it on this machine, with loopback addresses only.
"""

import argparse
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

from nodes.activations import activations
from nodes.fleet import Fleet, fleet, is_healthy, wait_until
from nodes.prediction_jobs import prediction_jobs
from nodes.report import Report
from nodes.trainings import Trainings

WORKERS = (3, 3, 2)  # of the web nodes
QUEUES = 3


def main() -> int:
    options = _options()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="nodes-") as scratch:
        with fleet(Path(scratch), options.server, options.redis) as ours:
            _start(ours, report)
            if "trainings" in options.parts:
                with Trainings.watched(ours, report) as trainings:
                    trainings.lose_holders()
                    with trainings.asked_for(40 if options.short else 500):
                        activations(ours, report, WORKERS, count=12 if options.short else 50)
            if "jobs" in options.parts:
                prediction_jobs(ours, report, rows=options.rows or (60_000 if options.short else 1_000_000))
        print("All of it holds." if not report.wrong else f"{report.wrong} of these do not hold.")
    return int(report.wrong > 0)


def _start(ours: Fleet, report: Report) -> None:
    began = time.monotonic()
    for workers in WORKERS:
        ours.start("web", WEB_WORKERS=str(workers))
    for _ in range(QUEUES):
        ours.start("worker")
    for node in ours.webs:
        wait_until(partial(is_healthy, node), f"{node.name} is healthy")
    ready = time.monotonic() - began
    report.say(f"3 web nodes ({sum(WORKERS)} workers) and {QUEUES} queue nodes: ready in {ready:.1f} s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodes", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help="40 requests, 12 activations, files of 60,000 rows: some minutes"
    )
    parser.add_argument("--parts", nargs="+", choices=["trainings", "jobs"], default=["trainings", "jobs"])
    parser.add_argument("--rows", type=int, help="of the files of reports (default: 1,000,000)")
    parser.add_argument("--server", default="postgres://postgres@127.0.0.1:5432/postgres", metavar="URL")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
