"""Webhooks, e-mails and their log, as an administrator sees them."""

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import MailSubscriptionFactory, UserFactory, WebhookFactory
from tests.training.admin.people import client_of, said, user_of
from tests.training.roles import user_as
from training import notices
from training.models import Delivery, MailSubscription, Webhook
from training.models.notices import CHOOSABLE

pytestmark = pytest.mark.django_db
HOOKS = reverse("admin:training_webhook_changelist")
ADD = reverse("admin:training_webhook_add")
ALL = [event.value for event in CHOOSABLE]


@pytest.fixture
def client() -> Client:
    return client_of(user_as("administrator"))


def page(name: str, row: object) -> str:
    return reverse(f"admin:training_{name}", args=[getattr(row, "pk", row)])


class TestWebhooks:
    def test_one_is_made_and_its_secret_is_shown_once(self, client: Client) -> None:
        data = {"name": "GMAO", "url": "https://gmao.example/hook?a=1", "events": ALL[:2], "is_enabled": "on"}
        response = client.post(ADD, data)
        webhook = Webhook.objects.get()
        assert (response.status_code, response["Location"]) == (302, page("webhook_change", webhook))
        assert (webhook.name, webhook.events, webhook.is_enabled) == ("GMAO", ALL[:2], True)
        assert webhook.created_by == user_of(client)
        assert webhook.secret in said(response)[0]
        assert webhook.secret in client.get(response["Location"]).content.decode()
        for url in (response["Location"], HOOKS):
            assert webhook.secret not in client.get(url).content.decode()

    @pytest.mark.parametrize(
        ("url", "error"),
        [
            ("gmao.example", "An address begins with https://"),
            ("https://10.0.0.1/", "10.0.0.1 is an internal address"),
            ("https://user:pass@gmao.example/", "An address holds no password"),
        ],
    )
    def test_an_address_that_can_never_be_asked_is_refused(
        self, client: Client, url: str, error: str
    ) -> None:
        response = client.post(ADD, {"name": "GMAO", "url": url, "events": ALL})
        assert (response.status_code, Webhook.objects.count()) == (200, 0)
        assert error in response.content.decode()

    def test_it_is_refused_in_the_language_of_the_page(self, client: Client) -> None:
        client.cookies["django_language"] = "fr"
        response = client.post(ADD, {"name": "GMAO", "url": "https://10.0.0.1/", "events": ALL})
        assert "10.0.0.1 est une adresse interne" in response.content.decode()

    def test_a_change_keeps_secret_and_maker(self, client: Client) -> None:
        webhook = WebhookFactory.create(created_by=UserFactory.create())
        data = {"name": "other", "url": webhook.url, "events": ALL[:1]}
        assert client.post(page("webhook_change", webhook), data).status_code == 302
        fresh = Webhook.objects.get()
        assert (fresh.name, fresh.events, fresh.is_enabled) == ("other", ALL[:1], False)
        assert (fresh.secret, fresh.created_by) == (webhook.secret, webhook.created_by)

    def test_a_new_secret_is_asked_for_shown_and_logged(self, client: Client) -> None:
        webhook = WebhookFactory.create(name="GMAO")
        url = page("webhook_renew_secret", webhook)
        assert "the old secret is forgotten" in client.get(url).content.decode()
        assert Webhook.objects.get().secret == webhook.secret
        response = client.post(url)
        fresh = Webhook.objects.get()
        assert fresh.secret != webhook.secret
        assert fresh.secret in said(response)[0]
        entry = LogEntry.objects.get()
        assert (entry.user, entry.get_change_message()) == (user_of(client), "New secret")

    def test_no_secret_is_guessed_by_a_filter(self, client: Client) -> None:
        WebhookFactory.create(name="GMAO")
        response = client.get(HOOKS, {"secret__startswith": "whsec_"})
        assert (response.status_code, "GMAO" in response.content.decode()) != (200, True)

    def test_a_test_is_put_in_the_queue_and_followed(self, client: Client) -> None:
        webhook = WebhookFactory.create(is_enabled=False)
        url = page("webhook_send_test", webhook)
        assert client.get(url).status_code == 200
        assert not Delivery.objects.exists()
        response = client.post(url)
        delivery = Delivery.objects.get()
        assert (delivery.event, delivery.webhook, delivery.status) == ("test", webhook, "pending")
        assert delivery.payload["data"] == {"user": user_of(client).username}
        assert (response.status_code, response["Location"]) == (302, page("delivery_change", delivery))
        assert client.get(response["Location"])["Refresh"] == "3"

    def test_one_that_is_deleted_leaves_its_log(self, client: Client) -> None:
        webhook = WebhookFactory.create(name="GMAO")
        notices.send_test(listener=webhook, user=UserFactory.create())
        assert client.post(page("webhook_delete", webhook), {"post": "yes"}).status_code == 302
        assert Delivery.objects.get().destination == "GMAO"

    @pytest.mark.parametrize("count", [1, 3])
    def test_the_list_costs_a_fixed_number_of_queries(
        self, client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        client.get(HOOKS)
        for webhook in WebhookFactory.create_batch(count):
            notices.send_test(listener=webhook, user=user_of(client))
        with django_assert_num_queries(8):
            html = client.get(HOOKS).content.decode()
        assert html.count("to be sent") == count
        assert "training finished, training failed" in html


class TestMail:
    ADD = reverse("admin:training_mailsubscription_add")

    def test_a_person_is_chosen(self, client: Client) -> None:
        ines = UserFactory.create(username="ines", email="ines@plant.example")
        data = {"user": ines.pk, "language": "fr", "events": ALL, "is_enabled": "on"}
        assert client.post(self.ADD, data).status_code == 302
        subscription = MailSubscription.objects.get()
        assert (subscription.user, subscription.language) == (ines, "fr")
        assert subscription.created_by == user_of(client)

    def test_who_has_no_address_is_refused(self, client: Client) -> None:
        ines = UserFactory.create(username="ines")
        response = client.post(self.ADD, {"user": ines.pk, "language": "fr", "events": ALL})
        assert "This person has no e-mail address" in response.content.decode()
        assert not MailSubscription.objects.exists()

    def test_the_list_says_that_there_is_no_server(self, client: Client, settings: Settings) -> None:
        MailSubscriptionFactory.create()
        url = reverse("admin:training_mailsubscription_changelist")
        settings.EMAIL_HOST = ""
        assert "e-mails wait until EMAIL_HOST is set" in client.get(url).content.decode()
        settings.EMAIL_HOST = "mail.example"
        html = client.get(url).content.decode()
        assert "EMAIL_HOST" not in html
        assert "ines@plant.example" in html

    def test_a_test_goes_to_them(self, client: Client) -> None:
        subscription = MailSubscriptionFactory.create()
        client.post(page("mailsubscription_send_test", subscription))
        assert Delivery.objects.get().subscription == subscription


class TestDeliveries:
    @pytest.fixture
    def failed(self) -> Delivery:
        delivery = notices.send_test(
            listener=WebhookFactory.create(), user=UserFactory.create(username="ines")
        )
        delivery.status, delivery.error, delivery.attempts = Delivery.Status.FAILED, "The answer was 500.", 1
        delivery.response_code, delivery.next_attempt_at = 500, None
        delivery.finished_at = delivery.created_at
        delivery.save()
        return delivery

    def test_the_page_says_what_became_of_it(self, client: Client, failed: Delivery) -> None:
        response = client.get(page("delivery_change", failed))
        html = response.content.decode()
        for text in ("given up", "The answer was 500.", "A test, asked for by ines.", str(failed.message_id)):
            assert text in html
        assert "Refresh" not in response

    def test_it_is_sent_again_by_who_may(self, client: Client, failed: Delivery) -> None:
        url = page("delivery_send_again", failed)
        assert client.get(url).status_code == 200
        assert client.post(url).status_code == 302
        fresh = Delivery.objects.get()
        assert (fresh.status, fresh.attempts) == ("pending", 0)
        assert LogEntry.objects.get().user == user_of(client)
        response = client.post(url)  # it waits already
        assert said(response)[-1] == "This notice is still to be sent."

    def test_the_selected_are_sent_again_and_what_waits_is_left(
        self, client: Client, failed: Delivery
    ) -> None:
        waiting = notices.send_test(listener=WebhookFactory.create(), user=user_of(client))
        Delivery.objects.filter(pk=waiting.pk).update(attempts=1)
        data = {"action": "send_selected_again", "_selected_action": [failed.pk, waiting.pk]}
        url = reverse("admin:training_delivery_changelist")
        assert said(client.post(url, data)) == ["1 notice is in the queue."]
        assert set(Delivery.objects.values_list("pk", "status", "attempts")) == {
            (failed.pk, "pending", 0),
            (waiting.pk, "pending", 1),
        }
        assert LogEntry.objects.get().object_id == str(failed.pk)

    def test_nobody_writes_in_the_log(self, client: Client, failed: Delivery) -> None:
        assert client.post(page("delivery_change", failed), {"error": ""}).status_code == 403
        assert client.post(page("delivery_delete", failed), {"post": "yes"}).status_code == 403

    @pytest.mark.parametrize("count", [1, 3])
    def test_the_list_costs_a_fixed_number_of_queries(
        self, client: Client, count: int, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        url = reverse("admin:training_delivery_changelist")
        client.get(url)
        webhook = WebhookFactory.create(name="GMAO")
        for _ in range(count):
            notices.send_test(listener=webhook, user=user_of(client))
        with django_assert_num_queries(8):
            assert client.get(url).content.decode().count(">GMAO<") == count


@pytest.mark.parametrize("name", ["webhook_send_test", "webhook_renew_secret"])
def test_who_only_looks_sends_nothing(name: str) -> None:
    webhook = WebhookFactory.create()
    assert client_of(user_as("trainer")).post(page(name, webhook)).status_code == 403
    assert not Delivery.objects.exists()
    assert Webhook.objects.get().secret == webhook.secret
