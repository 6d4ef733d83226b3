"""Who is told what happened, and what became of each notice."""

import base64
import secrets
import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

SECRET_PREFIX = "whsec_"  # noqa: S105 — Standard Webhooks: what follows is base64


class Event(models.TextChoices):
    SESSION_SUCCEEDED = "session.succeeded", _("training finished")
    SESSION_FAILED = "session.failed", _("training failed")
    VERSION_ACTIVATED = "version.activated", _("version activated")
    BACKUP_RESTORED = "backup.restored", _("backup restored")
    DRIFT_ALERT = "drift.alert", _("drift alert")
    HEALTH_ALERT = "health.alert", _("health alert")
    TEST = "test", _("test")


# What can be chosen; a test goes to the one that is tested.
CHOOSABLE = [event for event in Event if event != Event.TEST]


def new_secret() -> str:
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


class Listener(models.Model):
    """Somebody, or something, that is told of chosen events."""

    events: "models.JSONField[Any, Any]" = models.JSONField(_("events"), default=list)
    is_enabled = models.BooleanField(_("enabled"), default=True)
    created_at = models.DateTimeField(_("created at"), default=timezone.now, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        verbose_name=_("created by"),
        null=True,
        editable=False,
        on_delete=models.SET_NULL,
        related_name="+",
    )

    class Meta:
        abstract = True

    @property
    def is_listening(self) -> bool:
        return self.is_enabled

    def hears(self, event: str) -> bool:
        return self.is_listening and event in self.events


class Webhook(Listener):
    """An address that gets a signed POST (https://www.standardwebhooks.com)."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    url = models.CharField(
        _("address"),
        max_length=500,
        help_text=_("https://…, and inside the plant only where WEBHOOK_ALLOWED_NETWORKS allows it."),
    )
    # In clear, since it signs: whoever reads the database could sign too.
    secret = models.CharField(_("secret"), max_length=100, default=new_secret, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(url__startswith="https://") | Q(url__startswith="http://"),
                name="webhook_url_is_http",
            ),
            models.CheckConstraint(condition=Q(secret__startswith=SECRET_PREFIX), name="webhook_has_secret"),
        ]

    def __str__(self) -> str:
        return self.name


class MailSubscription(Listener):
    """A person who gets an e-mail, in their language."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        verbose_name=_("person"),
        on_delete=models.CASCADE,
        related_name="mail_subscription",
    )
    language = models.CharField(_("language"), max_length=2, choices=[("en", "English"), ("fr", "Français")])

    class Meta:
        verbose_name = _("e-mail notice")
        verbose_name_plural = _("e-mail notices")
        ordering = ["user__username"]

    def __str__(self) -> str:
        user: User = self.user
        return user.get_full_name() or user.get_username()

    @property
    def is_listening(self) -> bool:
        """Who was switched off is told nothing."""
        return self.is_enabled and self.user.is_active


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    def pending(self) -> "DeliveryQuerySet":
        return self.filter(status=Delivery.Status.PENDING)

    def due(self) -> "DeliveryQuerySet":
        """What is to be sent now, the longest due first."""
        return self.pending().filter(next_attempt_at__lte=Now()).order_by("next_attempt_at", "pk")


class Delivery(models.Model):
    """One notice to one listener, written in the transaction of what it tells; sent at least once.

    pending → delivered | failed | dropped; each attempt is a compare-and-set on `attempts`, and while it
    lasts `next_attempt_at` says when another sender may take over.
    """

    class Status(models.TextChoices):
        PENDING = "pending", _("to be sent")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")
        DROPPED = "dropped", _("not sent")  # its listener was switched off or deleted

    class Channel(models.TextChoices):
        WEBHOOK = "webhook", _("webhook")
        MAIL = "mail", _("e-mail")

    message_id = models.UUIDField(_("message ID"), default=uuid.uuid4)  # the same for all that are told
    event = models.CharField(_("event"), max_length=20, choices=Event)
    payload = models.JSONField(_("content"))
    channel = models.CharField(_("channel"), max_length=10, choices=Channel)
    webhook = models.ForeignKey(
        Webhook,
        verbose_name=_("webhook"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="deliveries",
    )
    subscription = models.ForeignKey(
        MailSubscription,
        verbose_name=_("e-mail notice"),
        null=True,
        on_delete=models.SET_NULL,
        related_name="deliveries",
    )
    destination = models.CharField(_("destination"), max_length=150)  # its name, should it be deleted

    status = models.CharField(_("status"), max_length=10, choices=Status, default=Status.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    response_code = models.PositiveSmallIntegerField(_("answer"), null=True)
    error = models.TextField(_("error"), blank=True)
    seconds = models.FloatField(_("seconds"), null=True)  # of the last attempt
    created_at = models.DateTimeField(_("created at"), default=timezone.now)
    next_attempt_at = models.DateTimeField(_("next attempt"), null=True, default=timezone.now)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name = _("delivery")
        verbose_name_plural = _("deliveries")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["next_attempt_at"], condition=Q(status="pending"), name="delivery_due"),
            models.Index(fields=["finished_at"], name="delivery_finished"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status="pending", finished_at__isnull=True, next_attempt_at__isnull=False)
                | Q(
                    status__in=["delivered", "failed", "dropped"],
                    finished_at__isnull=False,
                    next_attempt_at__isnull=True,
                ),
                name="delivery_ended_or_due",
            ),
            models.CheckConstraint(
                condition=Q(channel="webhook", subscription__isnull=True)
                | Q(channel="mail", webhook__isnull=True),
                name="delivery_has_one_channel",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_event_display()} → {self.destination}"

    @property
    def listener(self) -> Webhook | MailSubscription | None:
        """Whom it goes to; None when that was deleted."""
        return self.webhook or self.subscription
