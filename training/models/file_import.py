"""An import of files: looked at first, then stored or discarded by somebody; the row stays as its record."""

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from training.models.anomaly import Anomaly


class FileImport(models.Model):
    """The counts are those of the look until it is stored, then of what was stored."""

    class Status(models.TextChoices):
        WAITING = "waiting", _("to be confirmed")
        STORED = "stored", _("imported")
        DISCARDED = "discarded", _("discarded")

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.WAITING)
    anomaly_status = models.CharField(
        _("imported as"), max_length=10, choices=Anomaly.Status, default=Anomaly.Status.APPROVED
    )
    directory = models.CharField(_("directory"), max_length=32, unique=True)  # its name, below DIRECTORY
    file_names = models.JSONField(_("files"))
    # [[file, [[title, our column or ""], …]], …], and the first good rows by our columns
    columns = models.JSONField(_("columns"))
    first_rows = models.JSONField(_("first rows"))
    # [[file, line, reason], …]: the first of them; the file of refused rows has all
    problems = models.JSONField(_("refused rows"))

    rows_read = models.PositiveIntegerField(_("rows read"))
    rows_created = models.PositiveIntegerField(_("new"))
    rows_updated = models.PositiveIntegerField(_("changed"))
    rows_unchanged = models.PositiveIntegerField(_("identical"))
    rows_duplicate = models.PositiveIntegerField(_("duplicate"))
    rows_refused = models.PositiveIntegerField(_("refused"))

    created_at = models.DateTimeField(_("uploaded at"), auto_now_add=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("uploaded by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )
    decided_at = models.DateTimeField(_("decided at"), null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("decided by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    DIRECTORY = "imports"  # below MEDIA_ROOT, private; with object storage, the files are there too
    REFUSED = "refused.csv"

    class Meta:
        verbose_name = _("import")
        verbose_name_plural = _("imports")
        ordering = ["-id"]
        default_permissions = ()  # who may see anomalies sees what was imported
        indexes = [models.Index(fields=["status", "created_at"], name="file_import_status_created")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=["waiting", "stored", "discarded"]), name="file_import_status_known"
            ),
            models.CheckConstraint(
                condition=Q(status="waiting", decided_at=None)
                | Q(status__in=["stored", "discarded"], decided_at__isnull=False),
                name="file_import_decided_once",
            ),
            models.CheckConstraint(
                condition=Q(anomaly_status__in=["pending", "approved"]), name="file_import_as_known"
            ),
        ]

    def __str__(self) -> str:
        return ", ".join(self.file_names)

    @property
    def place(self) -> Path:
        return Path(settings.MEDIA_ROOT) / self.DIRECTORY / self.directory

    @property
    def files(self) -> list[str]:
        """The files below `place`, in the order in which they were given."""
        return [f"{number}/{name}" for number, name in enumerate(self.file_names)]

    @property
    def paths(self) -> list[Path]:
        """The files, in the order in which they were given."""
        return [self.place / file for file in self.files]

    @property
    def refused_path(self) -> Path:
        return self.place / self.REFUSED

    @property
    def rows_good(self) -> int:
        return self.rows_read - self.rows_duplicate - self.rows_refused
