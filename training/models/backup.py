"""A backup: the models that served and the training set, together, as they were at one moment."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from training.models.stored import StoredDirectory
from training.models.version import ModelVersion


class BackupQuerySet(models.QuerySet["Backup"]):
    def available(self) -> "BackupQuerySet":
        """Those whose files are still kept."""
        return self.filter(pruned_at=None)

    def restorable(self) -> "BackupQuerySet":
        """Those whose files are still kept, and are not known to be damaged."""
        return self.available().filter(verification_error="")


class Backup(StoredDirectory):
    DIRECTORY = "model_backups"

    class Kind(models.TextChoices):
        BEFORE_TRAINING = "before_training", _("before training")
        BEFORE_RESTORE = "before_restore", _("before restore")
        MANUAL = "manual", _("manual")
        SCHEDULED = "scheduled", _("scheduled")
        ADOPTED = "adopted", _("adopted")  # by `adopt_backups`, which cannot know why it was made

    BY_HAND = (Kind.MANUAL, Kind.ADOPTED)  # retention leaves them to who made them

    kind = models.CharField(_("kind"), max_length=20, choices=Kind)
    # Of the records and the model's files, whatever else differs; empty for those made before it was kept.
    content_digest = models.CharField(_("digest of the content"), max_length=64, blank=True)
    record_count = models.PositiveIntegerField(_("training records"))
    # None: taken before the first model was active.
    model_version = models.ForeignKey(
        ModelVersion,
        verbose_name=_("model version"),
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="backups",
    )
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = BackupQuerySet.as_manager()

    class Meta:
        verbose_name = _("backup")
        verbose_name_plural = _("backups")
        # In the order made, not by name: a clock may jump. What was taken in is older than what is made here.
        ordering = [models.Case(models.When(kind="adopted", then=0), default=1).desc(), "-id"]
        permissions = [("restore_backup", _("Can restore a backup"))]
