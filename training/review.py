"""What a reviewer does with anomalies: approve, reject, reopen, correct. Every change is kept."""

from collections.abc import Callable, Iterable, Mapping

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from simple_history.utils import bulk_update_with_history

from training.errors import NotAllowedNowError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly

MAX_REASON = 1_000  # characters that a reviewer may give as the reason
CHANGED = ["status", "reviewed_by", "reviewed_at", "updated_at", *SCORE_COLUMNS]


def approve(
    *,
    anomalies: Iterable[Anomaly],
    user: User | None,
    scores: Mapping[str, float] | None = None,
    reason: str = "",
) -> int:
    """Approve those that have all three scores (or get them from `scores`); how many changed."""

    def change(anomaly: Anomaly) -> bool:
        changed = _set_scores(anomaly, scores or {})
        if not anomaly.is_scored or (anomaly.status == Anomaly.Status.APPROVED and not changed):
            return False
        return _set_status(anomaly, Anomaly.Status.APPROVED, user)

    return _change_all(anomalies, change, user=user, reason=reason)


def reject(*, anomalies: Iterable[Anomaly], user: User | None, reason: str = "") -> int:
    """Take them out of the review queue and of the training set; the scores stay. How many changed."""
    return _move(anomalies, Anomaly.Status.REJECTED, user=user, reason=reason)


def reopen(*, anomalies: Iterable[Anomaly], user: User | None, reason: str = "") -> int:
    """Put them back in the review queue; the scores stay. How many changed."""
    return _move(anomalies, Anomaly.Status.PENDING, user=user, reason=reason)


def correct(*, anomaly: Anomaly, scores: Mapping[str, float], user: User | None, reason: str = "") -> Anomaly:
    """Change scores, whatever the status, and keep the old ones in the history; the fresh row.

    Raises NotAllowedNowError when the anomaly is gone or nothing would change.
    """

    def change(row: Anomaly) -> bool:
        return _set_scores(row, scores) and _set_status(row, Anomaly.Status(row.status), user)

    if not _change_all([anomaly], change, user=user, reason=reason):
        raise NotAllowedNowError("These are the scores that the anomaly already has.")
    anomaly.refresh_from_db()
    return anomaly


def _move(anomalies: Iterable[Anomaly], status: Anomaly.Status, *, user: User | None, reason: str) -> int:
    def change(anomaly: Anomaly) -> bool:
        return anomaly.status != status and _set_status(anomaly, status, user)

    return _change_all(anomalies, change, user=user, reason=reason)


def _set_scores(anomaly: Anomaly, scores: Mapping[str, float]) -> bool:
    changed = {column: score for column, score in scores.items() if getattr(anomaly, column) != score}
    for column, score in changed.items():
        setattr(anomaly, column, score)
    return bool(changed)


def _set_status(anomaly: Anomaly, status: Anomaly.Status, user: User | None) -> bool:
    anomaly.status = status
    anomaly.reviewed_by = user
    # bulk_update leaves auto_now alone.
    anomaly.reviewed_at = anomaly.updated_at = timezone.now()
    return True


def _change_all(
    anomalies: Iterable[Anomaly], change: Callable[[Anomaly], bool], *, user: User | None, reason: str
) -> int:
    """Apply `change` to the locked rows, so that of two reviewers the second sees what the first did."""
    ids = [anomaly.pk for anomaly in anomalies]
    with transaction.atomic():
        rows = Anomaly.objects.select_for_update().filter(pk__in=ids).order_by("pk")
        changed = [row for row in rows if change(row)]
        bulk_update_with_history(
            changed, Anomaly, CHANGED, batch_size=500, default_user=user, default_change_reason=reason
        )
    return len(changed)
