"""Sending: what arrives, what is tried again, who gives up, and what two senders do."""

import base64
import hashlib
import hmac
import ipaddress
import json
import smtplib
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import MailSubscriptionFactory, UserFactory, WebhookFactory
from tests.receivers import Receiver, receiver
from training import deliveries, notices
from training.deliveries import BACK_OFF, prune_deliveries, send_again, send_due, signed_headers
from training.errors import NotAllowedNowError
from training.models import Delivery, Event, MailSubscription, Webhook

pytestmark = pytest.mark.django_db
Status = Delivery.Status


@pytest.fixture(autouse=True)
def _allowed(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ipaddress.ip_network("127.0.0.0/8")]
    settings.EMAIL_HOST = "mail.example"


@pytest.fixture
def listening() -> Iterator[Receiver]:
    with receiver() as ours:
        yield ours


@pytest.fixture
def hook(listening: Receiver) -> Webhook:
    webhook: Webhook = WebhookFactory.create(url=listening.url())
    return webhook


def tell(verdict: str = "retrain") -> Delivery:
    """One delivery for whoever listens."""
    data = {"verdict": verdict, "findings": [{"sentence": "New word: SAFETY."}], "user": None}
    notices._tell(Event.DRIFT_ALERT, data, "index")
    return Delivery.objects.latest("pk")


def make_due(delivery: Delivery) -> None:
    Delivery.objects.filter(pk=delivery.pk).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


class TestWebhook:
    def test_it_arrives_signed(self, hook: Webhook, listening: Receiver) -> None:
        delivery = tell()
        assert send_due() == 1
        (got,) = listening.received
        assert json.loads(got.body) == delivery.payload
        assert got.headers["Content-Type"] == "application/json"
        assert got.headers["webhook-id"] == f"msg_{delivery.message_id.hex}"
        sent_at = int(got.headers["webhook-timestamp"])
        assert abs(timezone.now().timestamp() - sent_at) < 60
        key = base64.b64decode(hook.secret.removeprefix("whsec_"))
        signed = f"{got.headers['webhook-id']}.{sent_at}.".encode() + got.body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert got.headers["webhook-signature"] == f"v1,{expected}"
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts, delivery.response_code) == (Status.DELIVERED, 1, 204)
        assert delivery.finished_at is not None
        assert send_due() == 0

    def test_the_signature_is_that_of_standard_webhooks(self) -> None:
        """The example of https://github.com/standard-webhooks/standard-webhooks."""
        headers = signed_headers(
            secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
            timestamp=1614265330,
            body=b'{"test": 2432232314}',
        )
        assert headers == {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }

    def test_a_refusal_is_tried_again_later_and_later(self, hook: Webhook, listening: Receiver) -> None:
        listening.status = 503
        delivery = tell()
        for attempt, pause in enumerate(BACK_OFF, start=1):
            before = timezone.now()
            assert send_due() == 1
            delivery.refresh_from_db()
            assert (delivery.status, delivery.attempts) == (Status.PENDING, attempt)
            assert (delivery.response_code, delivery.error) == (503, "The answer was 503.")
            assert delivery.next_attempt_at is not None
            waits = delivery.next_attempt_at - before
            assert timedelta(seconds=pause) <= waits < timedelta(seconds=pause + 60)
            assert send_due() == 0  # not before its time
            make_due(delivery)
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == (Status.FAILED, len(BACK_OFF) + 1)
        assert len({got.headers["webhook-id"] for got in listening.received}) == 1
        assert send_due() == 0

    def test_a_later_attempt_gets_through(self, hook: Webhook, listening: Receiver) -> None:
        listening.status = 500
        delivery = tell()
        send_due()
        make_due(delivery)
        listening.status = 200
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts, delivery.error) == (Status.DELIVERED, 2, "")

    def test_who_is_gone_is_not_asked_again(self, hook: Webhook, listening: Receiver) -> None:
        listening.status = 410
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == (Status.FAILED, 1)

    def test_a_redirect_is_a_refusal(self, hook: Webhook, listening: Receiver) -> None:
        listening.status, listening.location = 302, listening.url("/inside")
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.error) == (Status.PENDING, "The answer was 302.")
        assert [got.path for got in listening.received] == ["/hook"]

    def test_an_internal_address_is_not_asked(
        self, hook: Webhook, listening: Receiver, settings: Settings
    ) -> None:
        settings.WEBHOOK_ALLOWED_NETWORKS = []
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert delivery.error.startswith("127.0.0.1 is an internal address")
        assert (delivery.response_code, listening.received) == (None, [])

    def test_one_that_is_switched_off_or_deleted_is_sent_nothing(
        self, hook: Webhook, listening: Receiver
    ) -> None:
        first = tell()
        Webhook.objects.update(is_enabled=False)
        send_due()
        Webhook.objects.update(is_enabled=True)
        second = tell()
        hook.delete()
        send_due()
        for delivery in (first, second):
            delivery.refresh_from_db()
            assert (delivery.status, delivery.attempts) == (Status.DROPPED, 0)
        assert (second.destination, second.webhook) == (hook.name, None)
        assert listening.received == []

    def test_a_test_is_sent_once_though_switched_off(self, hook: Webhook, listening: Receiver) -> None:
        Webhook.objects.update(is_enabled=False)
        listening.status = 500
        delivery = notices.send_test(listener=hook, user=UserFactory.create())
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts, len(listening.received)) == (Status.FAILED, 1, 1)


