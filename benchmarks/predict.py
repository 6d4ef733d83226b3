"""How fast predictions are served: ours, MLflow's and BentoML's server, and the same scorer in-process.

    .venv/bin/python -m benchmarks.predict disponibilite.csv fiabilite.csv process_safty.csv

Trains on the files in a scratch database, starts the three servers with two processes each, checks that they
answer the same, and asks them in turn, round after round, with the same client. Prints a Markdown table.
The peers live in an environment of their own (`--peers`), made from benchmarks/requirements.txt when missing.

× ours: how many times as long as ours, the median of the rounds' ratios. CPU: of all the server's processes.
In-process: the scorer's predict of the reports as columns, with the values that the servers answer made of it
as plain Python, or bare.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks import servers
from benchmarks.answers import STATED, plain
from benchmarks.load import Connection, a_second, median, one_after_another, percentile
from benchmarks.machine import command, describe, load, versions_of
from benchmarks.servers import ROOT, Report, Server

if TYPE_CHECKING:  # imported once the settings know the scratch database
    from training.ml.scorer import AnomalyScorer

BATCH = 6_000
OURS, IN_PROCESS, BARE = "ours", "in-process, plain result", "in-process, bare `predict`"
CONNECTIONS = 8
OUR_PACKAGES = ("django", "djangorestframework", "gunicorn", "orjson", "scikit-learn")
THEIR_PACKAGES = ("mlflow", "bentoml", "scikit-learn")
WARM = 40  # requests before anything is timed
# What is measured in a round, and its unit in the table.
MEASURES = {
    "single p50": "ms",
    "single p99": "ms",
    "CPU a single": "ms",
    f"at {CONNECTIONS} connections": "/s",
    f"{BATCH:,}": "ms",
    f"CPU of {BATCH:,}": "ms",
}
SINGLE, P99, SINGLE_CPU, RATE, MANY, MANY_CPU = MEASURES

Round: TypeAlias = dict[str, float]  # by measure: seconds, or answers a second


def main() -> None:
    arguments = parse(__doc__)
    peers = servers.with_peers(arguments.peers)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, ExitStack() as stack:
        scratch = Path(name)
        servers.install([path.resolve() for path in arguments.data], scratch)
        scorer, reports = servers.trained()
        running = {
            server: stack.enter_context(servers.started(server, scratch / f"{server.name}.log", reports[0]))
            for server in servers.offered(arguments.port, peers, scorer, scratch)
        }
        check_answers(list(running), scorer, reports)
        rounds = [
            {name: figures() for name, figures in turns(running, scorer, reports, arguments.requests)}
            for _ in range(arguments.rounds)
        ]
    print(document(rounds, peers))


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "data", nargs="+", type=Path, help="the three files of the customer, or others like them"
    )
    parser.add_argument("--peers", type=Path, default=ROOT / ".venv-benchmarks", help="their environment")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300, help="single predictions, twice a round")
    parser.add_argument("--port", type=int, default=5150, help="the first of three")
    return parser.parse_args()


def check_answers(offered: list[Server], scorer: "AnomalyScorer", reports: list[Report]) -> None:
    """Raises RuntimeError when a server does not answer exactly what the scorer says."""
    said = plain(scorer.predict(columns(reports)))
    for server in offered:
        connection = Connection(server.url)
        answered = server.answers(connection.post(server.batch(reports))[1])
        alone = [server.answers(connection.post(server.single(report))[1])[0] for report in reports[:100]]
        if answered != said or alone != said[:100]:
            raise RuntimeError(f"{server.name} answers something else than the scorer.")


def turns(
    running: dict[Server, int], scorer: "AnomalyScorer", reports: list[Report], requests: int
) -> Iterator[tuple[str, Callable[[], Round]]]:
    """Who is measured in a round, in order."""
    for server, pid in running.items():
        yield server.name, partial(ask, server, pid, reports, requests)
    yield IN_PROCESS, partial(call, scorer, reports, requests, result=plain)
    yield BARE, partial(call, scorer, reports, requests, result=lambda suggestions: suggestions)


def ask(server: Server, pid: int, reports: list[Report], requests: int) -> Round:
    """One round of one server, on fresh connections."""
    bodies = [server.single(report) for report in reports[: 2 * requests + WARM]]
    batch = server.batch(list(islice(cycle(reports), BATCH)))
    connection, figures = Connection(server.url), Round()
    one_after_another(connection, bodies[:WARM])
    begin = servers.cpu_seconds(pid)
    singles = one_after_another(connection, bodies[WARM : WARM + requests])
    figures |= {SINGLE: percentile(singles, 50), P99: percentile(singles, 99)}
    figures[SINGLE_CPU] = (servers.cpu_seconds(pid) - begin) / requests
    figures[RATE] = a_second(server.url, bodies[-requests:], connections=CONNECTIONS)
    begin = servers.cpu_seconds(pid)
    figures[MANY], _ = Connection(server.url).post(batch)
    figures[MANY_CPU] = servers.cpu_seconds(pid) - begin
    return figures


def call(
    scorer: "AnomalyScorer", reports: list[Report], requests: int, *, result: Callable[[Any], object]
) -> Round:
    """One round in-process: from the reports as columns to `result` of what the scorer says."""
    many = columns(list(islice(cycle(reports), BATCH)))
    singles = [columns([report]) for report in reports[WARM : WARM + requests]]
    times, cpu = [], time.process_time()
    for single in singles:
        begin = time.perf_counter()
        result(scorer.predict(single))
        times.append(time.perf_counter() - begin)
    figures = {SINGLE: percentile(times, 50), P99: percentile(times, 99)}
    figures[SINGLE_CPU] = (time.process_time() - cpu) / requests
    begin, cpu = time.perf_counter(), time.process_time()
    result(scorer.predict(many))
    return figures | {MANY: time.perf_counter() - begin, MANY_CPU: time.process_time() - cpu}


def columns(reports: list[Report]) -> dict[str, list[str]]:
    return {name: [report[name] for report in reports] for name in STATED}


def document(rounds: list[dict[str, Round]], peers: Path) -> str:
    """The table, ratios first, and how it came about."""
    headings = [f"{measure}, {unit}" for measure, unit in MEASURES.items()]
    lines = [
        f"| {' | '.join(['', *(f'× ours: {measure}' for measure in (SINGLE, MANY)), *headings])} |",
        f"|{'---|' * (3 + len(headings))}",
        *(row(name, rounds) for name in rounds[0]),
    ]
    interpreters = ((Path(sys.executable), OUR_PACKAGES), (peers / "bin/python", THEIR_PACKAGES))
    return "\n".join(
        [
            f"{describe()}; load average {load():.1f}.",
            "; ".join(versions_of(*interpreter) for interpreter in interpreters) + ".",
            (
                f"Medians of {len(rounds)} rounds; {servers.WORKERS} processes a server. "
                f"Command: `{command('predict')}`."
            ),
            "",
            *lines,
        ]
    )


def row(name: str, rounds: list[dict[str, Round]]) -> str:
    """Ratios are medians of each round's ratio: what slows a whole round down cancels out."""
    ratios = [
        f"{median([figures[name][measure] / figures[OURS][measure] for figures in rounds]):.2f}"
        for measure in (SINGLE, MANY)
    ]
    figures = [shown(rounds, name, measure) for measure in MEASURES]
    return f"| {name} | {' | '.join(ratios + figures)} |"


def shown(rounds: list[dict[str, Round]], name: str, measure: str) -> str:
    values = [figures[name][measure] for figures in rounds if measure in figures[name]]
    if not values:
        return "–"
    return f"{median(values):.0f}" if measure == RATE else f"{median(values) * 1000:.1f}"


if __name__ == "__main__":
    main()
