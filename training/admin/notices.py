"""Who is told what happened: webhooks, e-mails, and the log of what was sent."""

import json
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from training import deliveries, notices
from training.admin import labels
from training.admin.base import (
    Confirmation,
    ReadOnlyAdmin,
    confirmed,
    existing,
    person,
    refusals_as_messages,
)
from training.admin.change_lists import CheckedListAdmin
from training.models import Delivery, Event, MailSubscription, Webhook
from training.models.notices import CHOOSABLE
from training.posting import PostError, check_url

STATUS_COLOURS = {"pending": "info", "delivered": "success", "failed": "danger", "dropped": "default"}


class ListenerForm(forms.ModelForm):  # type: ignore[type-arg]  # generic in the stubs alone
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(event.value, event.label) for event in CHOOSABLE],
        initial=[event.value for event in CHOOSABLE],
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )


class WebhookForm(ListenerForm):
    def clean_url(self) -> str:
        url: str = self.cleaned_data["url"]
        try:
            check_url(url)
        except PostError as error:
            raise forms.ValidationError(str(error)) from error
        return url


class MailForm(ListenerForm):
    def clean_user(self) -> Any:
        user = self.cleaned_data["user"]
        if not user.email:
            raise forms.ValidationError(_("This person has no e-mail address: give them one first."))
        return user


class ListenerAdmin(CheckedListAdmin):
    """Both kinds: which events, on or off, the last notice, and a test."""

    named_in_deliveries: str
    asked: tuple[str, ...]
    readonly_fields = ("created_at", "created_by")
    actions_detail: tuple[str, ...] = ("send_test",)
    list_filter = ("is_enabled",)
    compressed_fields = False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """With the state of the newest delivery of each."""
        rows: QuerySet[Any] = super().get_queryset(request)
        newest = Delivery.objects.filter(**{self.named_in_deliveries: OuterRef("pk")}).order_by("-pk")
        told: QuerySet[Any] = rows.annotate(
            last_status=Subquery(newest.values("status")[:1]),
            last_attempts=Subquery(newest.values("attempts")[:1]),
            last_told=Subquery(newest.values("created_at")[:1]),
        )
        return told

    @display(description=gettext_lazy("state"), ordering="is_enabled")
    def state(self, listener: Webhook | MailSubscription) -> SafeString:
        if listener.is_enabled:
            return labels.badge(_("enabled"), "success")
        return labels.badge(_("disabled"), "warning")

    @display(description=gettext_lazy("events"))
    def events_in_words(self, listener: Webhook | MailSubscription) -> str:
        return ", ".join(str(Event(event).label) for event in listener.events if event in Event.values)

    @display(description=gettext_lazy("last notice"))
    def last_notice(self, listener: Any) -> SafeString | str:
        if listener.last_status is None:
            return "–"
        return format_html(
            "{} {}", _badge(listener.last_status, listener.last_attempts), labels.age(listener.last_told)
        )

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[Any, ...]:
        return self.asked if obj is None else (*self.asked, self.readonly_fields)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = person(request)
        super().save_model(request, obj, form, change)

    def has_manage_permission(self, request: HttpRequest, obj: object = None) -> bool:
        may: bool = self.has_change_permission(request)
        return may

    @action(description=gettext_lazy("Send a test"), permissions=["manage"], icon="send")
    def send_test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        listener = existing(self, request, object_id)
        sent: list[Delivery] = []

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Send a test to %(listener)s?") % {"listener": listener},
                changes=[_("The queue sends it within seconds, once; nothing else happens.")],
                button=_("Send a test"),
            )

        def act() -> str:
            sent.append(notices.send_test(listener=listener, user=person(request)))
            return _("The test is in the queue. This page follows it.")

        return confirmed(
            request,
            admin=self,
            ask=ask,
            act=act,
            then=reverse(f"admin:training_{self.opts.model_name}_change", args=[listener.pk]),
            done=lambda: _page_of(sent[0]),
        )


@admin.register(Webhook)
class WebhookAdmin(ListenerAdmin):
    form = WebhookForm
    named_in_deliveries = "webhook"
    list_display = ("name", "host", "events_in_words", "state", "last_notice")
    search_fields = ("name", "url")
    asked = ("name", "url", "events", "is_enabled")
    actions_detail = ("send_test", "renew_secret")

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """No list of the secrets that begin with what somebody guesses."""
        allowed: bool = super().lookup_allowed(lookup, value, request)
        return allowed and not lookup.startswith("secret")

    @display(description=gettext_lazy("address"), ordering="url")
    def host(self, webhook: Webhook) -> str:
        return Truncator(urlsplit(webhook.url).netloc).chars(60)

    def response_add(self, request: HttpRequest, obj: Webhook, post_url_continue: Any = None) -> HttpResponse:
        _show_secret(request, obj)
        return HttpResponseRedirect(reverse("admin:training_webhook_change", args=[obj.pk]))

    @action(
        description=gettext_lazy("New secret"),
        permissions=["manage"],
        icon="key",
        variant=ActionVariant.DANGER,
    )
    def renew_secret(self, request: HttpRequest, object_id: str) -> HttpResponse:
        webhook = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Make a new secret for %(webhook)s?") % {"webhook": webhook},
                changes=[_("From now on notices are signed with it; the old secret is forgotten.")],
                way_back=_("There is none: the receiver must be given the new one."),
                button=_("New secret"),
                is_destructive=True,
            )

        def act() -> str:
            notices.renew_secret(webhook=webhook)
            self.log_change(request, webhook, _("New secret"))
            return _secret_in_words(webhook)

        then = reverse("admin:training_webhook_change", args=[webhook.pk])
        return confirmed(request, admin=self, ask=ask, act=act, then=then)


