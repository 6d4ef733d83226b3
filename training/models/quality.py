"""What a look at the whole training set found: its labels' quality, or how the world drifts."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class QualityReport(models.Model):
    """Made as a whole and never changed; the newest of a kind is the one to read."""

    class Kind(models.TextChoices):
        LABELS = "labels", _("label quality")
        DRIFT = "drift", _("drift")

    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    record_count = models.PositiveIntegerField(_("records"), help_text=_("Approved anomalies looked at."))
    seconds = models.FloatField(_("seconds"))
    content = models.JSONField(_("content"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
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
        get_latest_by = "id"
        indexes = [models.Index(fields=["kind", "-id"], name="quality_report_newest")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["labels", "drift"]), name="quality_report_kind_known"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.created_at:%Y-%m-%d %H:%M}"
