"""How large the model is, how fast it is loaded, and how much memory a web worker takes.

    .venv/bin/python -m benchmarks.footprint disponibilite.csv fiabilite.csv process_safty.csv

The same scratch installation, servers and options as benchmarks.predict. MB are 10⁶ bytes. RSS counts the
libraries' pages, which the workers share, in each of them; PSS divides them among those who share.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path

import joblib

from benchmarks import servers
from benchmarks.load import Connection, a_second, one_after_another
from benchmarks.machine import describe
from benchmarks.predict import BATCH, CONNECTIONS, parse
from benchmarks.servers import Report, Server


def main() -> None:
    arguments = parse(__doc__)
    peers = servers.with_peers(arguments.peers)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name, ExitStack() as stack:
        scratch = Path(name)
        servers.install([path.resolve() for path in arguments.data], scratch)
        scorer, reports = servers.trained()
        offered = servers.offered(arguments.port, peers, scorer, scratch)
        print(f"{describe()}. Command: `python -m benchmarks.footprint …`, {arguments.rounds} rounds.\n")
        print(files(scratch, arguments.rounds))
        print("| largest process: RSS, PSS | started | after singles | after batches | at rest |")
        print("|---|---|---|---|---|")
        for server in offered:
            pid = stack.enter_context(servers.started(server, scratch / f"{server.name}.log", reports[0]))
            print(f"| {server.name} | {' | '.join(stages(server, pid, reports, arguments.rounds))} |")


def files(scratch: Path, rounds: int) -> str:
    """Sizes, and seconds to load: ours verified and tried, the peer a plain pickle of the same scorer."""
    from training import artifacts  # noqa: PLC0415  # Django was set up by `trained`
    from training.models import ModelVersion  # noqa: PLC0415  # as above

    version = ModelVersion.objects.get(is_active=True)
    plain = scratch / "scorer.pkl"
    twin = (artifacts.directory_of(version) / artifacts.TWIN).stat().st_size
    loading = median_of(lambda: artifacts.load_scorer(version), rounds)
    loading_plain = median_of(lambda: joblib.load(plain), rounds)
    return "\n".join(
        [
            "| the model on disk | MB | loaded in, s |",
            "|---|---|---|",
            f"| ours, with its twin | {version.size_bytes / 1e6:.1f} | |",
            f"| ours, what serves | {(version.size_bytes - twin) / 1e6:.1f} | {loading:.3f} |",
            f"| plain joblib, uncompressed | {plain.stat().st_size / 1e6:.1f} | {loading_plain:.3f} |",
            "",
        ]
    )


def median_of(action: Callable[[], object], rounds: int) -> float:
    """Seconds."""
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def stages(server: Server, pid: int, reports: list[Report], rounds: int) -> list[str]:
    """The largest process once it has answered, after single predictions, after batches, and at rest."""
    one_after_another(Connection(server.url), [server.single(reports[0])] * 20)
    time.sleep(3)  # the workers that were not asked load their model too
    found = [servers.memory(pid)]
    a_second(server.url, [server.single(report) for report in reports[:1_000]], connections=CONNECTIONS)
    found.append(servers.memory(pid))
    batch = server.batch(list(islice(cycle(reports), BATCH)))
    for _ in range(4 * rounds):  # on fresh connections, so that every worker gets some
        Connection(server.url).post(batch)
    found.append(servers.memory(pid))
    time.sleep(3)  # what is given back when nobody asks
    found.append(servers.memory(pid))
    return [f"{rss:.0f}, {pss:.0f}" for rss, pss in found]


if __name__ == "__main__":
    main()
