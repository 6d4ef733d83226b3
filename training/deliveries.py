"""Sending what the outbox holds: signed POSTs and e-mails, again and again until one gets through.

Called by the queue's sender, never by a request or a training. Several senders share the work: each attempt
is claimed by compare-and-set, and whoever dies in it is followed by another sender when its time is over.
"""

import base64
import hashlib
import hmac
import json
import logging
import smtplib
import time
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.mail import EmailMessage
from django.db.models import F
from django.utils import translation
from django.utils.translation import gettext as _

from training.database import database_now
from training.errors import NotAllowedNowError
from training.models import Delivery, Event, MailSubscription, Webhook
from training.models.notices import DeliveryQuerySet
from training.notices import sentence
from training.posting import PostError, post

logger = logging.getLogger(__name__)

Status = Delivery.Status

# Seconds from one attempt to the next; after the last of them it is given up: a day and a half in all.
BACK_OFF = (10, 60, 300, 1_800, 7_200, 21_600, 86_400)
CLAIM_SPARE = 60  # seconds beyond the timeout until an attempt counts as died: names may resolve slowly
AT_ONCE = 20  # deliveries to one listener that a round takes
USER_AGENT = "anomaly-training-pipeline"


def send_due() -> int:
    """Send what is due, the longest due first; how many were tried.

    A listener whose first fails is left for this round: the others wait for it once, however much it has
    to get.
    """
    listeners = Delivery.objects.due().order_by().values("webhook", "subscription").distinct()
    return sum(_send_to(**listener) for listener in listeners)


def send_again(*, delivery: Delivery) -> None:
    """A person asks for it: from now on, with all its attempts. Raises NotAllowedNowError while it waits."""
    ended = Delivery.objects.filter(pk=delivery.pk).exclude(status=Status.PENDING)
    if not ended.update(status=Status.PENDING, attempts=0, next_attempt_at=database_now(), finished_at=None):
        raise NotAllowedNowError("This notice is still to be sent.")


def prune_deliveries() -> int:
    """Remove what ended longer than KEEP_DELIVERIES days ago; how many."""
    limit = database_now() - timedelta(days=settings.KEEP_DELIVERIES)
    return Delivery.objects.filter(finished_at__lt=limit).delete()[0]


def signed_headers(*, secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Standard Webhooks: base64(HMAC-SHA256(secret, "id.timestamp.body")), version 1."""
    key = base64.b64decode(secret.partition("_")[2])
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


# --- One attempt -------------------------------------------------------------------------------


def _send_to(*, webhook: int | None, subscription: int | None) -> int:
    due = Delivery.objects.due().filter(webhook=webhook, subscription=subscription)
    tried = 0
    for delivery in due.select_related("webhook", "subscription__user")[:AT_ONCE]:
        tried += 1
        if not _attempt(delivery):
            break
    return tried


def _attempt(delivery: Delivery) -> bool:
    """Claim it and send it; False when it did not get through, or another sender was faster."""
    if delivery.attempts >= _most_attempts(delivery):
        return _end(delivery, Status.FAILED, error="The sender died during the last attempt.")
    listener = delivery.listener
    if listener is None or not (listener.is_listening or delivery.event == Event.TEST):
        return _end(delivery, Status.DROPPED, error="It was switched off or deleted.")
    if not _claim(delivery):
        return False
    started, code, error = time.monotonic(), None, ""
    try:
        if isinstance(listener, Webhook):
            code = _post(delivery, listener)
            error = "" if 200 <= code < 300 else f"The answer was {code}."
        else:
            _mail(delivery, listener)
    except (PostError, smtplib.SMTPException, OSError, ValueError) as problem:
        error = str(problem) or type(problem).__name__
    facts = {"response_code": code, "seconds": round(time.monotonic() - started, 3)}
    return _settle(delivery, error, **facts)


def _claim(delivery: Delivery) -> bool:
    """Count the attempt; until its time is over nobody else makes one."""
    until = database_now() + timedelta(seconds=settings.NOTICE_TIMEOUT + CLAIM_SPARE)
    if not _held(delivery).update(attempts=F("attempts") + 1, next_attempt_at=until):
        return False
    delivery.attempts += 1
    delivery.next_attempt_at = until
    return True


def _settle(delivery: Delivery, error: str, **facts: Any) -> bool:
    """Write down what became of it; whether it got through."""
    if not error:
        return _end(delivery, Status.DELIVERED, error="", **facts)
    logger.warning("Notice %s, attempt %d: %s", delivery, delivery.attempts, error)
    is_last = delivery.attempts >= _most_attempts(delivery)
    if is_last or facts["response_code"] == HTTPStatus.GONE:
        _end(delivery, Status.FAILED, error=error, **facts)
        return False
    following = database_now() + timedelta(seconds=BACK_OFF[delivery.attempts - 1])
    _held(delivery).update(next_attempt_at=following, error=error, **facts)
    return False


def _end(delivery: Delivery, status: Delivery.Status, **facts: Any) -> bool:
    changes = {"status": status, "finished_at": database_now(), "next_attempt_at": None, **facts}
    return _held(delivery).update(**changes) == 1


def _held(delivery: Delivery) -> DeliveryQuerySet:
    """The row as this sender knows it, unless somebody else took it since."""
    return Delivery.objects.pending().filter(
        pk=delivery.pk, attempts=delivery.attempts, next_attempt_at=delivery.next_attempt_at
    )


def _most_attempts(delivery: Delivery) -> int:
    return 1 if delivery.event == Event.TEST else len(BACK_OFF) + 1


def _post(delivery: Delivery, webhook: Webhook) -> int:
    body = json.dumps(delivery.payload, ensure_ascii=False).encode()
    headers = signed_headers(
        secret=webhook.secret,
        message_id=f"msg_{delivery.message_id.hex}",
        timestamp=int(time.time()),
        body=body,
    )
    headers |= {"Content-Type": "application/json", "User-Agent": USER_AGENT}
    return post(webhook.url, body=body, headers=headers, seconds=settings.NOTICE_TIMEOUT)


def _mail(delivery: Delivery, subscription: MailSubscription) -> None:
    """Raises ValueError when there is no address or no mail server, SMTPException or OSError from that."""
    address = subscription.user.email
    if not address:
        raise ValueError(f"{subscription} has no e-mail address.")
    if not settings.EMAIL_HOST:
        raise ValueError("There is no mail server: set EMAIL_HOST.")
    with translation.override(subscription.language):
        text = sentence(delivery.event, delivery.payload["data"])
        subject = " ".join(f"{_('Equipment anomalies')} – {text}".split())[:200]
        paragraphs = [text, *_details(delivery.payload["data"]), delivery.payload.get("url", "")]
    body = "\n\n".join(paragraph for paragraph in paragraphs if paragraph)
    headers = {"Message-ID": f"<{delivery.message_id.hex}.{subscription.pk}@{_domain()}>"}
    EmailMessage(subject, body, to=[address], headers=headers).send()


def _details(data: dict[str, Any]) -> list[str]:
    return [finding["sentence"] for finding in data.get("findings", [])]


def _domain() -> str:
    return settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip(" >") or "localhost"
