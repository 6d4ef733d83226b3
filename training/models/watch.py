"""What the queue's watch tells whoever looks: which nodes live, and what is wrong with the installation."""

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class QueueNode(models.Model):
    """A `manage.py qcluster` that says every few seconds that it lives; gone once it ended in order."""

    host = models.CharField(_("machine"), max_length=200)
    pid = models.PositiveIntegerField(_("process"))
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    seen_at = models.DateTimeField(_("last heard of"), default=timezone.now)

    class Meta:
        verbose_name = _("queue node")
        verbose_name_plural = _("queue nodes")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["host", "pid"], name="one_row_a_queue_node")]

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class FindingQuerySet(models.QuerySet["Finding"]):
    def current(self) -> "FindingQuerySet":
        """What is wrong now, the serious first."""
        return self.filter(ended_at=None).order_by("severity", "pk")


class Finding(models.Model):
    """One trouble, from when it was found until it was gone; `findings` puts it into words."""

    class Code(models.TextChoices):
        QUEUE_SILENT = "queue_silent", _("no queue")
        NODE_SILENT = "node_silent", _("queue node silent")
        SESSION_UNCLAIMED = "session_unclaimed", _("session unclaimed")
        LEASE_EXPIRED = "lease_expired", _("lease expired")
        SCHEDULE_OVERDUE = "schedule_overdue", _("schedule overdue")
        SCHEDULE_WRONG = "schedule_wrong", _("schedule wrong")
        SCHEDULE_OFF = "schedule_off", _("schedule switched off")
        FILES_ORPHANED = "files_orphaned", _("files without a row")
        BACKUPS_UNKNOWN = "backups_unknown", _("backups without a row")
        FILES_UNKNOWN = "files_unknown", _("signed files without a row")
        FILES_MISSING = "files_missing", _("files missing")
        STORAGE_FOREIGN = "storage_foreign", _("storage of another installation")
        STORAGE_UNREACHABLE = "storage_unreachable", _("storage out of reach")
        STORAGE_READ_ONLY = "storage_read_only", _("storage cannot be written")
        VERSION_DAMAGED = "version_damaged", _("version damaged")
        VERSION_NOT_LOADED = "version_not_loaded", _("version not loaded")
        VERSION_NOT_COMPARED = "version_not_compared", _("version not compared")
        NODE_INCOMPATIBLE = "node_incompatible", _("node with other libraries")
        BACKUP_DAMAGED = "backup_damaged", _("backup damaged")
        BACKUP_NEVER = "backup_never", _("no backup yet")
        BACKUP_OLD = "backup_old", _("no recent backup")
        BACKUP_UNVERIFIED = "backup_unverified", _("backup not verified lately")
        NOTICES_PILE_UP = "notices_pile_up", _("notices pile up")
        DISK_LOW = "disk_low", _("disk nearly full")
        CLOCK_OFF = "clock_off", _("clocks differ")
        DATABASE_SILENT = "database_silent", _("no database")
        DATABASE_READ_ONLY = "database_read_only", _("database cannot be written")
        CACHE_UNREACHABLE = "cache_unreachable", _("cache out of reach")
        TRAININGS_FAILING = "trainings_failing", _("trainings fail")
        CHECK_FAILING = "check_failing", _("check fails")

    class Severity(models.IntegerChoices):
        SERIOUS = 1, _("serious")
        WARNING = 2, _("warning")

    code = models.CharField(_("finding"), max_length=40, choices=Code)
    subject = models.CharField(_("about"), max_length=200, blank=True)
    severity = models.PositiveSmallIntegerField(_("severity"), choices=Severity)
    facts: "models.JSONField[Any, Any]" = models.JSONField(_("facts"), default=dict)
    since = models.DateTimeField(_("since"), default=timezone.now)
    ended_at = models.DateTimeField(_("gone at"), null=True)
    is_mended = models.BooleanField(_("mended by itself"), default=False)

    objects = FindingQuerySet.as_manager()

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "subject"], condition=Q(ended_at=None), name="one_open_finding"
            ),
            models.CheckConstraint(
                condition=Q(is_mended=False) | Q(ended_at__isnull=False), name="mended_finding_is_gone"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} {self.subject}".strip()
