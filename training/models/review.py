"""What reviewers say before an anomaly is settled, and who looks at which one now."""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Count, F, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce, Now
from django.utils.translation import gettext_lazy as _

from training.ml.records import SCORE_COLUMNS
from training.models.anomaly import MAX_SCORE, MIN_SCORE, Anomaly, score_validators

REVIEWERS = 2  # of an anomaly under double review


class ReviewQuerySet(models.QuerySet["Review"]):
    def open(self) -> "ReviewQuerySet":
        """Those whose anomaly is not settled yet."""
        return self.filter(settled_at=None, set_aside_at=None)

    def set_aside(self, anomalies: "models.QuerySet[Anomaly, Any]") -> int:
        """Close the open reviews of those of these anomalies that are not pending any more; how many.

        For whatever takes an anomaly out of the queue but the two reviewers and adjudication, which settle
        theirs first. Such reviews are no pair, and open again only when what set them aside is undone: they
        bear the moment of that decision.
        """
        left = anomalies.exclude(status=Anomaly.Status.PENDING)
        decided = Anomaly.objects.filter(pk=OuterRef("anomaly")).order_by().values("reviewed_at")
        rows = self.open().filter(anomaly__in=left.order_by().values("pk"))
        return rows.update(set_aside_at=Coalesce(Subquery(decided), Now()))

    def pairs(self, column: str) -> dict[tuple[float, float], int]:
        """How often which score was given first and which second, of the same anomaly; one query."""
        other = "anomaly__reviews"
        together = Q(**{f"{other}__settled_at": F("settled_at")}) | Q(
            **{f"{other}__settled_at": None}, settled_at=None
        )
        earlier = Q(**{f"{other}__id__lt": F("id"), f"{other}__set_aside_at": None})
        second = self.filter(together, earlier, set_aside_at=None).order_by()
        counted = second.values_list(f"{other}__{column}", column).annotate(Count("pk"))
        return {(before, after): count for before, after, count in counted}


class Review(models.Model):
    """The scores that one of the two reviewers of an anomaly gave; the other does not see them."""

    anomaly = models.ForeignKey(
        Anomaly, verbose_name=_("anomaly"), on_delete=models.CASCADE, related_name="reviews"
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("reviewer"),
        on_delete=models.PROTECT,
        related_name="reviews",
    )
    availability_score = models.FloatField(_("availability"), validators=score_validators)
    fiability_score = models.FloatField(_("fiability"), validators=score_validators)
    process_safety_score = models.FloatField(_("process safety"), validators=score_validators)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    # When the anomaly was approved with the scores of both, or by adjudication.
    settled_at = models.DateTimeField(_("settled at"), null=True, blank=True)
    # When the anomaly left the queue otherwise: rejected, or with scores from elsewhere.
    set_aside_at = models.DateTimeField(_("set aside at"), null=True, blank=True)

    objects = ReviewQuerySet.as_manager()

    class Meta:
        verbose_name = _("review")
        verbose_name_plural = _("reviews")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["anomaly", "reviewer"],
                condition=Q(settled_at=None, set_aside_at=None),
                name="one_open_review_per_reviewer",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{f"{column}__gte": MIN_SCORE, f"{column}__lte": MAX_SCORE}),
                    name=f"review_{column}_1_to_5",
                )
                for column in SCORE_COLUMNS
            ),
        ]

    def __str__(self) -> str:
        return f"{self.anomaly} · {self.reviewer}"

    @property
    def scores(self) -> dict[str, float]:
        """By column name."""
        return {column: getattr(self, column) for column in SCORE_COLUMNS}


def disputed() -> "models.QuerySet[Anomaly, Any]":
    """Pending anomalies on which two reviewers disagree, the oldest first."""
    both = Review.objects.open().values("anomaly").annotate(count=Count("pk")).filter(count__gte=REVIEWERS)
    return Anomaly.objects.pending().filter(pk__in=both.values("anomaly")).order_by("pk")


class ReviewLeaseQuerySet(models.QuerySet["ReviewLease"]):
    def valid(self) -> "ReviewLeaseQuerySet":
        return self.filter(expires_at__gt=Now())


class ReviewLease(models.Model):
    """The anomaly that a reviewer has on the screen: nobody else gets it until then."""

    anomaly = models.OneToOneField(
        Anomaly,
        verbose_name=_("anomaly"),
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="lease",
    )
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("reviewer"), on_delete=models.CASCADE, related_name="+"
    )
    expires_at = models.DateTimeField(_("expires at"), db_index=True)

    objects = ReviewLeaseQuerySet.as_manager()

    class Meta:
        verbose_name = _("review lease")
        verbose_name_plural = _("review leases")

    def __str__(self) -> str:
        return f"{self.anomaly} · {self.reviewer}"
