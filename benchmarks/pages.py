"""Every list page at a million anomalies: each order, filter and search, beside its stock peer.

    .venv/bin/python -m benchmarks.pages SOURCE_DIR --out DIR [--records N] [--pending SHARE] [--postgres URL]

SOURCE_DIR holds the customer's three CSVs; `synthesise.py` makes the anomalies out of them, the newest SHARE
of which are pending. The database is made in DIR (with --postgres on that server, URL without a database's
name) and kept there: the next run only measures. A peer shows the same table, with the same orders, filters
and search, as Django's ModelAdmin or DRF's generic list do when nothing is done for speed. CPU is that of
this process plus, with PostgreSQL, of the server's process for it, which has no helpers so that all is
counted; medians, slowest first.
"""

import argparse
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import command, describe, load, versions_of

PACKAGES = ("django", "djangorestframework", "django-unfold")
LIMIT = 150  # ms of CPU
PEER_RUNS = 3
PATIENCE = 2.0  # seconds for the runs of one page
SEARCHES = ("vibration", "fuite pompe", "ANO-0000123", "xyzzyx")  # frequent, of two words, one row, none
# Days in the middle of what `rows.py` makes.
DETECTED, STORED, QUEUED = "2022-06-01", "2024-09-15", "2026-02-15"
# Filters of the admin: ours, and the same of a stock ModelAdmin where it has one.
ADMIN_FILTERS: dict[str, list[tuple[str, str | None]]] = {
    "anomaly": [
        *((f"status__exact={status}", "") for status in ("pending", "approved", "rejected")),
        ("band=critical", "criticality__gte=9"),
        ("band=high", "criticality__gte=7&criticality__lt=9"),
        ("band=normal", "criticality__gte=3&criticality__lt=7"),
        ("status__exact=pending&band=critical", "status__exact=pending&criticality__gte=9"),
        ("source__exact=api", ""),
        ("source__exact=import", ""),
        ("section=34MC", ""),
        (f"detected_at_from={DETECTED}", f"detected_at__gte={DETECTED}"),
        (f"detected_at_to={DETECTED}", f"detected_at__lt={DETECTED}"),
        ("p=2", ""),
        ("p=200", ""),
    ],
    "prediction": [
        ("model_version__id__exact={active}", ""),
        ("model_version__id__exact={old}", ""),
        ("needs_attention__exact=1", ""),
        ("needs_attention__exact=0", ""),
        ("band=critical", "criticality__gte=9"),
        ("band=normal", "criticality__gte=3&criticality__lt=7"),
        ("equipment={equipment}", "anomaly__equipment_id={equipment}"),
        ("anomaly__section=34MC", ""),
        ("anomaly__status__exact=pending", ""),
        ("anomaly__status__exact=approved", ""),
        (f"created_at_from={STORED}", f"created_at__gte={STORED}"),
        (f"created_at_to={STORED}", f"created_at__lt={STORED}"),
        ("p=2", ""),
    ],
    "trainingsession": [
        ("status__exact=failed", ""),
        ("trigger__exact=api", ""),
        (f"queued_at_from={QUEUED}", f"queued_at__gte={QUEUED}"),
        ("p=2", ""),
    ],
    "backup": [
        ("kind__exact=manual", ""),
        (f"created_at_from={QUEUED}", f"created_at__gte={QUEUED}"),
        ("p=2", ""),
    ],
    "labelfinding": [("kind__exact=conflict", ""), ("target__exact=availability", ""), ("p=2", "")],
    "modelversion": [("p=2", "")],
    "activation": [("kind=activated", None), ("before=2026-01-01T00:00:00Z", None)],
}
API_FILTERS: dict[str, list[str]] = {
    "anomaly": [
        *(f"status={status}" for status in ("pending", "approved", "rejected")),
        "status=pending&status=approved",
        "source=api",
        "source=import",
        "anomaly_id={anomaly_id}",
        "equipment_id={equipment}",
        "system={system}",
        "section=34MC",
        "criticality_min=9",
        "criticality_max=6",
        *(
            f"{moment}_{end}={day}"
            for moment, day in (("detected", DETECTED), ("created", STORED), ("reviewed", STORED))
            for end in ("after", "before")
        ),
    ],
    "prediction": [
        "anomaly={anomaly}",
        "anomaly_id={anomaly_id}",
        "model_version={active}",
        "model_version={old}",
        "needs_attention=true",
        "needs_attention=false",
        f"created_after={STORED}",
        f"created_before={STORED}",
    ],
    "session": ["status=failed", "trigger=api", f"queued_after={QUEUED}", f"queued_before={QUEUED}"],
    "version": ["is_active=true", "is_active=false", "available=true", f"created_after={QUEUED}"],
    "backup": ["kind=manual", "available=true", "model_version={old}", f"created_after={QUEUED}"],
    "quality": ["kind=drift", f"created_after={QUEUED}"],
    "finding": ["kind=conflict", "target=availability", "anomaly={anomaly}", "suspicion_min=0.5"],
}
OTHER_PAGES = (
    "/admin/",
    "/admin/training/anomaly/{anomaly}/change/",
    "/admin/training/anomaly/{anomaly}/history/",
    "/api/v1/anomalies/{anomaly}/history/",
    "/api/v1/drift/",
    "/train/status",
    "/train/backups",
    "/health",
)


