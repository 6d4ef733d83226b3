"""What a model version and a backup have in common: a signed, immutable directory."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class StoredDirectory(models.Model):
    """A row whose files stand in `DIRECTORY / name`, below MEDIA_ROOT or in object storage.

    The files were there before the row, and stay until after `pruned_at` was set: a row that claims
    files that do not exist means damage. What fails verification is quarantined by `verification_error`:
    kept, never loaded, and free again once it verifies.
    """

    DIRECTORY: str

    name = models.CharField(_("name"), max_length=100, unique=True)
    digest = models.CharField(_("digest"), max_length=64, help_text=_("SHA-256 of the signed manifest."))
    size_bytes = models.PositiveBigIntegerField(_("size in bytes"))
    created_at = models.DateTimeField(_("created at"))
    verified_at = models.DateTimeField(_("verified at"), null=True, blank=True)
    verification_error = models.TextField(_("verification error"), blank=True)
    pruned_at = models.DateTimeField(_("files removed at"), null=True, blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        """Without the root, as the guide prints it: model_backups/backup_20241205_143022."""
        return f"{self.DIRECTORY}/{self.name}"

    @property
    def is_usable(self) -> bool:
        return self.pruned_at is None and not self.verification_error
