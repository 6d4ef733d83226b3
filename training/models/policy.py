"""What happens by itself: when training starts, what may serve after it, what is kept. One row."""

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from simple_history.models import HistoricalRecords

from training.database import database_now

ONLY = 1  # the row's key


class TrainingPolicy(models.Model):
    """What is left empty follows the setting of the same meaning. Every change is kept, with who and when."""

    class Activation(models.TextChoices):
        GATE = "gate", _("when it is not worse than the champion")
        NEVER = "never", _("never by itself")

    enabled = models.BooleanField(_("scheduled training"), default=True)
    cron = models.CharField(_("cron line (UTC)"), max_length=100, blank=True)
    minimum_new = models.PositiveIntegerField(
        _("newly approved anomalies needed"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    activation = models.CharField(
        _("activate after a scheduled training"), max_length=10, choices=Activation, default=Activation.GATE
    )
    keep_backups = models.PositiveIntegerField(
        _("backups kept"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    keep_versions = models.PositiveIntegerField(
        _("model versions kept"), null=True, blank=True, validators=[MinValueValidator(1)]
    )
    double_review_percent = models.PositiveSmallIntegerField(
        _("anomalies that two people score (%)"), null=True, blank=True, validators=[MaxValueValidator(100)]
    )

    quality_enabled = models.BooleanField(_("quality reports by themselves"), default=True)
    quality_cron = models.CharField(_("cron line of the quality reports (UTC)"), max_length=100, blank=True)

    # Frozen from then on, until a moment or until somebody lifts it.
    frozen_at = models.DateTimeField(_("frozen at"), null=True, blank=True)
    frozen_until = models.DateTimeField(_("frozen until"), null=True, blank=True)
    frozen_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("frozen by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    freeze_reason = models.TextField(_("reason of the freeze"), blank=True)

    history = HistoricalRecords(history_change_reason_field=models.TextField(null=True))

    class Meta:
        verbose_name = _("training policy")
        verbose_name_plural = _("training policy")
        constraints = [
            models.CheckConstraint(condition=Q(pk=ONLY), name="one_training_policy"),
            models.CheckConstraint(
                condition=Q(activation__in=["gate", "never"]), name="training_policy_activation_known"
            ),
            models.CheckConstraint(
                condition=Q(frozen_at=None, frozen_until=None)
                | Q(frozen_at__isnull=False) & ~Q(freeze_reason=""),
                name="training_freeze_has_reason",
            ),
            models.CheckConstraint(
                condition=Q(double_review_percent=None)
                | Q(double_review_percent__gte=0, double_review_percent__lte=100),
                name="training_policy_double_review_percent",
            ),
            *(
                models.CheckConstraint(
                    condition=Q(**{name: None}) | Q(**{f"{name}__gte": 1}), name=f"training_policy_{name}"
                )
                for name in ("minimum_new", "keep_backups", "keep_versions")
            ),
        ]

    def __str__(self) -> str:
        return str(_("training policy"))

    @property
    def is_frozen(self) -> bool:
        """Whether nothing trains or activates by itself, and nothing is activated by hand, at this moment."""
        if self.frozen_at is None:
            return False
        return self.frozen_until is None or database_now() < self.frozen_until

    # --- With the settings' values where nothing was chosen ---------------------------------------

    @property
    def cron_line(self) -> str:
        return self.cron or settings.TRAINING_SCHEDULE

    @property
    def quality_cron_line(self) -> str:
        return self.quality_cron or settings.QUALITY_REPORT_SCHEDULE

    @property
    def minimum(self) -> int:
        return self.minimum_new or settings.TRAINING_SCHEDULE_MINIMUM

    @property
    def backups_kept(self) -> int:
        return self.keep_backups or settings.KEEP_BACKUPS

    @property
    def versions_kept(self) -> int:
        return self.keep_versions or settings.KEEP_MODEL_VERSIONS

    @property
    def share_for_two(self) -> int:
        """In per cent of the anomalies."""
        chosen = self.double_review_percent
        return int(settings.DOUBLE_REVIEW_PERCENT) if chosen is None else chosen
