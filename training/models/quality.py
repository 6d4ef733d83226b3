"""What a look at the whole training set found: its labels' quality, or how the world drifts."""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from training.ml.findings import CONFLICT, IMPLAUSIBLE, NEAR_DUPLICATE
from training.ml.records import SCORE_COLUMNS
from training.models.anomaly import Anomaly


class QualityReport(models.Model):
    """Made as a whole and never changed; the newest of a kind is the one to read."""

    class Kind(models.TextChoices):
        LABELS = "labels", _("label quality")
        DRIFT = "drift", _("drift")

    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    record_count = models.PositiveIntegerField(_("records"), help_text=_("Approved anomalies looked at."))
    seconds = models.FloatField(_("seconds"))
    content = models.JSONField(_("content"))
    # When the records were read: what changed later is another record.
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        verbose_name = _("quality report")
        verbose_name_plural = _("quality reports")
        ordering = ["-id"]
        indexes = [models.Index(fields=["kind", "-id"], name="quality_report_newest")]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind__in=["labels", "drift"]), name="quality_report_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.created_at:%Y-%m-%d %H:%M}"


class LabelFindingQuerySet(models.QuerySet["LabelFinding"]):
    def current(self) -> "LabelFindingQuerySet":
        """Those of the newest report whose anomalies are still approved, and as they were then."""
        newest = QualityReport.objects.filter(kind=QualityReport.Kind.LABELS).order_by("-id")
        return self.filter(
            Q(other=None) | _unchanged("other"), _unchanged("anomaly"), report=newest.values("pk")[:1]
        )


def _unchanged(anomaly: str) -> Q:
    return Q(
        **{
            f"{anomaly}__status": Anomaly.Status.APPROVED,
            f"{anomaly}__updated_at__lte": F("report__created_at"),
        }
    )


class LabelFinding(models.Model):
    """One reason to look at one approved anomaly again. Only the newest report has its findings."""

    class Kind(models.TextChoices):
        IMPLAUSIBLE = IMPLAUSIBLE, _("implausible score")
        CONFLICT = CONFLICT, _("same text, other score")
        NEAR_DUPLICATE = NEAR_DUPLICATE, _("near-duplicate")

    class Target(models.TextChoices):
        AVAILABILITY = "availability", _("availability")
        FIABILITY = "fiability", _("fiability")
        PROCESS_SAFETY = "process_safety", _("process safety")

    report = models.ForeignKey(
        QualityReport,
        verbose_name=_("quality report"),
        on_delete=models.CASCADE,
        related_name="label_findings",
    )
    anomaly = models.ForeignKey(
        Anomaly, verbose_name=_("anomaly"), on_delete=models.CASCADE, related_name="label_findings"
    )
    # Which it is at odds with; of several, the one whose score is furthest. None: a model judged it.
    other = models.ForeignKey(
        Anomaly,
        verbose_name=_("other anomaly"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # "": it is about the report and not about one of its scores.
    target = models.CharField(_("score"), max_length=20, choices=Target, blank=True)
    rank = models.PositiveIntegerField(_("rank"), help_text=_("1: the most suspicious of its kind."))
    suspicion = models.FloatField(_("suspicion"), help_text=_("0 to 1, comparable within a kind."))
    evidence = models.JSONField(_("evidence"))

    objects = LabelFindingQuerySet.as_manager()

    class Meta:
        verbose_name = _("doubtful label")
        verbose_name_plural = _("doubtful labels")
        ordering = ["kind", "rank"]
        default_permissions = ()  # who may see anomalies sees what is doubtful in them
        indexes = [models.Index(fields=["report", "-suspicion"], name="label_finding_suspicion")]
        constraints = [
            models.UniqueConstraint(fields=["report", "kind", "rank"], name="label_finding_rank"),
            models.CheckConstraint(
                condition=Q(kind__in=["implausible", "conflict", "near_duplicate"]),
                name="label_finding_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(suspicion__gte=0, suspicion__lte=1), name="label_finding_suspicion_0_to_1"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.rank}"

    @property
    def contrary(self) -> str:
        """What speaks against it, without words.

        The score that the model suggests; or how many of the others have which score; or how like the other
        report is, and its three scores.
        """
        if self.kind == self.Kind.IMPLAUSIBLE:
            return str(self.evidence["suggested"])
        if self.kind == self.Kind.CONFLICT:
            return ", ".join(
                f"{count} × {score}" for score, count in self.evidence["others_by_score"].items()
            )
        scores = " · ".join(f"{self.evidence['reports'][1][column]:g}" for column in SCORE_COLUMNS)
        return f"≈ {self.evidence['similarity']:.2f}: {scores}"
