"""Prometheus: what this process counts, and what the database says at the moment of the scrape.

Counters and histograms are counted by each web process; with several, gunicorn gives them a directory
(PROMETHEUS_MULTIPROC_DIR) in which prometheus_client adds them up, whichever process is scraped. States
belong to no process: they are read from the database once per scrape, so no two disagree about them.
Every label has a bounded set of values.
"""

import os
from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from django.db import Error
from django.db.models import Count, Max, Sum
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from predictions.dashboard.quality import VERDICTS, newest_drift
from training import nodes, outages, troubles
from training.models import Anomaly, Backup, Delivery, Finding, ModelVersion, TrainingSession
from training.outages import DatabaseUnavailableError

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)  # seconds

OWN = CollectorRegistry()  # of this process
REQUESTS = Counter(
    "anomaly_http_requests", "HTTP requests answered", ("method", "route", "status"), registry=OWN
)
PREDICTIONS = Counter("anomaly_predictions", "Reports scored by /predict", ("kind",), registry=OWN)
LATENCY = Histogram(
    "anomaly_predict_seconds", "Seconds of one /predict", ("kind",), registry=OWN, buckets=BUCKETS
)
COUNTED = {kind: (PREDICTIONS.labels(kind), LATENCY.labels(kind)) for kind in ("one", "list")}


def predicted(*, kind: str, reports: int, seconds: float) -> None:
    """A /predict was answered: for one report, or for a list."""
    predictions, latency = COUNTED[kind]
    predictions.inc(reports)
    latency.observe(seconds)


def count_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: each request by its route's pattern, never by its address."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        method = request.method if request.method in METHODS else "other"
        counter_of(method, route_of(request), response.status_code).inc()
        return response

    return middleware


@cache
def counter_of(method: str, route: str, status: int) -> Any:
    """Looked up once: half of what a request's counting costs."""
    return REQUESTS.labels(method, route, str(status))


def route_of(request: HttpRequest) -> str:
    match = request.resolver_match
    if match is None:
        return "none"
    return "admin" if match.route.startswith("admin/") else f"/{match.route}"


def registry() -> CollectorRegistry:
    """All there is to scrape, from whichever process."""
    gathered = CollectorRegistry()
    if os.environ.get(MULTIPROCESS):
        MultiProcessCollector(gathered)  # type: ignore[no-untyped-call]  # it has no types
    else:
        gathered.register(Several(OWN))
    gathered.register(States())
    return gathered


class Several(Collector):
    """A registry within another one."""

    def __init__(self, inner: CollectorRegistry) -> None:
        self._inner = inner

    def collect(self) -> Iterable[Metric]:
        return self._inner.collect()


class States(Collector):
    """What the rows say; while the database does not answer, that alone."""

    def collect(self) -> Iterator[Metric]:
        try:
            outages.require_database()
            states = list(self._states())
        except (Error, DatabaseUnavailableError) as error:
            if outages.report(error) is None:
                raise
            states = []
        yield GaugeMetricFamily(
            "anomaly_database_up", "1 while the database answers", value=int(bool(states))
        )
        yield from states

    def _states(self) -> Iterator[Metric]:
        yield from _sessions()
        yield from _model()
        yield from _backups()
        yield from _troubles()
        pending = Anomaly.objects.pending().count()
        yield GaugeMetricFamily("anomaly_pending_anomalies", "Anomalies to be reviewed", value=pending)
        yield _drift()


def _sessions() -> Iterator[Metric]:
    counts = dict(TrainingSession.objects.order_by().values_list("status").annotate(Count("pk")))
    sessions = GaugeMetricFamily("anomaly_training_sessions", "Training sessions", labels=["status"])
    for status in TrainingSession.Status.values:
        sessions.add_metric([status], counts.get(status, 0))
    yield sessions
    last = TrainingSession.objects.succeeded().first()
    yield GaugeMetricFamily(
        "anomaly_last_training_seconds", "Seconds of the newest training", value=last.seconds if last else 0
    )
    ended = last.finished_at if last else None
    yield GaugeMetricFamily(
        "anomaly_last_successful_training_timestamp_seconds",
        "When the newest training that succeeded ended; 0: none did",
        value=ended.timestamp() if ended else 0,
    )
    waiting = TrainingSession.objects.filter(status=TrainingSession.Status.QUEUED).first()
    yield GaugeMetricFamily(
        "anomaly_queue_age_seconds",
        "Seconds that the waiting session has waited; 0 when none waits",
        value=_age(waiting and waiting.queued_at),
    )
    yield GaugeMetricFamily("anomaly_queue_messages", "Messages in the queue", value=OrmQ.objects.count())
    alive = nodes.alive().count()
    if alive or troubles.silence_counts():  # else nobody knows whether one does
        yield GaugeMetricFamily("anomaly_queue_nodes", "Queue nodes that live", value=alive)


def _model() -> Iterator[Metric]:
    version = ModelVersion.objects.active()
    yield GaugeMetricFamily(
        "anomaly_model_version", "Number of the active version; 0: none", value=version.pk if version else 0
    )
    held_out = GaugeMetricFamily(
        "anomaly_model_mae", "Mean absolute error of the active version on held-out records", labels=["score"]
    )
    figures: dict[str, Any] = (version.metrics.get("model") or {}) if version else {}
    for score, measured in figures.items():
        if measured["mae"] is not None:
            held_out.add_metric([score], measured["mae"])
    yield held_out


def _backups() -> Iterator[Metric]:
    kept = Backup.objects.available()
    newest = kept.first()
    facts = kept.aggregate(bytes=Sum("size_bytes", default=0), verified=Max("verified_at"))
    for name, words, value in (
        ("age_seconds", "Age of the newest backup", _age(newest and newest.created_at)),
        ("size_bytes", "Size of the newest backup", newest.size_bytes if newest else 0),
        ("total_bytes", "Size of all backups", facts["bytes"]),
        ("verified_age_seconds", "Seconds since a backup was last verified", _age(facts["verified"])),
    ):
        if newest is not None or name == "total_bytes":
            yield GaugeMetricFamily(f"anomaly_backup_{name}", words, value=value)


def _troubles() -> Iterator[Metric]:
    found = Counts((trouble.code, trouble.severity) for trouble in troubles.current())
    findings = GaugeMetricFamily("anomaly_findings", "What is wrong now", labels=["code"])
    issues = GaugeMetricFamily(
        "anomaly_health_issues", "What is wrong now, by severity", labels=["code", "severity"]
    )
    for code in Finding.Code:
        findings.add_metric([code.value], sum(found[code, severity] for severity in Finding.Severity))
        for severity in Finding.Severity:
            issues.add_metric([code.value, severity.name.lower()], found[code, severity])
    yield findings
    yield issues
    pending = Delivery.objects.pending().count()
    yield GaugeMetricFamily("anomaly_notices_pending", "Notices to be sent", value=pending)


def _drift() -> Metric:
    report = newest_drift()
    verdict = report.content["verdict"] if report else None
    drift = GaugeMetricFamily("anomaly_drift", "1 at the newest report's verdict", labels=["verdict"])
    for known in VERDICTS:
        drift.add_metric([known], int(known == verdict))
    return drift


def _age(moment: Any) -> float:
    return (timezone.now() - moment).total_seconds() if moment else 0.0
