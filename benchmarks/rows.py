"""A database of any size within a minute or two: rows written past the ORM, their indexes built afterwards.

What the pages show is like the real thing: `synthesise.py`'s reports with a history, one suggestion for each,
a model that can be loaded. What they do not show is the same in every row.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pandas as pd
from django.contrib.auth.models import User
from django.db import connection, transaction

from benchmarks.synthesise import read_source, synthesise
from predictions.models import Prediction
from training import artifacts
from training.ml.bundle import write_bundle
from training.ml.fitting import fit_and_measure
from training.ml.records import COLUMNS, SCORE_COLUMNS, TARGETS
from training.ml.statistics import training_statistics
from training.models import Activation, Anomaly, Backup, LabelFinding, ModelVersion, QualityReport
from training.models import TrainingSession as Session
from training.versions import set_active

NOW = datetime(2026, 11, 1, tzinfo=UTC)
OTHERS = 3_000  # sessions, versions and backups
LEARNED = 3_000  # records that the model has seen
USERS = 20
FINDINGS = 500  # of each kind, as `check_labels` keeps them
CHUNK = 20_000


def fill(source: Path, *, records: int, pending: float) -> None:
    """An empty database becomes one of so many anomalies, the newest of which are pending."""
    users = [User.objects.create_user(f"reviewer{n}") for n in range(USERS)]
    first_pending = int(records * (1 - pending))
    reports = synthesise(read_source(source), records, Random(0))
    with bulk(Anomaly), bulk(Anomaly.history.model):
        write(Anomaly, ANOMALY, _anomalies(reports, first_pending, users))
        Anomaly.objects.all().note_history("+", user=None, reason="benchmark")
    active = _publish()
    _others(active, users)
    last = Anomaly.objects.order_by("pk").values_list("pk", flat=True)
    start, versions = last[0], list(ModelVersion.objects.order_by("pk").values_list("pk", flat=True))
    with bulk(Prediction):
        write(Prediction, PREDICTION, _predictions(start, records, first_pending, versions, active.pk))
    _findings(start, users)
    if connection.vendor == "postgresql":  # as autovacuum would; SQLite has no figures unless somebody asks
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")


ANOMALY = (*COLUMNS, "status", "source", "reviewed_by_id", "reviewed_at", "created_at", "updated_at")


def _anomalies(reports: Any, first_pending: int, users: Sequence[User]) -> Iterator[tuple[Any, ...]]:
    random = Random(1)
    for n, (report, text) in enumerate(reports):
        is_pending = n >= first_pending
        created = NOW - timedelta(seconds=30 * (3_000_000 - n))
        reviewed = None if is_pending else created + timedelta(days=random.random() * 30)
        status = "pending" if is_pending else "rejected" if random.random() < 0.01 else "approved"
        scores = (None, None, None) if is_pending else tuple(map(float, report.scores))
        detected = report.time.replace(tzinfo=UTC) if random.random() < 0.99 else None
        yield (
            f"ANO-{n:07d}",
            text,
            report.name,
            report.equipment,
            report.system,
            report.section,
            detected,
            *scores,
            status,
            "api" if is_pending or random.random() < 0.1 else "import",
            None if is_pending else random.choice(users).pk,
            reviewed,
            created,
            reviewed or created,
        )


PREDICTION = (
    "anomaly_id",
    "model_version_id",
    *SCORE_COLUMNS,
    "distributions",
    "confidence",
    "needs_attention",
    "priority",
    "created_at",
)
DISTRIBUTIONS = json.dumps({target: [0.5432, 0.2568, 0.12, 0.06, 0.02] for target in TARGETS})


def _predictions(
    start: int, records: int, first_pending: int, versions: Sequence[int], active: int
) -> Iterator[tuple[Any, ...]]:
    """Of each pending anomaly by the active version; of each other by one of its time."""
    random = Random(2)
    for n in range(records):
        version = active if n >= first_pending else versions[n * len(versions) // records]
        scores = random.choices(range(1, 6), (60, 20, 12, 6, 2), k=3)
        confidence = round(0.3 + 0.7 * random.random(), 4)
        yield (
            start + n,
            version,
            *scores,
            DISTRIBUTIONS,
            confidence,
            random.random() < 0.1,
            sum(scores) * (1 - confidence),
            NOW - timedelta(seconds=25 * (3_000_000 - n)),
        )


def _publish() -> ModelVersion:
    """A model of the oldest reviewed records, or of any when none is; it serves."""
    rows = list(Anomaly.objects.order_by("pk").values_list(*COLUMNS)[:LEARNED])
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame["detected_at"] = pd.to_datetime(frame["detected_at"]).dt.tz_localize(None)
    for n, column in enumerate(SCORE_COLUMNS):
        frame[column] = frame[column].astype(float).fillna(pd.Series(range(len(frame))) % (3 + n) + 1.0)
    trained = fit_and_measure(frame)
    facts: dict[str, Any] = {}
    with artifacts.publish(ModelVersion, "benchmark", facts=facts) as directory:
        facts |= write_bundle(
            directory,
            scorer=trained.scorer,
            twin=trained.twin,
            neighbours=trained.neighbours,
            held_out=trained.held_out,
        )
    manifest = artifacts.read_back(ModelVersion, "benchmark")
    version = ModelVersion.objects.create(
        name="benchmark",
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        created_at=NOW,
        dataset_rows=len(frame),
        dataset_fingerprint="0" * 64,
        dataset_read_at=NOW - timedelta(days=2),
        libraries=facts,
        metrics=trained.metrics,
        statistics=training_statistics(frame),
    )
    set_active(version=version, reason=Activation.Reason.REQUEST)
    return version


def _others(active: ModelVersion, users: Sequence[User]) -> None:
    """Versions, backups and sessions, each with the figures of a real one."""
    moments = [NOW - timedelta(hours=4 * (OTHERS - n)) for n in range(OTHERS)]
    versions = ModelVersion.objects.bulk_create(_versions(active, moments))
    backups = Backup.objects.bulk_create(_backups(versions, users))
    Session.objects.bulk_create(_sessions(versions, backups, users))
    Activation.objects.bulk_create(
        Activation(version=version, reason=Activation.Reason.GATE, activated_by=users[0])
        for version in versions
    )


def _versions(active: ModelVersion, moments: Iterable[datetime]) -> Iterator[ModelVersion]:
    figures = ("libraries", "metrics", "statistics", "dataset_read_at")
    shared = {name: getattr(active, name) for name in figures}
    for n, moment in enumerate(moments):
        yield ModelVersion(
            **shared,
            name=f"version_{n}",
            digest="0" * 64,
            size_bytes=6_200_000 + n,
            created_at=moment,
            verified_at=moment,
            pruned_at=moment if n % 3 else None,
            dataset_rows=300 * n,
            dataset_fingerprint=f"{n:064x}",
        )


def _backups(versions: Iterable[ModelVersion], users: Sequence[User]) -> Iterator[Backup]:
    for n, version in enumerate(versions):
        yield Backup(
            name=f"backup_{version.created_at:%Y%m%d_%H%M%S}",
            digest="0" * 64,
            size_bytes=29_000_000 + n,
            created_at=version.created_at,
            verified_at=version.created_at,
            kind=Backup.Kind.MANUAL if n % 5 == 0 else Backup.Kind.BEFORE_TRAINING,
            record_count=300 * n,
            model_version=version,
            created_by=users[n % USERS],
        )


def _sessions(
    versions: Iterable[ModelVersion], backups: Iterable[Backup], users: Sequence[User]
) -> Iterator[Session]:
    for n, (version, backup) in enumerate(zip(versions, backups, strict=True)):
        failed = n % 10 == 5
        yield Session(
            trigger=list(Session.Trigger)[n % 4],
            requested_by=users[n % USERS],
            status=Session.Status.FAILED if failed else Session.Status.SUCCEEDED,
            reason="The worker died twice." if failed else "",
            progress=100,
            attempts=1,
            queued_at=backup.created_at,
            started_at=backup.created_at,
            finished_at=backup.created_at + timedelta(seconds=80),
            records_received=3,
            records_created=3,
            backup=backup,
            model_version=None if failed else version,
        )


def _findings(start: int, users: Sequence[User]) -> None:
    """Three hundred reports; the newest one's findings, as many as are kept."""
    content = {
        "counts": {"implausible": 5_000},
        "by_target": {target: list(range(200)) for target in TARGETS},
    }
    reports = QualityReport.objects.bulk_create(
        QualityReport(
            kind=QualityReport.Kind.DRIFT if n % 2 else QualityReport.Kind.LABELS,
            record_count=1_000 * n,
            seconds=1.5,
            content=content,
            created_at=NOW + timedelta(seconds=n),
            created_by=users[n % USERS],
        )
        for n in range(301)
    )
    scores = dict.fromkeys(SCORE_COLUMNS, 2.0)
    evidence = {
        LabelFinding.Kind.IMPLAUSIBLE: {"suggested": 3},
        LabelFinding.Kind.CONFLICT: {"others_by_score": {"3": 2}},
        LabelFinding.Kind.NEAR_DUPLICATE: {"similarity": 0.9, "reports": [scores, scores]},
    }
    LabelFinding.objects.bulk_create(
        LabelFinding(
            report=reports[-1],
            anomaly_id=start + 7 * rank,
            other_id=None if kind == LabelFinding.Kind.IMPLAUSIBLE else start + 7 * rank + 3,
            kind=kind,
            target="" if kind == LabelFinding.Kind.NEAR_DUPLICATE else "availability",
            rank=rank,
            suspicion=1 - rank / FINDINGS / 2,
            evidence=evidence[kind],
        )
        for kind in LabelFinding.Kind
        for rank in range(1, FINDINGS + 1)
    )