Answer = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one request: milliseconds of CPU here and in the database's server, and on the clock; queries."""

    here: float
    server: float
    wall: float
    queries: int

    @property
    def cpu(self) -> float:
        return self.here + self.server


def main() -> None:
    options = parse()
    name = prepare(options)
    import django  # noqa: PLC0415  # its settings read what was prepared

    django.setup()
    from django.conf import settings  # noqa: PLC0415

    settings.STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    if options.postgres:  # not by PGOPTIONS, which the options of the settings replace
        settings.DATABASES["default"]["OPTIONS"]["options"] += " -c max_parallel_workers_per_gather=0"
    fill_when_empty(options)
    print(f"`{command('pages')}`, {name}; load {load():.1f}; {describe()}; ", end="")
    print(f"{versions_of(Path(sys.executable), PACKAGES)}; medians of {options.runs}\n")
    measure(options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, metavar="SOURCE_DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="10,050 at least: page 200 is asked for"
    )
    parser.add_argument("--pending", type=float, default=0.05, metavar="SHARE")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--postgres", metavar="URL", help="for example postgres://postgres@127.0.0.1:5432")
    parser.add_argument("--only", default="", metavar="TEXT", help="pages whose address has it")
    parser.add_argument("--alone", action="store_true", help="without the peers, which take minutes")
    return parser.parse_args()


def prepare(options: argparse.Namespace) -> str:
    """The environment of a deployed instance on the database of these options; the database's name."""
    name = f"pages_{options.records}_{options.pending * 100:.0f}"
    place = options.out.resolve()
    media = place / f"{name}_{'postgres' if options.postgres else 'sqlite'}"
    media.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{place}/{name}.sqlite3"
    if options.postgres:
        url = f"{options.postgres}/{name}"
        create_database(options.postgres, name)
    os.environ |= {"DATABASE_URL": url, "MEDIA_ROOT": str(media), "DEBUG": "0", "SECRET_KEY": "s" * 64}
    os.environ |= {"ARTIFACT_SIGNING_KEYS": "k" * 64, "ALLOWED_HOSTS": "testserver", "LOG_LEVEL": "ERROR"}
    os.environ |= {"SECURE_SSL_REDIRECT": "0", "DJANGO_SETTINGS_MODULE": "anomalyproject.settings"}
    return f"{name} on {'PostgreSQL' if options.postgres else 'SQLite'}"


def create_database(server: str, name: str) -> None:
    import psycopg  # noqa: PLC0415

    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')


def fill_when_empty(options: argparse.Namespace) -> None:
    from django.core.management import call_command  # noqa: PLC0415

    from benchmarks.rows import fill  # noqa: PLC0415
    from training.models import Anomaly  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    if not Anomaly.objects.exists():
        fill(options.source, records=options.records, pending=options.pending)


# --- What is measured ------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    costs: list[tuple[str, Cost, Cost | None]] = []
    for address, ours, plain in contenders():
        if not costs:
            ours()
            gc.collect()
            gc.freeze()  # as anomalyproject/gunicorn.py does
        if options.only not in address:
            continue
        cost = cost_of(ours, options.runs)
        peer = None if plain is None or options.alone else cost_of(plain, PEER_RUNS)
        costs.append((address, cost, peer))
        print(f"{cost.cpu:8.0f} {peer.cpu if peer else 0:8.0f} {address}", file=sys.stderr)
    costs.sort(key=lambda row: -row[1].cpu)
    print("| page | ms CPU | of it in the server | ms wall | queries | peer, ms CPU | × |")
    print("|---|---|---|---|---|---|---|")
    for address, cost, peer in costs:
        theirs, ratio = (f"{peer.cpu:.0f}", f"{peer.cpu / cost.cpu:.1f}") if peer else ("–", "–")
        figures = (
            f"{cost.cpu:.0f} | {cost.server:.0f} | {cost.wall:.0f} | {cost.queries} | {theirs} | {ratio}"
        )
        print(f"| `{address}` | {figures} |")
    print(
        f"\n{sum(cost.cpu > LIMIT for _, cost, _ in costs)} of {len(costs)} pages take more than {LIMIT} ms."
    )


