"""Double review: a share of the anomalies is scored by two people, the second blind to the first.

Who agree settle the anomaly; who do not send it to adjudication. Only what is settled is approved, so only
that trains.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from training import review
from training.errors import NotAllowedNowError
from training.ml.records import SCORE_COLUMNS
from training.models import Anomaly, Review
from training.models.review import REVIEWERS
from training.policy import current_policy


class Outcome(Enum):
    """What became of an anomaly whose scores a reviewer gave."""

    APPROVED = auto()
    SECOND_NEEDED = auto()  # another reviewer is asked
    DISPUTED = auto()  # the two disagree


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """Of the two reviewers, on one score.

    `kappa` is Cohen's with quadratic weights, of scores rounded to whole ones (half up); None where it is not
    defined. https://doi.org/10.1037/h0026256
    """

    pairs: int
    equal: int
    kappa: float | None


def give_scores(
    *, anomaly: Anomaly, scores: Mapping[str, float], user: User, reason: str = "", as_seen: bool = True
) -> Outcome:
    """One reviewer's scores of a pending anomaly: approve it, or keep them until a second one agrees.

    Those that `scores` leaves out are the anomaly's own. Raises NotAllowedNowError when one is missing, when
    somebody settled it already, when it was changed since `anomaly` was read (unless not `as_seen`), and when
    this reviewer, or two others, gave their scores already.
    """
    with transaction.atomic():
        row = _locked(anomaly)
        if as_seen and row.updated_at != anomaly.updated_at:
            raise NotAllowedNowError(_("The anomaly was changed since you saw it: look again."))
        scores = _completed(row, scores)
        others = list(row.reviews.open())
        if not others and not row.needs_two(current_policy().share_for_two):
            _approve(row, scores, user, reason)
            return Outcome.APPROVED
        if any(other.reviewer_id == user.pk for other in others):
            raise NotAllowedNowError(_("You gave your scores already: a second reviewer is asked."))
        if len(others) >= REVIEWERS:
            raise NotAllowedNowError(_("Two reviewers disagree on this anomaly: it waits for adjudication."))
        Review.objects.create(anomaly=row, reviewer=user, **scores)
        if not others:
            return Outcome.SECOND_NEEDED
        if others[0].scores != scores:
            return Outcome.DISPUTED
        _settle(row)
        _approve(row, scores, user, reason)
        return Outcome.APPROVED


def adjudicate(*, anomaly: Anomaly, scores: Mapping[str, float], user: User, reason: str = "") -> None:
    """Settle a disputed anomaly: `scores` of what the two disagree on, the rest is what both said.

    Raises NotAllowedNowError when it is not disputed (any more), ValueError when a disputed score is missing.
    """
    with transaction.atomic():
        row = _locked(anomaly)
        first, second = _two(row)
        agreed = {name: score for name, score in first.scores.items() if second.scores[name] == score}
        if missing := set(SCORE_COLUMNS) - agreed.keys() - scores.keys():
            raise ValueError(f"disputed, and not given: {sorted(missing)}")
        _settle(row)
        _approve(row, {**scores, **agreed}, user, reason)


def take_back(*, anomaly: Anomaly, user: User) -> bool:
    """Forget the scores that this reviewer gave of an anomaly that is not settled; whether there were any."""
    with transaction.atomic():
        _locked(anomaly)
        return bool(Review.objects.open().filter(anomaly=anomaly, reviewer=user).delete()[0])


def undo(*, anomaly: Anomaly, change: Any, user: User, reason: str = "") -> Anomaly:
    """`review.undo`; when it takes back what settled the anomaly, the reviews of others wait again."""
    with transaction.atomic():
        fresh = review.undo(anomaly=anomaly, change=change, user=user, reason=reason)
        if fresh.status == Anomaly.Status.PENDING:
            _unsettle(fresh, user, change)
            anomaly.reviews.filter(set_aside_at=change.reviewed_at).update(set_aside_at=None)
    return fresh


def _unsettle(anomaly: Anomaly, user: User, change: Any) -> None:
    """What the change settled is open again; not what an earlier one settled."""
    before = anomaly.history.filter(history_id__lt=change.history_id).latest("history_id")
    pair = anomaly.reviews.filter(settled_at__gt=before.history_date, settled_at__lte=change.history_date)
    pair.filter(reviewer=user).delete()
    pair.update(settled_at=None)


def agreement() -> dict[str, Agreement]:
    """By score column, over all anomalies that two reviewers scored: counted by the database."""
    return {column: _agreement(Review.objects.pairs(column)) for column in SCORE_COLUMNS}


def _agreement(pairs: Mapping[tuple[float, float], int]) -> Agreement:
    from training.ml.metrics import weighted_kappa  # noqa: PLC0415  # scikit-learn, for who asks

    return Agreement(
        pairs=sum(pairs.values()),
        equal=sum(count for (first, second), count in pairs.items() if first == second),
        kappa=weighted_kappa(list(pairs), counts=list(pairs.values())) if pairs else None,
    )


def _completed(row: Anomaly, scores: Mapping[str, float]) -> dict[str, float]:
    """All three: those that were given, else what the anomaly has."""
    complete = {
        name: score
        for name, score in {**row.scores, **scores}.items()
        if name in SCORE_COLUMNS and score is not None
    }
    if len(complete) < len(SCORE_COLUMNS):
        raise NotAllowedNowError(_("An approved anomaly needs all three scores."))
    return complete


def _locked(anomaly: Anomaly) -> Anomaly:
    row = Anomaly.objects.select_for_update().filter(pk=anomaly.pk).first()
    if row is None:
        raise NotAllowedNowError(_("The anomaly is gone."))
    if row.status != Anomaly.Status.PENDING:
        raise NotAllowedNowError(
            _("The anomaly is %(status)s already.") % {"status": row.get_status_display()}
        )
    return row


def _two(anomaly: Anomaly) -> tuple[Review, Review]:
    given = list(anomaly.reviews.open())
    if len(given) < REVIEWERS:
        raise NotAllowedNowError(_("The anomaly is not disputed."))
    return given[0], given[1]


def _settle(anomaly: Anomaly) -> None:
    anomaly.reviews.open().update(settled_at=timezone.now())


def _approve(anomaly: Anomaly, scores: Mapping[str, float], user: User, reason: str) -> None:
    review.approve(anomalies=[anomaly], scores=scores, user=user, reason=reason, is_settled=True)
