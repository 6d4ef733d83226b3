"""A restore finds every difference between the backup and the present, and touches nothing else."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction

from tests.factories import ApprovedFactory
from tests.training.backups.state import training_set
from training import backups, records, restoring
from training.ml.records import COLUMNS, SCORE_COLUMNS, TEXT_COLUMNS
from training.models import Anomaly, Backup, ModelVersion

pytestmark = pytest.mark.django_db
Status = Anomaly.Status
MOMENT = datetime(2025, 3, 1, 8, 0, 0, 123456, tzinfo=UTC)
SEEN = (*COLUMNS, "status", "source", "reviewed_by")


@pytest.mark.parametrize(
    "change",
    [
        *({column: "x"} for column in TEXT_COLUMNS[1:]),
        {"section": ""},
        {"detected_at": None},
        {"detected_at": MOMENT + timedelta(microseconds=1)},
        *({column: 2.0000000000000004} for column in SCORE_COLUMNS),
        {"status": Status.PENDING},
        {"status": Status.REJECTED, "availability_score": None},
    ],
)
def test_the_smallest_difference_is_restored_and_nothing_else_touched(change: dict[str, Any]) -> None:
    for number in range(3):
        ApprovedFactory.create(
            anomaly_id=f"A-{number}", section="MEC", detected_at=MOMENT, **dict.fromkeys(SCORE_COLUMNS, 2.0)
        )
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    before, changed = training_set(), Anomaly.objects.filter(anomaly_id="A-1")
    changed.update(**change)
    others = list(Anomaly.objects.exclude(anomaly_id="A-1").order_by("pk").values())

    preview = restoring.preview_restore(backup=backup)
    result = restoring.restore_backup(backup=backup)

    scores, texts = not change.keys().isdisjoint(SCORE_COLUMNS), "status" not in change
    assert (preview.scores_changed, preview.texts_changed) == (scores, texts and not scores)
    assert preview.records_reapproved == ("status" in change)
    assert (result.records_changed, result.records_unchanged, result.records_recreated) == (1, 2, 0)
    assert training_set() == before
    assert list(Anomaly.objects.exclude(anomaly_id="A-1").order_by("pk").values()) == others


def test_comparing_first_changes_what_storing_all_changes(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`store_records` alone, given every record, is the plain way."""

    def outcome() -> tuple[object, ...]:
        with transaction.atomic():
            result = restoring.restore_backup(backup=backup)
            history = Anomaly.history.order_by("pk").values_list(*SEEN, "history_type")
            counts = (result.records_changed, result.records_recreated, result.records_unchanged)
            seen = (list(Anomaly.objects.order_by("pk").values_list(*SEEN)), list(history), counts)
            transaction.set_rollback(True)
        return seen

    compared = outcome()
    monkeypatch.setattr(restoring, "APPROVED", "nothing is: all differ")
    stored: list[records.ScoredReport] = []
    real = records.store_records

    def store(*, reports: Iterable[records.ScoredReport], **options: Any) -> records.RecordCounts:
        stored.extend(reports)
        return real(reports=stored, **options)

    monkeypatch.setattr(records, "store_records", store)
    assert outcome() == compared
    assert len(stored) == 12
