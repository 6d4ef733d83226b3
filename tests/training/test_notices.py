"""The outbox: what is told to whom, in the transaction in which it happened."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone, translation
from pytest_django import Settings

from tests.factories import (
    ApprovedFactory,
    BackupFactory,
    MailSubscriptionFactory,
    SessionFactory,
    UserFactory,
    VersionFactory,
    WebhookFactory,
)
from training import notices, sessions, versions
from training.errors import LeaseLostError
from training.models import Activation, Delivery, Event, QualityReport, TrainingSession, Webhook
from training.notices import sentence

pytestmark = pytest.mark.django_db
Status = TrainingSession.Status


def told() -> list[tuple[str, str]]:
    return list(Delivery.objects.order_by("pk").values_list("event", "destination"))


def payload() -> dict[str, Any]:
    content: dict[str, Any] = Delivery.objects.get().payload
    return content


def running() -> TrainingSession:
    ApprovedFactory.create()
    session = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN, user=ines(), enqueue=False)
    assert sessions.claim(session.pk) == 1
    return session


def ines() -> User:
    user: User = UserFactory.create(username="ines")
    return user


class TestWhoIsTold:
    def test_whoever_chose_the_event_and_is_switched_on(self) -> None:
        WebhookFactory.create(name="all")
        WebhookFactory.create(name="other", events=["drift.alert"])
        WebhookFactory.create(name="off", is_enabled=False)
        MailSubscriptionFactory.create(user=ines())
        sessions.fail(running_pk := running_without_user().pk, 1, reason="No memory.")
        assert told() == [("session.failed", "all"), ("session.failed", "ines")]
        first, second = Delivery.objects.order_by("pk")
        assert (first.channel, second.channel) == ("webhook", "mail")
        assert first.message_id == second.message_id
        assert first.payload == second.payload
        assert first.payload["data"]["session"] == running_pk

    def test_nobody_listens(self) -> None:
        sessions.fail(running().pk, 1, reason="No memory.")
        assert told() == []

    def test_what_is_rolled_back_is_not_told(self) -> None:
        WebhookFactory.create()
        version = VersionFactory.create()
        with transaction.atomic():
            versions.set_active(version=version, reason=Activation.Reason.REQUEST)
            assert len(told()) == 1
            transaction.set_rollback(True)
        assert told() == []


def running_without_user() -> TrainingSession:
    ApprovedFactory.create()
    session = sessions.start_session(trigger=TrainingSession.Trigger.SCHEDULE, enqueue=False)
    sessions.claim(session.pk)
    return session


class TestSessions:
    def test_one_that_succeeded(self, settings: Settings) -> None:
        settings.PUBLIC_URL = "https://plant.example"
        WebhookFactory.create(name="hook")
        session, version = running(), VersionFactory.create(dataset_rows=7, comparison={"passed": True})
        sessions.finish(session.pk, 1, version=version)
        assert told() == [("session.succeeded", "hook")]
        session.refresh_from_db()
        moment = payload().pop("timestamp")
        assert payload() == {
            "type": "session.succeeded",
            "timestamp": moment,
            "text": f"Training session {session.pk} has finished: version {version.pk}, training records: 7.",
            "url": f"https://plant.example/admin/training/trainingsession/{session.pk}/change/",
            "data": {
                "session": session.pk,
                "status": "succeeded",
                "reason": "",
                "trigger": "admin",
                "user": "ines",
                "seconds": round(session.seconds, 1),
                "records": {"received": 0, "created": 0, "updated": 0, "unchanged": 0},
                "version": version.pk,
                "rows": 7,
                "passed_gate": True,
                "comparison": None,
            },
        }

    def test_one_that_failed(self) -> None:
        WebhookFactory.create()
        session = running()
        sessions.fail(session.pk, 1, reason="No memory.")
        assert payload()["text"] == f"Training session {session.pk} has failed: No memory."
        assert "url" not in payload()

    def test_one_that_nobody_took(self) -> None:
        WebhookFactory.create(name="hook")
        old = timezone.now() - timedelta(hours=1)
        SessionFactory.create(queued_at=old)
        assert sessions.recover_sessions() == 1
        assert told() == [("session.failed", "hook")]

    def test_who_lost_the_lease_tells_nothing(self) -> None:
        WebhookFactory.create()
        session = running()
        with pytest.raises(LeaseLostError):
            sessions.fail(session.pk, 2, reason="x")
        assert told() == []

    def test_one_that_was_cancelled_is_not_told(self) -> None:
        WebhookFactory.create()
        session = running()
        sessions.cancel_session(session=session)
        sessions.confirm_cancel(session.pk, 1)
        session.refresh_from_db()
        assert (session.status, told()) == (Status.CANCELLED, [])


class TestVersions:
    def test_an_activation(self) -> None:
        WebhookFactory.create(name="hook")
        before, version = VersionFactory.create(is_active=True), VersionFactory.create()
        versions.set_active(version=version, reason=Activation.Reason.REQUEST, user=ines())
        assert told() == [("version.activated", "hook")]
        assert payload()["data"] == {
            "version": version.pk,
            "version_before": before.pk,
            "reason": "request",
            "user": "ines",
        }
        assert payload()["text"] == f"Version {version.pk} of the model serves now."

    def test_that_nothing_serves_is_told_by_the_restore(self) -> None:
        WebhookFactory.create()
        versions.set_active(version=None, reason=Activation.Reason.RESTORE)
        assert told() == []


def test_a_restore() -> None:
    WebhookFactory.create(name="hook")
    backup, safety, version = BackupFactory.create(), BackupFactory.create(), VersionFactory.create()
    notices.backup_restored(
        backup=backup, safety_backup=safety, version=version, records={"to_pending": 3}, user=ines()
    )
    assert told() == [("backup.restored", "hook")]
    assert payload()["data"] == {
        "backup": backup.name,
        "safety_backup": safety.name,
        "version": version.pk,
        "records": {"to_pending": 3},
        "user": "ines",
    }
    assert payload()["text"] == f"{backup.name} was restored; the present was kept as {safety.name}."


class TestDrift:
    def report(self, verdict: str, version: int | None = 1, findings: int = 1) -> QualityReport:
        found = [
            {"kind": "term", "verdict": verdict, "sentence": f"word {n}", "p": 0.1} for n in range(findings)
        ]
        content = {
            "verdict": verdict,
            "model_version": version,
            "since_version": None,
            "periods": [{"findings": []}, {"findings": found}],
        }
        report = QualityReport.objects.create(
            kind=QualityReport.Kind.DRIFT, record_count=1, seconds=1, content=content
        )
        notices.drift_reported(report=report)
        return report

    @pytest.mark.parametrize("verdict", ["look", "retrain"])
    def test_an_alarm_is_told_once(self, verdict: str) -> None:
        WebhookFactory.create(name="hook")
        self.report("ok")
        report = self.report(verdict, findings=12)
        self.report(verdict)
        assert told() == [("drift.alert", "hook")]
        data = payload()["data"]
        assert (data["report"], data["verdict"], data["version"]) == (report.pk, verdict, 1)
        assert len(data["findings"]) == 10
        assert data["findings"][0] == {"kind": "term", "verdict": verdict, "sentence": "word 0"}

    @pytest.mark.parametrize("verdict", ["ok", "too few"])
    def test_what_is_no_alarm(self, verdict: str) -> None:
        WebhookFactory.create()
        self.report(verdict)
        assert told() == []

    def test_a_worse_one_and_one_of_another_version_are_told_again(self) -> None:
        WebhookFactory.create()
        for verdict, version in (
            ("look", 1),
            ("retrain", 1),
            ("look", 1),
            ("look", 2),
            ("ok", 2),
            ("look", 2),
        ):
            self.report(verdict, version)
        verdicts = [each.payload["data"]["verdict"] for each in Delivery.objects.order_by("pk")]
        assert verdicts == ["look", "retrain", "look", "look"]

    def test_no_period_and_no_model(self) -> None:
        WebhookFactory.create()
        content: dict[str, Any] = {
            "verdict": "look",
            "model_version": None,
            "since_version": {"findings": [{"kind": "a", "verdict": "look", "sentence": "s"}]},
            "periods": [],
        }
        report = QualityReport.objects.create(
            kind=QualityReport.Kind.DRIFT, record_count=1, seconds=1, content=content
        )
        notices.drift_reported(report=report)
        assert payload()["data"]["findings"] == [{"kind": "a", "verdict": "look", "sentence": "s"}]


class TestListeners:
    def test_a_test_goes_to_one_though_it_be_switched_off(self) -> None:
        webhook, _other = WebhookFactory.create(name="hook", is_enabled=False), WebhookFactory.create()
        delivery = notices.send_test(listener=webhook, user=ines())
        assert told() == [("test", "hook")]
        assert (delivery.pk, payload()["text"]) == (Delivery.objects.get().pk, "A test, asked for by ines.")

    def test_a_new_secret(self) -> None:
        webhook = WebhookFactory.create()
        old = webhook.secret
        notices.renew_secret(webhook=webhook)
        fresh = Webhook.objects.get().secret
        assert fresh != old
        assert len(fresh) == len("whsec_") + 44

    @pytest.mark.parametrize(
        "wrong", [{"url": "ftp://x/"}, {"secret": "guessed"}], ids=["no HTTP", "no secret"]
    )
    def test_the_database_knows_what_a_webhook_is(self, wrong: dict[str, str]) -> None:
        with pytest.raises(IntegrityError):
            WebhookFactory.create(**wrong)

    def test_and_that_a_delivery_is_due_or_ended(self) -> None:
        delivery = notices.send_test(listener=WebhookFactory.create(), user=ines())
        with pytest.raises(IntegrityError), transaction.atomic():
            Delivery.objects.update(status="delivered")
        with pytest.raises(IntegrityError), transaction.atomic():
            Delivery.objects.update(channel="mail")
        assert delivery.status == "pending"


@pytest.mark.parametrize("event", Event.values)
def test_every_event_has_a_sentence_in_both_languages(event: str) -> None:
    data = {
        "session": 1,
        "version": 2,
        "rows": 3,
        "reason": "r",
        "backup": "b",
        "safety_backup": "s",
        "verdict": "look",
        "user": "u",
        "code": "queue_silent",
        "facts": {},
    }
    english = sentence(event, data)
    with translation.override("fr"):
        assert sentence(event, data) != english
