"""Quality checks: what looks for doubtful labels and for drift, how far it is, and asking for one."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from training import policy as policies
from training import quality_checks, schedules
from training.admin import labels
from training.admin.base import Confirmation, ReadOnlyAdmin, confirmed, person
from training.admin.session_words import told
from training.models import QualityCheck, QualityReport

Kind = QualityReport.Kind
LIST = "admin:training_qualitycheck_changelist"
ADD = "training.add_qualitycheck"
STATUS_COLOURS = {
    "queued": "info",
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "skipped": "warning",
}


def page_of(check: QualityCheck) -> str:
    return reverse("admin:training_qualitycheck_change", args=[check.pk])


def progress_in_words(check: QualityCheck) -> str:
    if check.status == QualityCheck.Status.QUEUED:
        return _("A check waits for the queue.")
    return _("A check is under way: %(progress)d %%.") % {"progress": check.progress}


def check_links(request: HttpRequest) -> dict[str, tuple[str, str]]:
    """By kind, words and address: the check that goes on, or asking for one, as far as the user may."""
    links = active_links(request)
    if request.user.has_perm(ADD):
        names = {Kind.LABELS: "look_for_labels", Kind.DRIFT: "look_for_drift"}
        links = {
            kind.value: (_("Check now"), reverse(f"admin:training_qualitycheck_{name}"))
            for kind, name in names.items()
        } | links
    return links


def active_links(request: HttpRequest) -> dict[str, tuple[str, str]]:
    if not request.user.has_perm("training.view_qualitycheck"):
        return {}
    return {check.kind: (progress_in_words(check), page_of(check)) for check in QualityCheck.objects.active()}


def ask_for_check(request: HttpRequest, *, admin: ModelAdmin, kind: str, then: str) -> HttpResponse:
    """The page that asks, and what it does; shared by every place that has the button."""

    def act() -> str:
        quality_checks.request_check(kind=kind, trigger=QualityCheck.Trigger.ADMIN, user=person(request))
        return _("The check is queued; a queue that runs takes it within seconds.")

    def ask() -> Confirmation:
        return _before_check(kind)

    return confirmed(request, admin=admin, ask=ask, act=act, then=then)


def _before_check(kind: str) -> Confirmation:
    active = quality_checks.active_check(kind)
    return Confirmation(
        title=_("Look for drift now?") if kind == Kind.DRIFT else _("Look for doubtful labels now?"),
        changes=[
            _("A new report takes the place of the newest one; no score is changed.")
            if active is None
            else progress_in_words(active),
            _("It is made beside trainings, at low priority; the page may be left."),
        ],
        button=_("Check now"),
        is_possible=active is None,
    )


@admin.register(QualityCheck)
class QualityCheckAdmin(ReadOnlyAdmin):
    list_display = ("number", "kind", "status_badge", "why", "queued_at", "duration", "found")
    list_select_related = ("requested_by", "report")
    list_filter = (("kind", ChoicesCheckboxFilter), ("status", ChoicesCheckboxFilter))
    list_filter_submit = True
    list_before_template = "admin/training/next_check.html"
    search_fields = ("reason", "requested_by__username")
    actions_list = ("look_for_labels", "look_for_drift")
    fields = (
        ("kind", "status_badge", "duration"),
        ("trigger", "requested_by", "attempts"),
        ("queued_at", "started_at", "finished_at"),
        ("why", "found"),
    )

    @display(description=gettext_lazy("quality check"), ordering="id", header=True)
    def number(self, check: QualityCheck) -> list[str]:
        trigger = check.get_trigger_display()
        return [str(check), f"{trigger} · {check.requested_by}" if check.requested_by else trigger]

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, check: QualityCheck) -> SafeString:
        word = check.get_status_display()
        if check.status == QualityCheck.Status.RUNNING:
            word = f"{word} {check.progress} %"
        return labels.badge(word, STATUS_COLOURS[check.status])

    @display(description=gettext_lazy("reason"))
    def why(self, check: QualityCheck) -> str:
        return told(check.reason) or "–"

    @display(description=gettext_lazy("duration"))
    def duration(self, check: QualityCheck) -> str:
        return labels.duration(check.seconds)

    @display(description=gettext_lazy("quality report"))
    def found(self, check: QualityCheck) -> SafeString | str:
        if check.report is None:
            return "–"
        is_drift = check.kind == Kind.DRIFT
        address = (
            reverse("admin:index") + "#drift"
            if is_drift
            else reverse("admin:training_labelfinding_changelist")
        )
        words = _("drift") if is_drift else _("doubtful labels")
        return format_html('<a class="tp-link" href="{}">{}</a>', address, words)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        context = {"next_check": _next_in_words(), "policy_url": _policy_url(request)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    # --- Check now -----------------------------------------------------------------------------

    def has_check_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm(ADD)

    @action(
        description=gettext_lazy("Look for doubtful labels"),
        permissions=["check"],
        icon="rule",
        variant=ActionVariant.PRIMARY,
    )
    def look_for_labels(self, request: HttpRequest) -> HttpResponse:
        return ask_for_check(request, admin=self, kind=Kind.LABELS, then=reverse(LIST))

    @action(
        description=gettext_lazy("Look for drift"),
        permissions=["check"],
        icon="trending_up",
        variant=ActionVariant.PRIMARY,
    )
    def look_for_drift(self, request: HttpRequest) -> HttpResponse:
        return ask_for_check(request, admin=self, kind=Kind.DRIFT, then=reverse(LIST))


def _next_in_words() -> str:
    policy = policies.current_policy()
    if not policy.quality_enabled:
        return _("Nothing is looked for by itself: that is switched off in the training schedule.")
    moment = date_format(schedules.next_time(policy.quality_cron_line), "DATETIME_FORMAT")
    words = _("By themselves: when a version starts to serve, and next on %(moment)s UTC.")
    return words % {"moment": moment}


def _policy_url(request: HttpRequest) -> str:
    may = request.user.has_perm("django_q.view_schedule")
    return reverse("admin:django_q_schedule_changelist") if may else ""
