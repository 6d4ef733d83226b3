"""A file of reports to be scored, and the pieces that the queue's nodes score side by side.

Both files, what came and what was made of it, stand in the database, a piece a row: every node reaches them,
a piece is there wholly or not at all, and nothing is left behind when a job is deleted.
"""

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from training.models import ModelVersion
from training.models.begun import BegunByRequest, one_row_per_request


class PredictionJobQuerySet(models.QuerySet["PredictionJob"]):
    def active(self) -> "PredictionJobQuerySet":
        return self.filter(status__in=PredictionJob.ACTIVE)


class PredictionJob(BegunByRequest):
    """receiving → queued → running → succeeded | failed | cancelled; one version scores all of it."""

    class Status(models.TextChoices):
        RECEIVING = "receiving", _("receiving")  # swept if it stays so
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        SUCCEEDED = "succeeded", _("succeeded")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    ACTIVE = (Status.QUEUED, Status.RUNNING)

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.RECEIVING)
    file_name = models.CharField(_("file"), max_length=255)
    model_version = models.ForeignKey(
        ModelVersion, verbose_name=_("model version"), on_delete=models.PROTECT, related_name="jobs"
    )
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("requested by"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    rows = models.PositiveIntegerField(_("rows"), default=0)
    rows_done = models.PositiveIntegerField(_("rows done"), default=0)
    rows_refused = models.PositiveIntegerField(_("rows refused"), default=0)
    # Why it failed or was cancelled, in a sentence fit to show.
    reason = models.TextField(_("reason"), blank=True)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    started_at = models.DateTimeField(_("started at"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished at"), null=True, blank=True)
    # Retention took the pieces away; the row stays and tells when.
    pruned_at = models.DateTimeField(_("removed at"), null=True, blank=True)

    objects = PredictionJobQuerySet.as_manager()

    class Meta:
        verbose_name = _("prediction job")
        verbose_name_plural = _("prediction jobs")
        ordering = ["-id"]
        default_permissions = ("view", "add")
        indexes = [models.Index(fields=["status", "id"], name="prediction_job_status")]
        constraints = [
            one_row_per_request("one_job_per_request_key"),
            models.CheckConstraint(
                condition=Q(rows_refused__lte=F("rows_done")) & Q(rows_done__lte=F("rows")),
                name="prediction_job_counts",
            ),
        ]

    def __str__(self) -> str:
        return str(_("prediction job %(number)d") % {"number": self.pk})

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE

    @property
    def has_result(self) -> bool:
        return self.status == self.Status.SUCCEEDED and self.pruned_at is None

    @property
    def progress(self) -> int:
        """Percent of the rows."""
        return 100 * self.rows_done // self.rows if self.rows else 0


class PredictionChunk(models.Model):
    """Some consecutive rows of the file. `attempts` is the fencing number: its newest holder completes it."""

    class Status(models.TextChoices):
        QUEUED = "queued", _("queued")
        RUNNING = "running", _("running")
        DONE = "done", _("done")

    job = models.ForeignKey(PredictionJob, on_delete=models.CASCADE, related_name="chunks")
    number = models.PositiveIntegerField()
    rows = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    reports = models.BinaryField()  # predictions.job_rows.pack; emptied once the chunk is done
    result = models.BinaryField(null=True)  # compressed lines of CSV

    class Meta:
        verbose_name = _("part of a prediction job")
        verbose_name_plural = _("parts of prediction jobs")
        ordering = ["job_id", "number"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["job", "number"], name="one_chunk_per_job_and_number")]
        indexes = [
            # What waits or is worked on, in the order of the work.
            models.Index(
                fields=["job", "number"],
                condition=Q(status__in=["queued", "running"]),
                name="prediction_chunk_open",
            )
        ]

    def __str__(self) -> str:
        return f"{self.job_id}:{self.number}"
