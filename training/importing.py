"""Anomalies come in from files, and the sample into an empty database: all of them or none."""

from collections.abc import Callable, Iterator

from django.contrib.auth.models import User
from django.db import transaction
from simple_history.utils import bulk_create_with_history

from training.datafiles import FileRecords
from training.errors import NotAllowedNowError
from training.models import Anomaly
from training.records import RecordCounts, ScoredReport, count_records, reports_from_frame, store_records
from training.sample import sample_frame, unscored_sample_frame


def import_records(
    *,
    records: FileRecords,
    user: User | None,
    status: Anomaly.Status = Anomaly.Status.APPROVED,
    reason: str = "",
    dry_run: bool = False,
    track: Callable[[Iterator[ScoredReport]], Iterator[ScoredReport]] = iter,
) -> RecordCounts:
    """Store the good rows in one transaction; with `dry_run`, count what would change and write nothing.

    What the files have no column for is left as it is stored. `track` passes the reports that are stored on
    and may tell somebody how far it is.
    """
    if dry_run:
        return count_records(frames=records.frames(), unstated=records.unstated, status=status)
    with transaction.atomic():
        return store_records(
            reports=track(_reports(records)),
            user=user,
            source=Anomaly.Source.IMPORT,
            status=status,
            reason=reason,
        )


def load_sample(*, user: User | None = None) -> tuple[int, int]:
    """The sample's approved anomalies, and a few unscored ones for the review queue; how many of each.

    Raises NotAllowedNowError when the database holds an anomaly.
    """
    with transaction.atomic():
        if held := Anomaly.objects.count():
            raise NotAllowedNowError(
                f"The sample is for an empty database; this one holds {held:,} anomalies. Nothing changed."
            )
        reports = reports_from_frame(sample_frame())
        store_records(reports=reports, user=user, source=Anomaly.Source.SAMPLE, reason="Sample")
        unscored = [_unscored(report) for report in reports_from_frame(unscored_sample_frame())]
        bulk_create_with_history(unscored, Anomaly, default_user=user, default_change_reason="Sample")
    return len(reports), len(unscored)


def _reports(records: FileRecords) -> Iterator[ScoredReport]:
    for frame in records.frames():
        yield from reports_from_frame(frame, unstated=records.unstated)


def _unscored(report: ScoredReport) -> Anomaly:
    return Anomaly(
        anomaly_id=report.anomaly_id,
        description=report.description,
        equipment_name=report.equipment_name,
        equipment_id=report.equipment_id,
        system=report.system or "",
        section=report.section or "",
        detected_at=report.detected_at,
        source=Anomaly.Source.SAMPLE,
    )