def contenders() -> Iterator[tuple[str, Answer, Answer | None]]:
    """Every page: its address, what answers it, and its peer if there is one."""
    from django.contrib.admin import site  # noqa: PLC0415
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.urls import reverse  # noqa: PLC0415

    from anomalyproject.urls import urlpatterns  # noqa: F401, PLC0415  # registers what the API shows
    from benchmarks.peers.plain_pages import plain_admin, plain_api  # noqa: PLC0415
    from training.models import Anomaly, ModelVersion  # noqa: PLC0415

    user = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser("bench")
    client = Client()
    client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    known = {
        "active": ModelVersion.objects.get(is_active=True).pk,
        "old": ModelVersion.objects.order_by("pk")[100].pk,
        "anomaly": Anomaly.objects.order_by("pk")[100].pk,
        "anomaly_id": "ANO-0000123",
        "equipment": Anomaly.objects.order_by("pk")[1000].equipment_id,
        "system": Anomaly.objects.order_by("pk")[1000].system,
    }

    def get(address: str) -> None:
        response = client.get(address)
        assert response.status_code == 200, f"{address}: {response.status_code}"  # noqa: S101

    for address in OTHER_PAGES:
        yield address, partial(get, address.format(**known)), None
    for model, admin in site._registry.items():  # noqa: SLF001  # get_model_admin is only in later versions
        name = model._meta.model_name  # noqa: SLF001  # Django documents _meta
        if name in ADMIN_FILTERS:
            url = reverse(f"admin:{model._meta.app_label}_{name}_changelist")  # noqa: SLF001
            plain = plain_admin(model, user)
            for ours, theirs in admin_queries(admin):
                asked = ours.format(**known)
                peer = None if theirs is None else partial(plain, (theirs or ours).format(**known))
                yield f"{url}?{ours}", partial(get, f"{url}?{asked}"), peer
    for prefix, name, view_set in api_lists():
        url, plain = f"/api/v1/{prefix}/", plain_api(view_set, user)
        for ours in api_queries(name, view_set):
            asked = ours.format(**known)
            yield f"{url}?{ours}", partial(get, f"{url}?{asked}"), partial(plain, asked)


def admin_queries(admin: Any) -> Iterator[tuple[str, str | None]]:
    """Of ours and of the peer ("": the same, None: it has none): each order, filter and search."""
    yield "", ""
    for place, column in enumerate(admin.list_display, start=bool(admin.actions)):
        field = getattr(getattr(admin, column, None), "admin_order_field", column)
        if field is None or not hasattr(admin.model, field.partition("__")[0]):
            continue
        for sign in ("", "-"):
            yield f"o={sign}{place}", ""
    yield from ADMIN_FILTERS[admin.model._meta.model_name]  # noqa: SLF001  # Django documents _meta
    for words in SEARCHES if admin.search_fields else ():
        yield f"q={words.replace(' ', '+')}", ""


def api_lists() -> Iterator[tuple[str, str, Any]]:
    from predictions.api_v1 import PredictionViewSet  # noqa: PLC0415
    from training.api.v1.urls import router  # noqa: PLC0415

    for prefix, view_set, name in router.registry:
        yield prefix, name, view_set
    yield "predictions", "prediction", PredictionViewSet


def api_queries(name: str, view_set: Any) -> Iterator[str]:
    yield ""
    for field in view_set.ordering_fields:
        yield f"ordering={field}"
        yield f"ordering=-{field}"
    yield from API_FILTERS[name]
    yield "page=2"
    yield "page_size=200"
    for words in SEARCHES:
        yield f"search={words.replace(' ', '+')}"


# --- Timing ----------------------------------------------------------------------------------------


def cost_of(answer: Answer, runs: int) -> Cost:
    """Medians; the first request, which loads what is loaded once, is only counted when it takes long."""
    from django.db import connection  # noqa: PLC0415

    asked: list[str] = []

    def note(execute: Any, sql: str, *arguments: Any) -> Any:
        asked.append(sql)
        return execute(sql, *arguments)

    with connection.execute_wrapper(note):
        costs = [once(answer)]
    spent = costs[0][2]
    if spent < PATIENCE * 1000:
        costs.clear()
        spent = 0.0
        while len(costs) < runs and (not costs or spent < PATIENCE * 1000):
            costs.append(once(answer))
            spent += costs[-1][2]
    here, server, wall = (statistics.median(figures) for figures in zip(*costs, strict=True))
    return Cost(here, server, wall, len(asked))


def once(answer: Answer) -> tuple[float, float, float]:
    wall, here, server = time.perf_counter(), time.process_time(), server_seconds()
    answer()
    spent = time.perf_counter() - wall
    return 1000 * (time.process_time() - here), 1000 * (server_seconds() - server), 1000 * spent


def server_seconds() -> float:
    """CPU of PostgreSQL's process for our connection, which must be on this machine."""
    from django.db import connection  # noqa: PLC0415

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    process = connection.connection.info.backend_pid
    return int(Path(f"/proc/{process}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


if __name__ == "__main__":
    main()
