"""What happened, written in the outbox for each listener, in the transaction in which it happened.

So nothing is told that was rolled back, and nothing is lost when a process dies: `deliveries` sends it.
"""

import uuid
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.urls import reverse
from django.utils import timezone, translation
from django.utils.translation import gettext as _

from training.database import database_now
from training.findings import Code, Trouble, trouble_of
from training.models import (
    Activation,
    Backup,
    Delivery,
    Event,
    Finding,
    MailSubscription,
    ModelVersion,
    QualityReport,
    TrainingSession,
    Webhook,
)
from training.models.notices import new_secret

ALARMS = ("look", "retrain")  # verdicts of a drift report that are told, the more urgent last


def session_ended(*, session: TrainingSession) -> None:
    """It succeeded or failed; whoever cancelled a session knows."""
    events = {
        TrainingSession.Status.SUCCEEDED: Event.SESSION_SUCCEEDED,
        TrainingSession.Status.FAILED: Event.SESSION_FAILED,
    }
    event = events.get(TrainingSession.Status(session.status))
    if event is not None:
        _tell(event, _facts_of_session(session), f"training_trainingsession_change:{session.pk}")


def version_activated(*, activation: Activation, before: ModelVersion | None) -> None:
    data = {
        "version": activation.version_id,
        "version_before": before and before.pk,
        "reason": activation.reason,
        "user": _name(activation.activated_by),
    }
    _tell(Event.VERSION_ACTIVATED, data, f"training_modelversion_change:{activation.version_id}")


def backup_restored(
    *,
    backup: Backup,
    safety_backup: Backup,
    version: ModelVersion | None,
    records: dict[str, int],
    user: User | None,
) -> None:
    """`records`: how many went back to pending, were made anew, or changed."""
    data = {
        "backup": backup.name,
        "safety_backup": safety_backup.name,
        "version": version and version.pk,
        "records": records,
        "user": _name(user),
    }
    _tell(Event.BACKUP_RESTORED, data, f"training_backup_change:{backup.pk}")


def drift_reported(*, report: QualityReport) -> None:
    """Told when the plant drifts more than the report before it said, or from another version."""
    verdict, version = report.content["verdict"], report.content["model_version"]
    earlier = QualityReport.objects.filter(kind=report.kind, pk__lt=report.pk).first()
    known = earlier.content if earlier and earlier.content.get("model_version") == version else {}
    if _urgency(verdict) <= _urgency(known.get("verdict")):
        return
    periods = report.content["periods"]
    newest = report.content["since_version"] or (periods[-1] if periods else {})
    data = {
        "report": report.pk,
        "verdict": verdict,
        "version": version,
        "findings": [
            {name: finding[name] for name in ("kind", "verdict", "sentence")}
            for finding in newest.get("findings", [])[:10]
        ],
        "user": _name(report.created_by),
    }
    _tell(Event.DRIFT_ALERT, data, "index")


def health_alert(*, finding: Finding) -> None:
    """Something serious is wrong; told once, when it was found."""
    with translation.override("en"):
        trouble = trouble_of(finding)
        told = {"message": trouble.sentence, "action": trouble.action}
    data = {"code": finding.code, "subject": finding.subject, "facts": finding.facts, **told}
    _tell(Event.HEALTH_ALERT, data, f"training_finding_change:{finding.pk}")


def send_test(*, listener: Webhook | MailSubscription, user: User) -> Delivery:
    """One notice to one listener, though it be switched off; sent once."""
    (delivery,) = _write(Event.TEST, {"user": user.get_username()}, "index", [listener])
    return delivery


def renew_secret(*, webhook: Webhook) -> None:
    webhook.secret = new_secret()
    webhook.save(update_fields=["secret"])


def sentence(event: str, data: dict[str, Any]) -> str:
    """What happened, in the language that is active."""
    match event:
        case Event.SESSION_SUCCEEDED:
            text = _(
                "Training session %(session)d has finished: version %(version)d, training records: %(rows)d."
            )
        case Event.SESSION_FAILED:
            text = _("Training session %(session)d has failed: %(reason)s")
        case Event.VERSION_ACTIVATED:
            text = _("Version %(version)d of the model serves now.")
        case Event.BACKUP_RESTORED:
            text = _("%(backup)s was restored; the present was kept as %(safety_backup)s.")
        case Event.DRIFT_ALERT if data["verdict"] == "retrain":
            text = _("The plant has drifted from what the model learned: retrain.")
        case Event.DRIFT_ALERT:
            text = _("The plant may drift from what the model learned: have a look.")
        case Event.HEALTH_ALERT:
            trouble = Trouble(code=Code(data["code"]), facts=data["facts"])
            return f"{trouble.sentence} {trouble.action}"
        case _other:
            text = _("A test, asked for by %(user)s.")
    return text % data


def _tell(event: Event, data: dict[str, Any], page: str) -> None:
    subscribed = MailSubscription.objects.select_related("user")
    known: list[Webhook | MailSubscription] = [*Webhook.objects.all(), *subscribed]
    listeners = [each for each in known if each.hears(event)]
    if listeners:
        _write(event, data, page, listeners)


def _write(
    event: Event, data: dict[str, Any], page: str, listeners: "list[Webhook | MailSubscription]"
) -> list[Delivery]:
    if not listeners:
        return []
    message_id, payload, now = uuid.uuid4(), _payload(event, data, page), database_now()
    with transaction.atomic():
        return Delivery.objects.bulk_create(
            Delivery(
                message_id=message_id,
                event=event,
                payload=payload,
                channel=Delivery.Channel.WEBHOOK if isinstance(each, Webhook) else Delivery.Channel.MAIL,
                webhook=each if isinstance(each, Webhook) else None,
                subscription=each if isinstance(each, MailSubscription) else None,
                destination=str(each)[:150],
                created_at=now,
                next_attempt_at=now,
            )
            for each in listeners
        )


def _payload(event: Event, data: dict[str, Any], page: str) -> dict[str, Any]:
    """As Standard Webhooks has it: type, timestamp, data; beside them a sentence and a link."""
    with translation.override("en"):
        text = sentence(event, data)
    payload = {"type": event.value, "timestamp": timezone.now().isoformat(), "text": text, "data": data}
    if settings.PUBLIC_URL:
        name, _colon, key = page.partition(":")
        payload["url"] = settings.PUBLIC_URL + reverse(f"admin:{name}", args=[key] if key else None)
    return payload


def _facts_of_session(session: TrainingSession) -> dict[str, Any]:
    version = session.model_version
    return {
        "session": session.pk,
        "status": session.status,
        "reason": session.reason,
        "trigger": session.trigger,
        "user": _name(session.requested_by),
        "seconds": round(session.seconds, 1),
        "records": {
            "received": session.records_received,
            "created": session.records_created,
            "updated": session.records_updated,
            "unchanged": session.records_unchanged,
        },
        "version": version and version.pk,
        "rows": version and version.dataset_rows,
        "passed_gate": version and version.comparison.get("passed"),
        "comparison": version and version.comparison.get("sentence"),
    }


def _name(user: User | None) -> str | None:
    return user.get_username() if user else None


def _urgency(verdict: str | None) -> int:
    return ALARMS.index(verdict) + 1 if verdict in ALARMS else 0