@admin.register(MailSubscription)
class MailSubscriptionAdmin(ListenerAdmin):
    form = MailForm
    named_in_deliveries = "subscription"
    list_display = ("user", "address", "events_in_words", "state", "last_notice")
    list_select_related = ("user",)
    search_fields = ("user__username", "user__email")
    asked = ("user", "language", "events", "is_enabled")

    @display(description=gettext_lazy("e-mail address"), ordering="user__email")
    def address(self, subscription: MailSubscription) -> str:
        return subscription.user.email or "–"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"language": get_language(), **super().get_changeform_initial_data(request)}

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if not settings.EMAIL_HOST:
            messages.warning(request, _("There is no mail server: e-mails wait until EMAIL_HOST is set."))
        return super().changelist_view(request, extra_context)


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "event_in_words",
        "destination",
        "status_badge",
        "attempts",
        "answer",
        "next",
    )
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("event", ChoicesCheckboxFilter),
        ("channel", ChoicesCheckboxFilter),
        ("created_at", RangeDateFilter),
    )
    list_filter_submit = True
    search_fields = ("destination",)
    actions = ("send_selected_again",)
    actions_detail = ("send_again",)
    fields = (
        "told",
        ("status_badge", "event_in_words", "destination"),
        ("attempts", "answer", "seconds"),
        "error",
        ("created_at", "next_attempt_at", "finished_at"),
        "message_id",
        "content",
    )

    @display(description=gettext_lazy("event"), ordering="event")
    def event_in_words(self, delivery: Delivery) -> str:
        return delivery.get_event_display()

    @display(description=gettext_lazy("notice"))
    def told(self, delivery: Delivery) -> str:
        return notices.sentence(delivery.event, delivery.payload["data"])

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, delivery: Delivery) -> SafeString:
        return _badge(delivery.status, delivery.attempts)

    @display(description=gettext_lazy("answer"))
    def answer(self, delivery: Delivery) -> str:
        return str(delivery.response_code or "–")

    @display(description=gettext_lazy("next attempt"), ordering="next_attempt_at")
    def next(self, delivery: Delivery) -> Any:
        return delivery.next_attempt_at or "–"

    @display(description=gettext_lazy("content"))
    def content(self, delivery: Delivery) -> SafeString:
        text = json.dumps(delivery.payload, indent=2, ensure_ascii=False)
        return format_html('<pre class="tp-json">{}</pre>', text)

    def has_resend_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.change_delivery")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        delivery = self.get_object(request, str(object_id))
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        waits = delivery is None or delivery.status == Delivery.Status.PENDING
        return [] if waits else allowed

    @action(description=gettext_lazy("Send again"), permissions=["resend"], icon="replay")
    def send_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        delivery = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Send %(delivery)s again?") % {"delivery": delivery},
                changes=[_("The same content under the same message ID, by which a receiver knows it.")],
                button=_("Send again"),
            )

        def act() -> str:
            deliveries.send_again(delivery=delivery)
            self.log_change(request, delivery, _("Send again"))
            return _("It is in the queue. This page follows it.")

        return confirmed(request, admin=self, ask=ask, act=act, then=_page_of(delivery))

    @admin.action(description=gettext_lazy("Send the selected again"), permissions=["resend"])
    def send_selected_again(self, request: HttpRequest, queryset: "QuerySet[Delivery]") -> None:
        """After a receiver, or the mail server, was down for long; what still waits is left alone."""
        ended = list(queryset.exclude(status=Delivery.Status.PENDING))
        for delivery in ended:
            with refusals_as_messages(request):
                deliveries.send_again(delivery=delivery)
                self.log_change(request, delivery, _("Send again"))
        done = ngettext(
            "%(count)d notice is in the queue.", "%(count)d notices are in the queue.", len(ended)
        )
        messages.success(request, done % {"count": len(ended)})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)
        delivery = self.get_object(request, object_id)
        if delivery is not None and delivery.status == Delivery.Status.PENDING:
            response["Refresh"] = "3"  # seconds: follows it without a script
        return response


def _badge(status: str, attempts: int) -> SafeString:
    if status == Delivery.Status.PENDING and attempts:
        return labels.badge(_("to be tried again"), "warning")
    return labels.badge(str(Delivery.Status(status).label), STATUS_COLOURS[status])


def _page_of(delivery: Delivery) -> str:
    return reverse("admin:training_delivery_change", args=[delivery.pk])


def _show_secret(request: HttpRequest, webhook: Webhook) -> None:
    messages.warning(request, _secret_in_words(webhook))


def _secret_in_words(webhook: Webhook) -> str:
    return _(
        "The secret of %(webhook)s is %(secret)s. Give it to the receiver now: it is not shown again."
    ) % {"webhook": webhook, "secret": webhook.secret}
