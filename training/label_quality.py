"""The label quality report: which approved scores deserve a second look, kept for lists and filters."""

import time

import pandas as pd
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from training import frames
from training.ml.findings import Found
from training.ml.label_quality import examine_labels, summary
from training.ml.progress import OnProgress
from training.models import LabelFinding, QualityReport

BATCH = 500


def report_label_quality(*, user: User | None = None, on_progress: OnProgress | None = None) -> QualityReport:
    """Examine every approved anomaly; the findings replace those of the report before.

    Nothing is locked meanwhile. An anomaly that changes after the first moment is no longer what was
    examined: `LabelFinding.objects.current()` leaves it out.
    """
    created_at, started = timezone.now(), time.monotonic()
    records = frames.approved_frame_by_pk()
    found = examine_labels(records.reset_index(drop=True), on_progress=on_progress)
    report = QualityReport(
        kind=QualityReport.Kind.LABELS,
        record_count=len(records),
        seconds=round(time.monotonic() - started, 1),
        content=summary(found),
        created_at=created_at,
        created_by=user,
    )
    _publish(report, found, records.index)
    return report


def _publish(report: QualityReport, found: dict[str, Found], keys: "pd.Index[int]") -> None:
    with transaction.atomic():
        report.save(force_insert=True)
        LabelFinding.objects.all().delete()
        for kind, each in found.items():
            LabelFinding.objects.bulk_create(_rows(report, kind, each, keys), batch_size=BATCH)


def _rows(report: QualityReport, kind: str, found: Found, keys: "pd.Index[int]") -> list[LabelFinding]:
    return [
        LabelFinding(
            report=report,
            anomaly_id=int(keys[finding.row]),
            other_id=None if finding.other is None else int(keys[finding.other]),
            kind=kind,
            target=finding.target,
            rank=rank,
            suspicion=finding.suspicion,
            evidence=finding.evidence,
        )
        for rank, finding in enumerate(found.findings, start=1)
    ]
