"""A look for doubtful labels or for drift: who or what asked for it, how far it is, what came of it."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from training.models.quality import QualityReport
from training.models.version import Activation


class QualityCheckQuerySet(models.QuerySet["QualityCheck"]):
    def active(self) -> "QualityCheckQuerySet":
        return self.filter(status__in=QualityCheck.ACTIVE)


class QualityCheck(models.Model):
    """queued → running → succeeded | failed | skipped, each by compare-and-set.

    `attempts` is the fencing number: only the holder of the latest attempt writes to a running one.
    """

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", _("schedule")
        ACTIVATION = "activation", _("activation")
        ADMIN = "admin", _("admin")
        API = "api", _("REST API")

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        SKIPPED = "skipped", _("skipped")

    ACTIVE = (Status.QUEUED, Status.RUNNING)
    BY_ITSELF = (Trigger.SCHEDULE, Trigger.ACTIVATION)

    kind = models.CharField(_("kind"), max_length=10, choices=QualityReport.Kind)
    trigger = models.CharField(_("trigger"), max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    # The occasion, when it started by itself; each has one check of a kind, whatever looks for it.
    due_at = models.DateTimeField(_("due at"), null=True, blank=True)
    activation = models.ForeignKey(
        Activation,
        verbose_name=_("activation"),
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="+",
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.QUEUED)
    progress = models.PositiveSmallIntegerField(_("progress in percent"), default=0)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    # Why it failed or was skipped, in a sentence fit to show.
    reason = models.TextField(_("reason"), blank=True)
    queued_at = models.DateTimeField(_("queued at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    report = models.OneToOneField(
        QualityReport,
        verbose_name=_("quality report"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = QualityCheckQuerySet.as_manager()

    class Meta:
        verbose_name = _("quality check")
        verbose_name_plural = _("quality checks")
        ordering = ["-id"]
        default_permissions = ("view", "add")
        constraints = [
            models.UniqueConstraint(
                fields=["kind"],
                condition=Q(status__in=["queued", "running"]),
                name="one_active_quality_check",
            ),
            models.UniqueConstraint(fields=["kind", "due_at"], name="one_quality_check_a_due_time"),
            models.UniqueConstraint(fields=["kind", "activation"], name="one_quality_check_an_activation"),
            models.CheckConstraint(
                condition=Q(kind__in=["labels", "drift"]), name="quality_check_kind_known"
            ),
        ]

    def __str__(self) -> str:
        return str(_("quality check %(number)d") % {"number": self.pk})

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def seconds(self) -> float:
        """From the claim to the end, or to now while it runs; 0 before."""
        if self.started_at is None:
            return 0.0
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()
