"""Training sessions: what runs, how far it is, why it failed; train now, cancel."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from training import schedules, sessions
from training.admin import labels
from training.admin.base import Confirmation, ReadOnlyAdmin, confirmed, existing, person
from training.admin.freeze import freeze_context, frozen_in_words
from training.admin.session_pages import attempts_of, progress_of, session_context
from training.admin.session_words import told
from training.models import Anomaly, TrainingSession

STATUS_COLOURS = {
    "queued": "info",
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
    "skipped": "default",
}
LIST = "admin:training_trainingsession_changelist"


@admin.register(TrainingSession)
class TrainingSessionAdmin(ReadOnlyAdmin):
    list_display = (
        "number",
        "status_badge",
        "queued_at",
        "duration",
        "records",
        "model_version",
        "cause_and_reason",
    )
    list_more = ("started_at", "finished_at", "attempts")
    list_select_related = ("requested_by", "model_version")
    list_filter = (
        ("status", ChoicesCheckboxFilter),
        ("trigger", ChoicesCheckboxFilter),
        ("queued_at", RangeDateFilter),
    )
    list_filter_submit = True

    class Media:
        js = ("training/follow.js",)

    search_fields = ("reason", "requested_by__username")
    actions_list = ("train_now",)
    actions_detail = ("cancel",)
    list_before_template = "admin/training/freeze.html"
    change_form_template = "admin/training/session.html"
    change_form_outer_before_template = "admin/training/session_top.html"
    change_form_outer_after_template = "admin/training/session_log.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status_badge", "duration", "attempts"),
                    ("trigger", "requested_by"),
                    ("model_version", "backup"),
                )
            },
        ),
        (
            gettext_lazy("Records"),
            {"fields": (("records_received", "records_created", "records_updated", "records_unchanged"),)},
        ),
        (
            gettext_lazy("Times"),
            {"fields": (("queued_at", "started_at"), ("heartbeat_at", "finished_at"))},
        ),
    )

    def get_fieldsets(self, request: HttpRequest, obj: TrainingSession | None = None) -> Any:
        """While it goes on, only what does not change: the rest is told, and kept up to date, above."""
        if obj is not None and obj.is_active:
            return ((None, {"fields": (("trigger", "requested_by", "queued_at"),)}),)
        return super().get_fieldsets(request, obj)

    @display(description=gettext_lazy("session"), ordering="id", header=True)
    def number(self, session: TrainingSession) -> list[str]:
        trigger = session.get_trigger_display()
        return [str(session), f"{trigger} · {session.requested_by}" if session.requested_by else trigger]

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, session: TrainingSession) -> SafeString:
        word = session.get_status_display()
        if session.status == TrainingSession.Status.RUNNING:
            word = f"{word} {session.progress} %"
        return labels.badge(word, STATUS_COLOURS[session.status])

    @display(description=gettext_lazy("duration"))
    def duration(self, session: TrainingSession) -> str:
        return labels.duration(session.seconds)

    @display(description=gettext_lazy("records"))
    def records(self, session: TrainingSession) -> str:
        if not session.records_received:
            return _("what was approved")
        return _("%(created)d new, %(updated)d changed, %(unchanged)d unchanged") % {
            "created": session.records_created,
            "updated": session.records_updated,
            "unchanged": session.records_unchanged,
        }

    @display(description=gettext_lazy("reason"), header=True)
    def cause_and_reason(self, session: TrainingSession) -> list[str]:
        """Both in the reader's language, of the reason its first line."""
        cause, reason = session.get_cause_display(), told(session.reason).partition("\n")[0]
        return [cause, reason] if cause else [reason or "–", ""]

    # --- Train now -----------------------------------------------------------------------------

    def has_train_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.train_models")

    @action(
        description=gettext_lazy("Train now"),
        permissions=["train"],
        icon="play_arrow",
        variant=ActionVariant.PRIMARY,
    )
    def train_now(self, request: HttpRequest) -> HttpResponse:
        def act() -> str:
            session = sessions.start_session(trigger=TrainingSession.Trigger.ADMIN, user=person(request))
            return _("Training %(session)s is queued.") % {"session": session}

        def done() -> str:
            return _page_of(TrainingSession.objects.latest("pk"))

        return confirmed(request, admin=self, ask=_before_training, act=act, then=reverse(LIST), done=done)

    # --- One session ---------------------------------------------------------------------------

    def has_cancel_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.cancel_trainingsession")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        session = self.get_object(request, str(object_id))
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        return allowed if session is not None and session.is_active else []

    @action(
        description=gettext_lazy("Cancel the training"),
        permissions=["cancel"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        session = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Cancel %(session)s?") % {"session": session},
                changes=[
                    _("The training stops within seconds; no model version comes of it."),
                    _("The model that serves keeps serving, and all records are kept."),
                ],
                way_back=_("A new session can be started at any time."),
                button=_("Cancel the training"),
                is_destructive=True,
            )

        def act() -> str:
            sessions.cancel_session(session=session, user=person(request))
            return _("Training %(session)s is being cancelled.") % {"session": session}

        return confirmed(request, admin=self, ask=ask, act=act, then=_page_of(session))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        sessions.recover_sessions()
        return super().changelist_view(request, {**freeze_context(request), **(extra_context or {})})

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        sessions.recover_sessions()
        session = self.get_object(request, object_id)
        context = {} if session is None else session_context(session, request)
        response: HttpResponse = super().change_view(
            request, object_id, form_url, {**context, **(extra_context or {})}
        )
        return response

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.progress_view)
        name = "training_trainingsession_progress"
        urls: list[URLPattern] = super().get_urls()
        return [path("<path:object_id>/progress/", view, name=name), *urls]

    def progress_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The part of the page that changes while the session is active, for who follows it by script."""
        sessions.recover_sessions()
        session = existing(self, request, object_id)
        context = {"progress": progress_of(session), "attempts": attempts_of(session)}
        response = TemplateResponse(request, "admin/training/session_progress.html", context)
        if not session.is_active:
            response["X-Session-Ended"] = session.status
        return response


def _page_of(session: TrainingSession) -> str:
    return reverse("admin:training_trainingsession_change", args=[session.pk])


def newly_approved() -> tuple[str, str]:
    """What a training now would learn that the newest version has not seen: in words, and its list."""
    version = schedules.newest_trained()
    count = schedules.newly_approved(version)
    filters = {"status__exact": Anomaly.Status.APPROVED.value}
    if version is None:
        words = ngettext(
            "%(count)d approved record, and no model yet.",
            "%(count)d approved records, and no model yet.",
            count,
        )
    else:
        words = ngettext(
            "%(count)d newly approved record since %(version)s.",
            "%(count)d newly approved records since %(version)s.",
            count,
        )
        filters["reviewed_at__gt"] = version.dataset_read_at.isoformat()
    address = f"{reverse('admin:training_anomaly_changelist')}?{urlencode(filters)}"
    return words % {"count": count, "version": version}, address


def _before_training() -> Confirmation:
    return Confirmation(
        title=_("Train now?"),
        changes=[
            newly_approved()[0],
            *frozen_in_words(),
            _("The active model and the records are backed up first."),
            _("The new version is measured on held-out records; it serves once it is activated."),
        ],
        button=_("Train now"),
    )
