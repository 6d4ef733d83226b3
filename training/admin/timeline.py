"""The time line's page: trained, activated, restored, kept back, frozen; when, why and by whom."""

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.decorators import display

from training.admin import labels
from training.admin.base import ReadOnlyAdmin
from training.models import Activation, ModelVersion, TrainingPolicy, TrainingSession
from training.rules import parse_time
from training.timeline import Event, Kind, events

PER_PAGE = 50
WORDS: dict[Kind, Promise] = {
    Kind.TRAINED: gettext_lazy("trained"),
    Kind.ACTIVATED: gettext_lazy("activated"),
    Kind.RESTORED: gettext_lazy("restored"),
    Kind.DECLINED: gettext_lazy("champion kept"),
    Kind.FROZEN: gettext_lazy("frozen"),
    Kind.LIFTED: gettext_lazy("freeze lifted"),
    Kind.PLANNED: gettext_lazy("schedule changed"),
}
COLOURS = {
    Kind.TRAINED: "info",
    Kind.ACTIVATED: "success",
    Kind.RESTORED: "warning",
    Kind.FROZEN: "danger",
}
PAGES: dict[type[object], str] = {
    TrainingSession: "admin:training_trainingsession_change",
    Activation: "admin:training_activation_change",
    ModelVersion: "admin:training_modelversion_change",
}
# What one may choose to see; the policy's kinds together.
CHOICES: list[tuple[str, Promise, frozenset[Kind]]] = [
    ("", gettext_lazy("everything"), frozenset()),
    ("trained", WORDS[Kind.TRAINED], frozenset({Kind.TRAINED})),
    ("activated", WORDS[Kind.ACTIVATED], frozenset({Kind.ACTIVATED})),
    ("restored", WORDS[Kind.RESTORED], frozenset({Kind.RESTORED})),
    ("declined", WORDS[Kind.DECLINED], frozenset({Kind.DECLINED})),
    ("schedule", gettext_lazy("schedule and freezes"), frozenset({Kind.FROZEN, Kind.LIFTED, Kind.PLANNED})),
]


@admin.register(Activation)
class ActivationAdmin(ReadOnlyAdmin):
    """Its list is the time line; a row tells one activation in full."""

    fields = ("activated_at", "version_or_none", "reason", "note", "activated_by")

    @display(description=gettext_lazy("model version"), ordering="version")
    def version_or_none(self, activation: Activation) -> str:
        return str(activation.version or _("no model"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen, kinds = _chosen(request)
        found = events(limit=PER_PAGE + 1, before=_before(request), kinds=kinds)
        context = {
            **self.admin_site.each_context(request),
            "title": capfirst(self.opts.verbose_name_plural),
            "opts": self.opts,
            "events": [_shown(event, request) for event in found[:PER_PAGE]],
            "choices": [
                {
                    "word": word,
                    "query": urlencode({"kind": name}) if name else "",
                    "is_chosen": name == chosen,
                }
                for name, word, _kinds in CHOICES
            ],
            "older": _older(chosen, found),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/training/timeline.html", context)


def _chosen(request: HttpRequest) -> tuple[str, frozenset[Kind]]:
    wanted = request.GET.get("kind", "")
    return next(((name, kinds) for name, _word, kinds in CHOICES if name == wanted), ("", frozenset()))


def _before(request: HttpRequest) -> datetime | None:
    """The moment in the address; None when it is none that a time line can have."""
    return parse_time(request.GET.get("before", ""))


def _older(chosen: str, found: list[Event]) -> str:
    if len(found) <= PER_PAGE:
        return ""
    before = found[PER_PAGE - 1].at.isoformat()
    return urlencode({"kind": chosen, "before": before} if chosen else {"before": before})


def _shown(event: Event, request: HttpRequest) -> dict[str, Any]:
    return {
        "at": event.at,
        "badge": labels.badge(str(WORDS[event.kind]), COLOURS.get(event.kind, "default")),
        "what": _what(event),
        "gate": _gate(event),
        "note": event.note if event.kind != Kind.TRAINED else "",
        "who": event.who or _("the product itself"),
        "url": _page_of(event, request),
    }


def _what(event: Event) -> str:
    match event.kind:
        case Kind.TRAINED:
            return f"{event.version} ({event.note})"
        case Kind.ACTIVATED | Kind.RESTORED:
            assert isinstance(event.subject, Activation)  # noqa: S101  # what the time line says of these
            words = event.subject.get_reason_display()
            return f"{event.version or _('no model')} ({words})"
        case Kind.DECLINED:
            return _("%(version)s does not serve") % {"version": event.version}
    return ", ".join(_policy_field(name) for name in event.changed) or _("Training schedule")


def _policy_field(name: str) -> str:
    return str(TrainingPolicy._meta.get_field(name).verbose_name)  # type: ignore[union-attr]  # noqa: SLF001  # a field of ours; Django documents _meta


def _gate(event: Event) -> SafeString | str:
    return labels.gate(event.version) if event.kind == Kind.TRAINED and event.version else ""


def _page_of(event: Event, request: HttpRequest) -> str:
    subject = event.subject
    if event.kind in {Kind.FROZEN, Kind.LIFTED, Kind.PLANNED}:
        may = request.user.has_perm("django_q.view_schedule")
        return reverse("admin:django_q_schedule_changelist") if may else ""
    if subject is None or not request.user.has_perm(f"training.view_{subject._meta.model_name}"):  # noqa: SLF001  # Django documents _meta
        return ""
    return reverse(PAGES[type(subject)], args=[subject.pk])
