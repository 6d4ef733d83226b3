"""What a step of the review desk takes of the server, beside many pending anomalies.

    .venv/bin/python -m benchmarks.review_steps SOURCE_DIR --out DIR [--postgres URL]

The database is made and kept as that of `pages.py`. A reviewer opens the page, fetches the following
card, and then approves one anomaly after the other, each answered with the card behind the next one, as the
script of the page does it; every fifth step rejects, every seventh skips. CPU is that of this process plus,
with PostgreSQL, of the server's process for it.
"""

import argparse
import gc
import re
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import command, describe, load, versions_of
from benchmarks.pages import PACKAGES, fill_when_empty, prepare, server_seconds

LIMIT = 150  # ms of a step
WARM = 3  # first steps, which load what is loaded once


def main() -> None:
    options = parse()
    name = prepare(options)
    import django  # noqa: PLC0415  # after the environment is set

    django.setup()
    from django.conf import settings  # noqa: PLC0415

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    fill_when_empty(options)
    from training.models import Anomaly  # noqa: PLC0415

    pending = Anomaly.objects.pending().count()
    print(
        f"`{command('review_steps')}`, {name}, {pending:,} pending; load {load():.1f}; {describe()}; ", end=""
    )
    print(f"{versions_of(Path(sys.executable), PACKAGES)}\n")
    print("| request | runs | queries | ms CPU, median | most | ms wall, median | most |")
    print("|---|---|---|---|---|---|---|")
    page, ahead, steps = walk(options.runs + WARM)
    for what, costs in (("page", [page]), ("following card", [ahead]), ("step", steps[WARM:])):
        queries = sorted({cost.queries for cost in costs})
        asked = "–".join(map(str, sorted({queries[0], queries[-1]})))
        figures = " | ".join(
            f"{statistics.median(times):.0f} | {max(times):.0f}"
            for times in ([cost.cpu for cost in costs], [cost.wall for cost in costs])
        )
        print(f"| {what} | {len(costs)} | {asked} | {figures} |")
    slow = sum(cost.cpu > LIMIT for cost in steps[WARM:])
    print(f"\n{slow} of {len(steps) - WARM} steps take more than {LIMIT} ms of CPU.")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--pending", type=float, default=0.5, metavar="SHARE")
    parser.add_argument("--runs", type=int, default=40, help="steps")
    parser.add_argument("--postgres", metavar="URL", help="for example postgres://postgres@127.0.0.1:5432")
    return parser.parse_args()


class Cost(NamedTuple):
    cpu: float  # ms
    wall: float  # ms
    queries: int


def walk(count: int) -> tuple[Cost, Cost, list[Cost]]:
    """What the page, the first following card and `count` steps cost."""
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from anomalyproject.urls import urlpatterns  # noqa: F401, PLC0415  # registers the admin's pages
    from training.models import ReviewLease  # noqa: PLC0415

    user = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("bench")
    ReviewLease.objects.all().delete()
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    address = "/admin/training/anomaly/review/"
    client.get(address)  # which loads the model
    gc.collect()
    gc.freeze()  # as anomalyproject/gunicorn.py does
    page, html = _timed(client.get, address)
    shown = _shown(html)
    ahead, html = _timed(client.get, f"{address}?after={shown['anomaly']}")
    following = _shown(html)
    steps = []
    for number in range(1, count + 1):
        decision = "skip" if number % 7 == 0 else "reject" if number % 5 == 0 else "approve"
        data = {**shown, "decision": decision, "reason": "benchmark" if decision == "reject" else ""}
        cost, html = _timed(client.post, f"{address}?after={following['anomaly']}", data)
        if 'data-place="again"' in html:
            raise RuntimeError(f"refused: {data}")
        steps.append(cost)
        shown, following = following, _shown(html)
    return page, ahead, steps


def _shown(html: str) -> dict[str, str]:
    """What the form of this card would send."""
    hidden = dict(re.findall(r'<input type="hidden" name="(anomaly|seen)" value="([^"]*)"', html))
    return hidden | dict(re.findall(r'name="(\w+_score)" value="(\d)" checked', html))


def _timed(ask: Any, *arguments: Any) -> tuple[Cost, str]:
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as queries:
        wall, cpu = time.perf_counter(), time.process_time() + server_seconds()
        response = ask(*arguments)
        wall, cpu = time.perf_counter() - wall, time.process_time() + server_seconds() - cpu
    if response.status_code != 200:
        raise RuntimeError(f"{arguments[0]}: {response.status_code}")
    return Cost(1000 * cpu, 1000 * wall, len(queries)), response.content.decode()


if __name__ == "__main__":
    main()