# --- Past the ORM ------------------------------------------------------------------------------------


def write(model: Any, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    quoted = ", ".join(map(connection.ops.quote_name, columns))
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001  # Django documents _meta
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {table} ({quoted}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        places = ", ".join(["%s"] * len(columns))
        statement = f"INSERT INTO {table} ({quoted}) VALUES ({places})"  # noqa: S608  # our own names
        remaining = iter(rows)
        while chunk := list(islice(remaining, CHUNK)):
            cursor.executemany(statement, [tuple(map(_plain, row)) for row in chunk])


def _plain(value: Any) -> Any:
    return f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, datetime) else value


INDEXES = {
    "postgresql": "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
    " WHERE indrelid = %s::regclass AND NOT indisunique",
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = %s"
    " AND sql LIKE 'CREATE INDEX%%'",
}


@contextmanager
def bulk(model: Any) -> Iterator[None]:
    """Without the table's indexes while rows are written; they are built at the end."""
    with connection.cursor() as cursor:
        cursor.execute(INDEXES[connection.vendor], [model._meta.db_table])  # noqa: SLF001  # as above
        indexes = cursor.fetchall()
        for name, _statement in indexes:
            cursor.execute(
                f"DROP INDEX {name if connection.vendor == 'postgresql' else connection.ops.quote_name(name)}"
            )
        yield
        for _name, statement in indexes:
            cursor.execute(statement)
