"""How one person likes to see one list of the admin."""

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _


class ListLayout(models.Model):
    """The columns in their order, and what they are ordered by; empty: as the list comes."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, verbose_name=_("user"), on_delete=models.CASCADE, related_name="+"
    )
    list_name = models.CharField(_("list"), max_length=100)  # the model's label, such as "training.Anomaly"
    columns = models.JSONField(_("columns"), default=list)  # names
    ordering = models.JSONField(_("ordering"), default=list)  # names, "-" before what descends

    class Meta:
        verbose_name = _("list layout")
        verbose_name_plural = _("list layouts")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["user", "list_name"], name="one_layout_per_user_and_list")
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.list_name}"
