"""Approve, reject and reopen many anomalies at once, beside django-simple-history's own way to do it.

    .venv/bin/python -m benchmarks.bulk [--records N] [--runs N] [--postgres URL]

On a scratch database, dropped again, of N scored pending anomalies. CPU is that of this process plus, with
PostgreSQL, of the server's process for it; medians. The peer gives each row its status and writes it with
`bulk_update_with_history`, as this project did.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.machine import command, describe, load, versions_of
from benchmarks.pages import create_database, once

PACKAGES = ("django", "django-simple-history")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--records", type=int, default=10_000, help="what a list acts on at most")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--postgres", metavar="URL", help="for example postgres://postgres@127.0.0.1:5432")
    options = parser.parse_args()
    with scratch(options.postgres):
        print(f"`{command('bulk')}`; load {load():.1f}; {describe()}; ", end="")
        print(f"{versions_of(Path(sys.executable), PACKAGES)}; medians of {options.runs}\n")
        measure(options.records, options.runs)


@contextmanager
def scratch(server: str | None) -> Iterator[None]:
    """A database with the project's tables, and Django set up on it."""
    with tempfile.TemporaryDirectory() as place:
        name = f"bulk_{Path(place).name.lower()}"
        if server:
            create_database(server, name)
        url = f"{server}/{name}" if server else f"sqlite:///{place}/db.sqlite3"
        os.environ |= {"DATABASE_URL": url, "MEDIA_ROOT": place, "DJANGO_SETTINGS_MODULE": SETTINGS}
        os.environ |= {"LOG_LEVEL": "ERROR"}
        import django  # noqa: PLC0415  # its settings read what was prepared

        django.setup()
        from django.core.management import call_command  # noqa: PLC0415
        from django.db import connection  # noqa: PLC0415

        call_command("migrate", verbosity=0)
        try:
            yield
        finally:
            connection.close()
            if server:
                drop_database(server, name)


SETTINGS = "anomalyproject.settings"


def drop_database(server: str, name: str) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}"')


def measure(records: int, runs: int) -> None:
    from django.contrib.auth.models import User  # noqa: PLC0415

    from training import review  # noqa: PLC0415
    from training.models import Anomaly  # noqa: PLC0415

    user = User.objects.create_user("reviewer")
    Anomaly.objects.bulk_create(_anomaly(n) for n in range(records))
    Anomaly.objects.all().note_history("+", user=None, reason="benchmark")
    status = Anomaly.Status
    verbs: dict[str, tuple[Callable[..., int], str]] = {
        "approve": (review.approve, status.APPROVED),
        "reject": (review.reject, status.REJECTED),
        "reopen": (review.reopen, status.PENDING),
    }
    costs: dict[tuple[str, bool], list[tuple[float, float, float]]] = {}
    for _run in range(runs):
        for is_ours in (True, False):
            for name, (verb, becomes) in verbs.items():
                change = verb if is_ours else _peer(becomes)

                def answer(change: Callable[..., int] = change) -> None:
                    assert change(anomalies=Anomaly.objects.all(), user=user, reason="why") == records  # noqa: S101

                costs.setdefault((name, is_ours), []).append(once(answer))
    print("| | s CPU | s wall | peer, s CPU | s wall | × |\n|---|---|---|---|---|---|")
    for name in verbs:
        (cpu, wall), (peer_cpu, peer_wall) = (_medians(costs[name, is_ours]) for is_ours in (True, False))
        figures = " | ".join(f"{figure:.2f}" for figure in (cpu, wall, peer_cpu, peer_wall))
        print(f"| {name} {records:,} | {figures} | {peer_cpu / cpu:.1f} |")


def _medians(costs: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Seconds of CPU and on the clock."""
    return (
        statistics.median(here + server for here, server, _wall in costs) / 1000,
        statistics.median(wall for *_cpu, wall in costs) / 1000,
    )


def _anomaly(n: int) -> Any:
    from training.models import Anomaly  # noqa: PLC0415

    return Anomaly(
        anomaly_id=f"ANO-{n:07d}",
        description=f"VIBRATION PALIER VENTILATEUR TIRAGE B COTE LIBRE {n}",
        equipment_id=f"equipment-{n % 500}",
        equipment_name="VENTILATEUR DE TIRAGE",
        section="34MC",
        availability_score=1 + n % 5,
        fiability_score=1,
        process_safety_score=1 + n % 3,
    )


def _peer(status: str) -> Callable[..., int]:
    def change(*, anomalies: Any, user: Any, reason: str) -> int:
        from django.db import transaction  # noqa: PLC0415
        from django.utils import timezone  # noqa: PLC0415
        from simple_history.utils import bulk_update_with_history  # noqa: PLC0415

        from training.models import Anomaly  # noqa: PLC0415
        from training.review import REVIEWED  # noqa: PLC0415

        with transaction.atomic():
            rows = list(anomalies.select_for_update().order_by("pk"))
            for row in rows:
                row.status, row.reviewed_by = status, user
                row.reviewed_at = row.updated_at = timezone.now()
            changed = [*REVIEWED, "reviewed_by", "reviewed_at", "updated_at"]
            bulk_update_with_history(
                rows, Anomaly, changed, batch_size=500, default_user=user, default_change_reason=reason
            )
        return len(rows)

    return change


if __name__ == "__main__":
    main()
