"""Which anomaly a reviewer gets next: what matters and is unsure first, and nobody gets what another one has.

A lease is taken by compare-and-set, so of two reviewers who ask at once each gets an anomaly of their own; it
expires by itself when the reviewer leaves.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.expressions import Combinable
from django.db.models.functions import Now

from predictions.models import Prediction
from predictions.predictor import current
from training.criticality import in_band
from training.models import Anomaly, Review, ReviewLease
from training.models.review import REVIEWERS

CANDIDATES = 10  # tried at a time: as many reviewers may ask at once before somebody has to ask again


class Order(StrEnum):
    PRIORITY = "priority"  # criticality × uncertainty × disagreement
    NEWEST = "newest"


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """What a reviewer chose to see."""

    order: Order = Order.PRIORITY
    section: str = ""
    band: str = ""


def next_anomaly(
    *,
    user: User,
    wanted: Wanted,
    skipped: Collection[int] = (),
    after: Collection[int] = (),
    shown: int | None = None,
) -> Anomaly | None:
    """An anomaly that this reviewer has already, or else the next one, which is theirs from now on.

    Of those that they have none of `after`, which the browser keeps; first the one that was `shown` last.
    """
    passed_over = {*skipped, *after}
    for mine in sorted(_held(user, wanted, passed_over), key=lambda anomaly: anomaly.pk != shown):
        if take(anomaly_id=mine.pk, user=user):
            return mine
    for key in _candidates(user, wanted, passed_over):
        if take(anomaly_id=key, user=user):
            return Anomaly.objects.get(pk=key)
    return None


def renew(*, anomaly_ids: Collection[int], user: User) -> None:
    """What is on this reviewer's screen, and what the browser has fetched ahead, stays theirs."""
    ReviewLease.objects.filter(anomaly__in=anomaly_ids, reviewer=user).update(expires_at=_end_of_lease())


def take_again(*, anomaly_id: int, user: User) -> Anomaly | None:
    """The anomaly as it is now, on this reviewer's screen; None when they have nothing left to decide."""
    mine = waiting_for(user, Wanted()).filter(pk=anomaly_id).first()
    return mine if mine is not None and take(anomaly_id=mine.pk, user=user) else None


def release(*, anomaly_id: int, user: User) -> None:
    """The reviewer is done with it, or skips it."""
    ReviewLease.objects.filter(anomaly=anomaly_id, reviewer=user).delete()


def waiting_for(user: User, wanted: Wanted) -> QuerySet[Anomaly]:
    """Pending anomalies that this reviewer may score: not disputed, and not scored by the same person."""
    open_reviews = Review.objects.open().filter(anomaly=OuterRef("pk"))
    enough = open_reviews.order_by().values("anomaly").annotate(n=Count("pk")).filter(n__gte=REVIEWERS)
    pending = Anomaly.objects.pending().filter(~Exists(open_reviews.filter(reviewer=user)), ~Exists(enough))
    if wanted.section:
        pending = pending.filter(section=wanted.section)
    if wanted.band:
        suggested = suggested_now().filter(in_band(wanted.band), anomaly=OuterRef("pk"))
        pending = pending.filter(in_band(wanted.band) | Q(criticality=None) & Exists(suggested))
    return pending


def suggested_now() -> QuerySet[Prediction]:
    """The suggestions of the version that serves."""
    loaded = current().loaded
    return Prediction.objects.filter(model_version=loaded.version_id) if loaded else Prediction.objects.none()


def _held(user: User, wanted: Wanted, passed_over: Collection[int]) -> Iterable[Anomaly]:
    """By their keys, few as they are: a join would be planned with all that waits."""
    leases = ReviewLease.objects.valid().filter(reviewer=user).exclude(anomaly__in=passed_over)
    keys = list(leases.values_list("pk", flat=True))
    return waiting_for(user, wanted).filter(pk__in=keys) if keys else ()


def _candidates(user: User, wanted: Wanted, skipped: Collection[int]) -> Iterator[int]:
    """Their keys, the first first; those without a suggestion last, the newest of them first."""
    held = ReviewLease.objects.valid().exclude(reviewer=user).filter(anomaly=OuterRef("pk"))
    free = waiting_for(user, wanted).filter(~Exists(held)).exclude(pk__in=skipped)
    if wanted.order == Order.PRIORITY:
        # Asked row by row along the index of priorities: `anomaly__in` would collect all that waits first.
        # None is below 0: it is said so that SQLite takes that index, not another one of the version.
        rows = (
            suggested_now()
            .filter(Exists(free.filter(pk=OuterRef("anomaly_id"))), priority__gte=0)
            .order_by("-priority", "-pk")
        )
        yield from rows.values_list("anomaly_id", flat=True)[:CANDIDATES]
        free = free.filter(~Exists(suggested_now().filter(anomaly=OuterRef("pk"))))
    yield from free.order_by("-pk").values_list("pk", flat=True)[:CANDIDATES]


def take(*, anomaly_id: int, user: User) -> bool:
    """Put it on this reviewer's screen; False when another one has it.

    Compare and set: it is theirs already, expired, or nobody's.
    """
    until = _end_of_lease()
    leases = ReviewLease.objects.filter(anomaly=anomaly_id)
    if leases.filter(Q(reviewer=user) | Q(expires_at__lte=Now())).update(reviewer=user, expires_at=until):
        return True
    lease = ReviewLease(anomaly_id=anomaly_id, reviewer=user, expires_at=until)
    ReviewLease.objects.bulk_create([lease], ignore_conflicts=True)
    return leases.filter(reviewer=user).exists()


def _end_of_lease() -> Combinable:
    """By the database's clock, which all nodes share."""
    return Now() + timedelta(seconds=settings.REVIEW_LEASE)
