"""What a reviewer does with anomalies: approve, reject, reopen, correct. Every change is kept."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _
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
    is_settled: bool = False,
) -> int:
    """Approve those that have all three scores (or get them from `scores`); how many changed.

    What waits for two reviewers is left alone, unless it `is_settled`: see `double_review`.
    """

    def change(anomaly: Anomaly) -> bool:
        if anomaly.status == Anomaly.Status.PENDING and anomaly.needs_two and not is_settled:
            return False
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


def undo(*, anomaly: Anomaly, change: Any, user: User, reason: str = "") -> Anomaly:
    """Take back `change`, a row of the history: scores and status as they were before it; the fresh row.

    The undoing is a change of its own. Raises NotAllowedNowError when something was changed later, or when
    there is nothing before.
    """
    before = change.prev_record

    def put_back(row: Anomaly) -> bool:
        if before is None:
            raise NotAllowedNowError(_("That is how the anomaly came: there is nothing to go back to."))
        if row.history.order_by("-history_id").values_list("pk", flat=True)[0] != change.pk:
            raise NotAllowedNowError(_("The anomaly was changed later: undo that first."))
        changed = _set_scores(row, {column: getattr(before, column) for column in SCORE_COLUMNS})
        if row.status == before.status and not changed:
            raise NotAllowedNowError(_("Neither scores nor status were changed then."))
        _set_status(row, Anomaly.Status(before.status), user)
        if row.status == Anomaly.Status.PENDING:  # as if nobody had reviewed it
            row.reviewed_by_id, row.reviewed_at = before.reviewed_by_id, before.reviewed_at
        return True

    _change_all([anomaly], put_back, user=user, reason=reason)
    anomaly.refresh_from_db()
    return anomaly


def _move(anomalies: Iterable[Anomaly], status: Anomaly.Status, *, user: User | None, reason: str) -> int:
    def change(anomaly: Anomaly) -> bool:
        return anomaly.status != status and _set_status(anomaly, status, user)

    return _change_all(anomalies, change, user=user, reason=reason)


def _set_scores(anomaly: Anomaly, scores: Mapping[str, float | None]) -> bool:
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
