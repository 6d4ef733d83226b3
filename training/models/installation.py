"""The installation: what a storage's mark names as its owner. One row, as old as the database."""

from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

ONLY = 1  # the row's key


class InstallationManager(models.Manager["Installation"]):
    def current(self) -> "Installation":
        """Return the row; a database that was emptied gets another one."""
        return self.get_or_create(pk=ONLY)[0]


class Installation(models.Model):
    """Goes along wherever the database goes, so a copy of the database has the same one."""

    identifier = models.UUIDField(_("identifier"), default=uuid4, editable=False)

    objects = InstallationManager()

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installations")
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=Q(pk=ONLY), name="one_installation")]

    def __str__(self) -> str:
        return str(self.identifier)
