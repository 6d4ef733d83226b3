"""What a reviewer does with anomalies: approve, reject, reopen, correct, undo. Every change is kept."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from training.errors import ChangedSinceError, NotAllowedNowError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, Review, ScoreChange
from training.policy import current_policy

MAX_REASON = 1_000  # characters that a reviewer may give as the reason
REVIEWED = ("status", *SCORE_COLUMNS)  # what a review decides
CHUNK = 1_000  # rows that are locked, decided on and written at once


def approve(
    *,
    anomalies: Iterable[Anomaly],
    user: User | None,
    scores: Mapping[str, float] | None = None,
    reason: str = "",
    is_settled: bool = False,
) -> int:
    """Approve the pending ones that have all three scores (or get them from `scores`); how many changed.

    What somebody decided stays as it is: `correct` and `reopen` are there for that. What two people review is
    left alone, too, unless it `is_settled`: see `double_review`.
    """

    for_two = 0 if is_settled else current_policy().share_for_two

    def change(anomaly: Anomaly) -> bool:
        if anomaly.status != Anomaly.Status.PENDING or anomaly.needs_two(for_two):
            return False
        _set_scores(anomaly, scores or {})
        return anomaly.is_scored and _set_status(anomaly, Anomaly.Status.APPROVED)

    left_alone = None if is_settled else _under_review
    return _change_all(anomalies, change, user=user, reason=reason, left_alone=left_alone)


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
        return _set_scores(row, scores) and _set_status(row, Anomaly.Status(row.status))

    if not _change_all([anomaly], change, user=user, reason=reason):
        raise NotAllowedNowError("These are the scores that the anomaly already has.")
    anomaly.refresh_from_db()
    return anomaly


def undo(*, anomaly: Anomaly, change: Any, user: User | None, reason: str = "") -> Anomaly:
    """Put status and scores back to what they were before `change`, a row of the anomaly's history.

    The undo is itself a change: it is kept, and can be undone. Raises NotAllowedNowError when `change`
    decided nothing, ChangedSinceError when status or scores have changed since.
    """

    def put_back(row: Anomaly) -> bool:
        before = before_change(row, change)
        for column in SCORE_COLUMNS:
            setattr(row, column, before[column])
        return _set_status(row, Anomaly.Status(before["status"]))

    if not _change_all([anomaly], put_back, user=user, reason=reason or "Undo"):
        raise NotAllowedNowError("The anomaly is gone.")
    anomaly.refresh_from_db()
    return anomaly


def decisions(anomaly: Anomaly) -> Iterator[tuple[Any, Any]]:
    """The rows of the history that changed status or scores, newest first, each with the row before it."""
    rows = Anomaly.history.filter(id=anomaly.pk).order_by("-history_id")
    return ((newer, older) for newer, older in pairwise(rows) if _decision(newer) != _decision(older))


def before_change(anomaly: Anomaly, change: Any) -> dict[str, Any]:
    """Status and scores before the change, which must be the newest decision. Raises NotAllowedNowError."""
    for place, (newer, older) in enumerate(decisions(anomaly)):
        if newer.history_id == change.history_id:
            if place or _decision(anomaly) != _decision(newer):
                raise ChangedSinceError
            return _decision(older)
    raise NotAllowedNowError("That change decided nothing about this anomaly: there is nothing to undo.")


def _decision(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in REVIEWED}


def _move(anomalies: Iterable[Anomaly], status: Anomaly.Status, *, user: User | None, reason: str) -> int:
    def change(anomaly: Anomaly) -> bool:
        return anomaly.status != status and _set_status(anomaly, status)

    return _change_all(anomalies, change, user=user, reason=reason)


def _set_scores(anomaly: Anomaly, scores: Mapping[str, float | None]) -> bool:
    changed = {column: score for column, score in scores.items() if getattr(anomaly, column) != score}
    for column, score in changed.items():
        setattr(anomaly, column, score)
    return bool(changed)


def _set_status(anomaly: Anomaly, status: Anomaly.Status) -> bool:
    anomaly.status = status
    return True


def _under_review(ids: Sequence[int]) -> set[int]:
    """Those of which a reviewer gave scores that wait for a second one's, or for adjudication."""
    return set(Review.objects.open().filter(anomaly__in=ids).values_list("anomaly_id", flat=True))


def _change_all(
    anomalies: Iterable[Anomaly],
    change: Callable[[Anomaly], bool],
    *,
    user: User | None,
    reason: str,
    left_alone: Callable[[Sequence[int]], set[int]] | None = None,
) -> int:
    """Apply `change` to the locked rows, so that of two reviewers the second sees what the first did.

    `left_alone` chooses, of the locked rows, those that are not to be changed.
    """
    ids = sorted(set(_ids(anomalies)))
    changed: list[Anomaly] = []
    with transaction.atomic():
        for start in range(0, len(ids), CHUNK):
            rows = _locked(ids[start : start + CHUNK])
            left = left_alone([row.pk for row in rows]) if left_alone else set()
            changed += _change_some([row for row in rows if row.pk not in left], change, user, reason)
    return len(changed)


def _ids(anomalies: Iterable[Anomaly]) -> Iterable[int]:
    """A queryset is not asked for the rest of its rows: they are read again under lock."""
    if isinstance(anomalies, QuerySet):
        return anomalies.values_list("pk", flat=True)
    return (anomaly.pk for anomaly in anomalies)


def _locked(ids: Sequence[int]) -> list[Anomaly]:
    return list(Anomaly.objects.select_for_update().filter(pk__in=ids).order_by("pk"))


def _change_some(
    rows: Sequence[Anomaly], change: Callable[[Anomaly], bool], user: User | None, reason: str
) -> list[Anomaly]:
    """One UPDATE of all rows that get the same values, and one INSERT that copies them to the history."""
    changed: list[Anomaly] = []
    alike: defaultdict[tuple[tuple[str, Any], ...], list[int]] = defaultdict(list)
    for row in rows:
        before = _decision(row)
        if change(row):
            changed.append(row)
            values = tuple((name, new) for name, new in _decision(row).items() if new != before[name])
            alike[values].append(row.pk)
    now = timezone.now()
    for values, same in alike.items():
        alike_rows = Anomaly.objects.filter(pk__in=same)
        alike_rows.update(**dict(values), reviewed_by=user, reviewed_at=now, updated_at=now)
    if changed:
        noted = Anomaly.objects.filter(pk__in=[row.pk for row in changed])
        noted.note_history("~", user=user, reason=reason)
        _tell_others(changed)
    return changed


def _tell_others(changed: list[Anomaly]) -> None:
    """What left the queue needs no second reviewer; what waits in it may have other scores than before."""
    rows = Anomaly.objects.filter(pk__in=[row.pk for row in changed])
    statuses = {row.status for row in changed}
    if statuses - {Anomaly.Status.PENDING}:
        Review.objects.set_aside(rows)
    if Anomaly.Status.PENDING in statuses:
        ScoreChange.objects.note(rows)
