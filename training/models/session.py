"""A training session: the truth about one training. The queue message that starts it only rings."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from training.database import database_now
from training.models.backup import Backup
from training.models.begun import BegunByRequest, one_row_per_request
from training.models.version import ModelVersion


class TrainingSessionQuerySet(models.QuerySet["TrainingSession"]):
    def active(self) -> "TrainingSessionQuerySet":
        return self.filter(status__in=TrainingSession.ACTIVE)

    def ended(self) -> "TrainingSessionQuerySet":
        return self.exclude(status__in=TrainingSession.ACTIVE)

    def succeeded(self) -> "TrainingSessionQuerySet":
        return self.filter(status=TrainingSession.Status.SUCCEEDED)


class TrainingSession(BegunByRequest):
    """queued → running → succeeded | failed | cancelled; a scheduled one may be skipped at once.

    Every transition is a conditional update (compare-and-set). `attempts` is raised by each claim and
    is the fencing number: only the holder of the latest attempt may write to a running session.
    """

    class Trigger(models.TextChoices):
        API = "api", _("REST API")
        ADMIN = "admin", _("admin")
        SCHEDULE = "schedule", _("schedule")
        COMMAND = "command", _("command")

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")
        SKIPPED = "skipped", _("skipped")

    class Step(models.TextChoices):
        WAIT = "wait", _("waiting for a worker")
        START = "start", _("starting")
        BACKUP = "backup", _("backing up")
        LOAD = "load", _("loading records")
        EVALUATE = "evaluate", _("measuring on held-out records")
        FIT = "fit", _("fitting")
        WRITE = "write", _("writing the model")
        PUBLISH = "publish", _("publishing")

    class Cause(models.TextChoices):
        NO_WORKER = "no_worker", _("no worker")
        DIED = "died", _("the process died")
        TIMEOUT = "timeout", _("too slow")
        DISK = "disk", _("disk")
        DATA = "data", _("data or model")
        TOO_FEW = "too_few", _("too little new")
        BUSY = "busy", _("another session")
        FROZEN = "frozen", _("frozen")

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    trigger = models.CharField(_("trigger"), max_length=10, choices=Trigger)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.QUEUED)
    step = models.CharField(_("step"), max_length=10, choices=Step, default=Step.WAIT)
    progress = models.PositiveSmallIntegerField(_("progress in percent"), default=0)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    cancel_requested = models.BooleanField(_("cancel requested"), default=False)
    # Why it failed, was cancelled or skipped, in a sentence fit to show.
    reason = models.TextField(_("reason"), blank=True)
    # What kind of reason, when it failed or was skipped: it decides what to advise.
    cause = models.CharField(_("cause"), max_length=10, choices=Cause, blank=True)

    queued_at = models.DateTimeField(_("queued at"), default=timezone.now)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    heartbeat_at = models.DateTimeField(_("last heartbeat"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)

    records_received = models.PositiveIntegerField(_("records received"), default=0)
    records_created = models.PositiveIntegerField(_("records created"), default=0)
    records_updated = models.PositiveIntegerField(_("records updated"), default=0)
    records_unchanged = models.PositiveIntegerField(_("records unchanged"), default=0)

    backup = models.ForeignKey(
        Backup,
        verbose_name=_("backup"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="sessions",
    )
    model_version = models.OneToOneField(
        ModelVersion,
        verbose_name=_("model version"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="session",
    )

    objects = TrainingSessionQuerySet.as_manager()

    class Meta:
        verbose_name = _("training session")
        verbose_name_plural = _("training sessions")
        ordering = ["-id"]
        permissions = [
            ("train_models", _("Can start a training session")),
            ("cancel_trainingsession", _("Can cancel a training session")),
        ]
        constraints = [
            # A constant expression under a condition: at most one row is queued or running.
            models.UniqueConstraint(
                models.Value(1), condition=Q(status__in=["queued", "running"]), name="one_active_session"
            ),
            one_row_per_request("one_session_per_request_key"),
            models.CheckConstraint(
                condition=~Q(status="succeeded") | Q(model_version__isnull=False),
                name="succeeded_session_has_version",
            ),
        ]

    def __str__(self) -> str:
        return str(_("session %(number)d") % {"number": self.pk})

    @property
    def change_reason(self) -> str:
        """What the history says of the records that came with it."""
        return f"Training session {self.pk}"

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def seconds(self) -> float:
        """From the claim to the end, or to now while it runs; 0 before."""
        if self.started_at is None:
            return 0.0
        return ((self.finished_at or database_now()) - self.started_at).total_seconds()

    @property
    def lease_expired(self) -> bool:
        """The worker that runs it has not been heard of for the length of a lease."""
        return database_now() - self.heard_at > timedelta(seconds=settings.TRAINING_LEASE)

    @property
    def heard_at(self) -> datetime:
        """When its worker was last heard of, or might have been."""
        return self.heartbeat_at or self.started_at or self.queued_at
