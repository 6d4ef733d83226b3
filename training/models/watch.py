"""What the queue's watch tells whoever looks: which nodes live, and what is wrong with the installation."""

from typing import Any
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Node(models.Model):
    """A process that says every few seconds that it lives; gone once it ended in order.

    Machine and process number name it; `identity` is what tells it from another, for in containers every
    process may be number 1 of one machine name. `place` is where its number means something: the machine's
    boot and the namespace of processes.
    """

    identity = models.UUIDField(_("identity"), default=uuid4, editable=False)
    host = models.CharField(_("machine"), max_length=200)
    pid = models.PositiveIntegerField(_("process"))
    place = models.CharField(_("place"), max_length=100, blank=True)
    started_at = models.DateTimeField(_("started at"), default=timezone.now)
    seen_at = models.DateTimeField(_("last heard of"), default=timezone.now)
    libraries: "models.JSONField[Any, Any]" = models.JSONField(_("library versions"), default=dict)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"


class QueueNode(Node):
    """A `manage.py qcluster`."""

    class Meta:
        verbose_name = _("queue node")
        verbose_name_plural = _("queue nodes")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["identity", "pid"], name="one_row_a_queue_node")]


class WebNode(Node):
    """A worker process of gunicorn, and which version it has loaded, or why it could not."""

    loaded_version = models.PositiveBigIntegerField(_("version loaded"), null=True)
    # Of these files, which are sound, its libraries can make nothing.
    refused_version = models.PositiveBigIntegerField(_("version it cannot load"), null=True)
    refusal = models.TextField(_("why it cannot"), blank=True)

    class Meta:
        verbose_name = _("web node")
        verbose_name_plural = _("web nodes")
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["identity", "pid"], name="one_row_a_web_node")]


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
        NO_ACTIVE_VERSION = "no_active_version", _("no active version")
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
        DATABASE_LOCKED = "database_locked", _("database locked")
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
    # Which queue node looked, for what each of them looks for itself; empty otherwise.
    node = models.CharField(_("found by"), max_length=36, blank=True)
    ended_at = models.DateTimeField(_("gone at"), null=True)
    is_mended = models.BooleanField(_("mended by itself"), default=False)

    objects = FindingQuerySet.as_manager()

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "subject", "node"], condition=Q(ended_at=None), name="one_open_finding"
            ),
            models.CheckConstraint(
                condition=Q(is_mended=False) | Q(ended_at__isnull=False), name="mended_finding_is_gone"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} {self.subject}".strip()
