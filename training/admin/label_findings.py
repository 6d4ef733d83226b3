"""Doubtful labels: what the newest label quality report found, to be looked at and settled by a review."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant

from training.admin import labels
from training.admin.base import ReadOnlyAdmin
from training.admin.quality_checks import ADD, active_links, ask_for_check
from training.models import Anomaly, LabelFinding, QualityReport


@admin.register(LabelFinding)
class LabelFindingAdmin(ReadOnlyAdmin):
    list_display = ("rank", "kind", "about", "target", "scores", "contrary", "doubt")
    list_display_links = ("rank",)
    list_select_related = ("anomaly",)
    list_filter = (("kind", ChoicesCheckboxFilter), ("target", ChoicesCheckboxFilter))
    list_filter_submit = True
    list_before_template = "admin/training/label_check.html"
    actions_list = ("check_now",)
    search_fields = ("anomaly__anomaly_id", "anomaly__description", "anomaly__equipment_id")
    fields = (
        ("kind", "rank", "doubt"),
        ("about", "against"),
        ("target", "scores", "contrary"),
        ("evidence", "report"),
    )

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("training.view_anomaly")

    def get_queryset(self, request: HttpRequest) -> "QuerySet[LabelFinding]":
        return LabelFinding.objects.current()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """With the check that is under way."""
        context = {"label_check": active_links(request).get(QualityReport.Kind.LABELS)}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def has_check_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm(ADD)

    @action(
        description=gettext_lazy("Check now"),
        permissions=["check"],
        icon="rule",
        variant=ActionVariant.PRIMARY,
    )
    def check_now(self, request: HttpRequest) -> HttpResponse:
        then = reverse("admin:training_labelfinding_changelist")
        return ask_for_check(request, admin=self, kind=QualityReport.Kind.LABELS, then=then)

    @display(description=gettext_lazy("anomaly"), ordering="anomaly__anomaly_id")
    def about(self, finding: LabelFinding) -> SafeString:
        return _link(finding.anomaly)

    @display(description=gettext_lazy("other anomaly"))
    def against(self, finding: LabelFinding) -> SafeString | str:
        return _link(finding.other) if finding.other else "–"

    @display(description=gettext_lazy("scores (A · F · S)"))
    def scores(self, finding: LabelFinding) -> str:
        return " · ".join(labels.number(score) for score in finding.anomaly.scores.values())

    @display(description=gettext_lazy("says otherwise"))
    def contrary(self, finding: LabelFinding) -> str:
        return finding.contrary

    @display(description=gettext_lazy("suspicion"), ordering="suspicion")
    def doubt(self, finding: LabelFinding) -> str:
        return labels.decimals(finding.suspicion, 3)


def _link(anomaly: Anomaly) -> SafeString:
    address = reverse("admin:training_anomaly_change", args=[anomaly.pk])
    text = Truncator(anomaly.description).chars(90)
    link = '<span><a class="text-primary-600 dark:text-primary-500" href="{}">{}</a><br>{}</span>'
    return format_html(link, address, text, anomaly.anomaly_id)