class TestSenders:
    def test_of_two_senders_one_sends(
        self, hook: Webhook, listening: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other one has read the row before, and comes late to claim it."""
        tell()
        stale = Delivery.objects.select_related("webhook").get()
        assert send_due() == 1
        assert deliveries._attempt(stale) is False
        assert len(listening.received) == 1

    def test_what_another_one_is_sending_is_not_due(self, hook: Webhook, listening: Receiver) -> None:
        delivery = tell()
        assert deliveries._claim(delivery)
        assert send_due() == 0

    def test_who_dies_while_sending_is_followed(self, hook: Webhook, listening: Receiver) -> None:
        delivery = tell()
        deliveries._claim(delivery)
        make_due(delivery)  # its time is over
        assert send_due() == 1
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 2)

    def test_who_was_followed_changes_nothing_any_more(self, hook: Webhook) -> None:
        delivery = tell()
        deliveries._claim(delivery)
        make_due(delivery)
        send_due()
        assert deliveries._settle(delivery, "too late", response_code=None) is False
        assert Delivery.objects.get().status == Status.DELIVERED

    def test_the_last_attempt_died(self, hook: Webhook, listening: Receiver) -> None:
        delivery = tell()
        Delivery.objects.update(attempts=len(BACK_OFF) + 1)
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, listening.received) == (Status.FAILED, [])
        assert delivery.error == "The sender died during the last attempt."

    def test_the_longest_due_goes_first_and_a_round_is_bounded(
        self, hook: Webhook, listening: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(deliveries, "AT_ONCE", 2)
        later, first, second = tell("look"), tell(), tell()
        for hours, delivery in enumerate((second, first), start=1):
            Delivery.objects.filter(pk=delivery.pk).update(
                next_attempt_at=timezone.now() - timedelta(hours=hours)
            )
        assert send_due() == 2
        ids = [got.headers["webhook-id"] for got in listening.received]
        assert ids == [f"msg_{each.message_id.hex}" for each in (first, second)]
        later.refresh_from_db()
        assert later.attempts == 0

    @pytest.mark.parametrize("count", [1, 3])
    def test_looking_costs_one_query_a_listener_one_and_sending_two_each(
        self, hook: Webhook, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        with django_assert_num_queries(1):
            assert send_due() == 0
        for _ in range(count):
            tell()
        with django_assert_num_queries(2 + 2 * count):
            assert send_due() == count

    def test_who_fails_is_left_for_this_round_and_keeps_nobody_waiting(
        self, hook: Webhook, listening: Receiver
    ) -> None:
        with receiver() as failing:
            failing.status = 500
            WebhookFactory.create(url=failing.url())
            for _ in range(3):
                tell()
            assert send_due() == 1 + 3
            assert (len(failing.received), len(listening.received)) == (1, 3)
            assert send_due() == 1  # its second


class TestMail:
    @pytest.fixture
    def ines(self) -> MailSubscription:
        subscription: MailSubscription = MailSubscriptionFactory.create(
            user__username="ines", user__email="ines@plant.example", language="fr"
        )
        return subscription

    def test_it_arrives_in_their_language(self, ines: MailSubscription, settings: Settings) -> None:
        settings.PUBLIC_URL = "https://plant.example"
        delivery = tell()
        assert send_due() == 1
        (message,) = mail.outbox
        assert isinstance(message, EmailMessage)
        assert message.to == ["ines@plant.example"]
        text = "La centrale a dérivé par rapport à ce que le modèle a appris : réentraînez-le."
        assert message.subject == f"Anomalies d'équipement – {text}"
        assert message.body == f"{text}\n\nNew word: SAFETY.\n\nhttps://plant.example/admin/"
        delivery.refresh_from_db()
        assert (delivery.status, delivery.response_code) == (Status.DELIVERED, None)

    def test_a_reason_of_several_lines_makes_no_header(self, ines: MailSubscription) -> None:
        ines.language = "en"
        ines.save(update_fields=["language"])
        data = {"session": 1, "reason": "died:\nBcc: all@plant.example"}
        notices._tell(Event.SESSION_FAILED, data, "index")
        send_due()
        subject = mail.outbox[0].subject
        assert subject.endswith("Training session 1 has failed: died: Bcc: all@plant.example")

    @pytest.mark.parametrize(
        ("problem", "error"),
        [
            (smtplib.SMTPServerDisconnected("Connection closed"), "Connection closed"),
            (ConnectionRefusedError(111, "Connection refused"), "[Errno 111] Connection refused"),
            (TimeoutError(), "TimeoutError"),
        ],
    )
    def test_a_server_that_fails_is_tried_again(
        self, ines: MailSubscription, problem: Exception, error: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def send(_message: object) -> None:
            raise problem

        monkeypatch.setattr(EmailMessage, "send", send)
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts, delivery.error) == (Status.PENDING, 1, error)

    def test_without_a_server_it_waits_and_says_why(self, ines: MailSubscription, settings: Settings) -> None:
        settings.EMAIL_HOST = ""
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert delivery.status == Status.PENDING
        assert delivery.error == "There is no mail server: set EMAIL_HOST."
        assert mail.outbox == []

    def test_without_an_address_too(self, ines: MailSubscription) -> None:
        ines.user.email = ""
        ines.user.save(update_fields=["email"])
        delivery = tell()
        send_due()
        delivery.refresh_from_db()
        assert delivery.error == "ines has no e-mail address."

    def test_who_was_switched_off_gets_no_mail(self, ines: MailSubscription) -> None:
        delivery = tell()
        ines.user.is_active = False
        ines.user.save(update_fields=["is_active"])
        send_due()
        delivery.refresh_from_db()
        assert (delivery.status, mail.outbox) == (Status.DROPPED, [])
        before = Delivery.objects.count()
        notices._tell(Event.DRIFT_ALERT, {"verdict": "look", "user": None}, "index")
        assert Delivery.objects.count() == before


class TestAgain:
    def test_a_person_sends_it_again_with_all_its_attempts(self, hook: Webhook, listening: Receiver) -> None:
        listening.status = 410
        delivery = tell()
        send_due()
        listening.status = 200
        delivery.refresh_from_db()
        send_again(delivery=delivery)
        assert send_due() == 1
        delivery.refresh_from_db()
        assert (delivery.status, delivery.attempts) == (Status.DELIVERED, 1)
        assert len({got.headers["webhook-id"] for got in listening.received}) == 1

    def test_not_while_it_waits(self, hook: Webhook) -> None:
        delivery = tell()
        with pytest.raises(NotAllowedNowError, match="still to be sent"):
            send_again(delivery=delivery)


def test_old_deliveries_are_removed_and_those_that_wait_are_kept(hook: Webhook, settings: Settings) -> None:
    settings.KEEP_DELIVERIES = 30
    old, fresh, waiting = tell(), tell(), tell()
    for delivery, days in ((old, 31), (fresh, 29)):
        Delivery.objects.filter(pk=delivery.pk).update(
            status="delivered", next_attempt_at=None, finished_at=timezone.now() - timedelta(days=days)
        )
    Delivery.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(days=99))
    assert prune_deliveries() == 1
    assert set(Delivery.objects.all()) == {fresh, waiting}
