"""Prediction jobs in the admin: how far each is, its result, cancelling. Files come in by the API."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateFilter
from unfold.dataclasses import UnfoldAction
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from predictions.jobs import cancel_job, seconds_left
from predictions.models import PredictionJob
from training.admin import labels
from training.admin.base import Confirmation, ReadOnlyAdmin, confirmed, existing, person

STATUS_COLOURS = {
    "queued": "info",
    "running": "info",
    "succeeded": "success",
    "failed": "danger",
    "cancelled": "warning",
}


@admin.register(PredictionJob)
class PredictionJobAdmin(ReadOnlyAdmin):
    list_display = ("number", "status_badge", "rows", "rows_refused", "left", "model_version", "created_at")
    list_select_related = ("requested_by", "model_version")
    list_filter = (("status", ChoicesCheckboxFilter), ("created_at", RangeDateFilter))
    list_filter_submit = True
    search_fields = ("file_name", "requested_by__username")
    actions_detail = ("result", "cancel")
    fields = (
        ("status_badge", "left"),
        ("file_name", "requested_by", "model_version"),
        ("rows", "rows_done", "rows_refused"),
        ("created_at", "started_at", "finished_at"),
        "reason",
    )

    def get_queryset(self, request: HttpRequest) -> "QuerySet[PredictionJob]":
        rows: QuerySet[PredictionJob] = super().get_queryset(request)
        return rows.exclude(status=PredictionJob.Status.RECEIVING)

    @display(description=gettext_lazy("prediction job"), ordering="id", header=True)
    def number(self, job: PredictionJob) -> list[str]:
        return [str(job), f"{job.file_name} · {job.requested_by}" if job.requested_by else job.file_name]

    @display(description=gettext_lazy("status"), ordering="status")
    def status_badge(self, job: PredictionJob) -> SafeString:
        word = job.get_status_display()
        if job.status == PredictionJob.Status.RUNNING:
            word = f"{word} {job.progress} %"
        return labels.badge(word, STATUS_COLOURS[job.status])

    @display(description=gettext_lazy("time left"))
    def left(self, job: PredictionJob) -> str:
        seconds = seconds_left(job)
        return "–" if seconds is None else labels.about(seconds)

    # --- One job -------------------------------------------------------------------------------

    def has_result_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("predictions.view_predictionjob")

    def has_cancel_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("predictions.add_predictionjob")

    def get_actions_detail(self, request: HttpRequest, object_id: object) -> list[UnfoldAction]:
        """What its state allows."""
        job = self.get_object(request, str(object_id))
        possible = {"result": job is not None and job.has_result, "cancel": job is not None and job.is_active}
        allowed: list[UnfoldAction] = super().get_actions_detail(request, object_id)
        return [found for found in allowed if possible[found.method.__name__]]

    @action(
        description=gettext_lazy("Download the result"),
        permissions=["result"],
        icon="download",
        variant=ActionVariant.PRIMARY,
    )
    def result(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = existing(self, request, object_id)
        return HttpResponseRedirect(reverse("prediction-job-result", args=[job.pk]))

    @action(
        description=gettext_lazy("Cancel the job"),
        permissions=["cancel"],
        icon="cancel",
        variant=ActionVariant.DANGER,
    )
    def cancel(self, request: HttpRequest, object_id: str) -> HttpResponse:
        job = existing(self, request, object_id)

        def ask() -> Confirmation:
            return Confirmation(
                title=_("Cancel %(job)s?") % {"job": job},
                changes=[_("No more rows are scored, and there is no result.")],
                way_back=_("The file can be sent again at any time."),
                button=_("Cancel the job"),
                is_destructive=True,
            )

        def act() -> str:
            cancel_job(job=job, user=person(request))
            return _("%(job)s is cancelled.") % {"job": job}

        page = reverse("admin:predictions_predictionjob_change", args=[job.pk])
        return confirmed(request, admin=self, ask=ask, act=act, then=page)
