"""What a training session did: its steps with their times, and what its process said."""

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from training.models.session import TrainingSession


class SessionLogEntry(models.Model):
    """Append-only and bounded: see `training.session_log`."""

    class Kind(models.TextChoices):
        STEP = "step", _("step")  # began
        EVENT = "event", _("event")  # decided by the product
        LINE = "line", _("message")  # of the training process

    session = models.ForeignKey(
        TrainingSession, verbose_name=_("training session"), on_delete=models.CASCADE, related_name="log"
    )
    attempt = models.PositiveSmallIntegerField(_("attempt"))
    kind = models.CharField(_("kind"), max_length=10, choices=Kind)
    at = models.DateTimeField(_("time"), default=timezone.now)
    step = models.CharField(_("step"), max_length=10, choices=TrainingSession.Step, blank=True)
    text = models.TextField(_("message"), blank=True)

    class Meta:
        verbose_name = _("log entry")
        verbose_name_plural = _("log entries")
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["session", "attempt", "step"], condition=Q(kind="step"), name="one_entry_a_step"
            ),
            models.CheckConstraint(
                condition=Q(kind="step") & ~Q(step="") | Q(kind__in=["event", "line"]) & ~Q(text=""),
                name="log_entry_says_something",
            ),
        ]

    def __str__(self) -> str:
        return self.text or self.get_step_display()
