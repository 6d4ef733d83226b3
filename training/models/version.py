"""A model version: what one training session learned, and how good it is on rows it has not seen."""

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from training.models.stored import StoredDirectory


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def usable(self) -> "ModelVersionQuerySet":
        return self.filter(pruned_at=None, verification_error="")

    def active(self) -> "ModelVersion | None":
        return self.filter(is_active=True).first()


class ModelVersion(StoredDirectory):
    DIRECTORY = "model_versions"

    dataset_rows = models.PositiveIntegerField(_("training records"))
    dataset_fingerprint = models.CharField(_("data fingerprint"), max_length=64)
    # Approvals after this moment are unknown to the version.
    dataset_read_at = models.DateTimeField(_("data read at"))
    libraries = models.JSONField(_("library versions"), default=dict)
    # {"protocol", "rows", "model": {target: {...}}, "dummy": {target: {...}}}: training.ml.evaluate
    metrics = models.JSONField(_("held-out metrics"), default=dict)
    # Facts about the training set, a target each: training.ml.statistics
    statistics = models.JSONField(_("training statistics"), default=dict)
    # The champion of that day measured on the same held-out rows, and the gate's sentence.
    comparison = models.JSONField(_("comparison with the champion"), default=dict)

    is_active = models.BooleanField(_("active"), default=False)
    # Somebody looked at the result and let the champion go on serving; None once it serves itself.
    declined_at = models.DateTimeField(_("champion kept at"), null=True, blank=True)
    declined_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("champion kept by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        verbose_name = _("model version")
        verbose_name_plural = _("model versions")
        ordering = ["-id"]
        permissions = [("activate_modelversion", _("Can activate a model version"))]
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"], condition=Q(is_active=True), name="one_active_version"
            ),
            models.CheckConstraint(
                condition=Q(is_active=False) | Q(pruned_at=None), name="active_version_has_files"
            ),
        ]

    def __str__(self) -> str:
        return str(_("version %(number)d") % {"number": self.pk})

    @property
    def is_refused(self) -> bool:
        """The gate did not let it pass: worse than the champion of that day, or not comparable with it."""
        return self.comparison.get("passed") is False or not self.was_compared

    @property
    def was_compared(self) -> bool:
        """Whether the champion of that day was measured beside it, unless it was the first version ever.

        Older programs let pass what they could not compare: they kept the champion, without its figures.
        """
        known = self.comparison
        is_older = bool(known.get("champion_version")) and not known.get("champion")
        return known.get("outcome") != "not_compared" and not is_older


class Activation(models.Model):
    """One entry of the time line of what served: append-only."""

    class Reason(models.TextChoices):
        RELOAD = "reload", _("reloaded by a client")
        REQUEST = "request", _("activated by hand")
        GATE = "gate", _("not worse than the champion")
        FIRST = "first", _("first version")
        RESTORE = "restore", _("restored from a backup")
        OVERRIDE = "override", _("activated against the gate")
        ROLLBACK = "rollback", _("rolled back")

    version = models.ForeignKey(
        ModelVersion,
        verbose_name=_("model version"),
        null=True,  # a restored backup may be older than the first model
        on_delete=models.PROTECT,
        related_name="activations",
    )
    reason = models.CharField(_("reason"), max_length=10, choices=Reason)
    # Why, in the words of who did it; the gate's refusal is not overridden without.
    note = models.TextField(_("note"), blank=True)
    # Of that moment, active or not: what a reload looks for came after it, whatever the clocks say.
    newest_version = models.ForeignKey(
        ModelVersion,
        verbose_name=_("newest version then"),
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
    )
    activated_at = models.DateTimeField(_("activated at"), auto_now_add=True)
    activated_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("activated by"),
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        verbose_name = _("activation")
        verbose_name_plural = _("time line")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(reason="override") | ~Q(note=""), name="override_of_the_gate_has_note"
            )
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.get_reason_display()}"
