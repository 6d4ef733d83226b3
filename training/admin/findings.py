"""What the watch found, mended or not: on the start page, beside the queue, and as a list."""

from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.contrib.filters.admin import ChoicesCheckboxFilter, RangeDateTimeFilter
from unfold.decorators import display

from training import nodes, troubles
from training.admin import labels
from training.admin.base import ReadOnlyAdmin
from training.findings import trouble_of
from training.models import Finding, QueueNode


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """A trouble as a page shows it."""

    word: str | Promise
    tone: str
    sentence: str
    action: str
    age: str


def problems(*codes: Finding.Code) -> list[Problem]:
    """All that is wrong now, the serious first; of these codes, if any are given."""
    return [
        Problem(
            word=trouble.severity.label,
            tone="bad" if trouble.is_serious else "watch",
            sentence=trouble.sentence,
            action=trouble.action,
            age=labels.age(trouble.since),
        )
        for trouble in troubles.current()
        if not codes or trouble.code in codes
    ]


def state_of_queue(request: HttpRequest) -> dict[str, Any]:
    """For templates/admin/training/queue_state.html."""
    may = request.user.has_perm("training.view_finding")
    return {
        "problems": problems() if may else [],
        "nodes": [
            {"name": str(node), "started": labels.age(node.started_at), "seen": labels.age(node.seen_at)}
            for node in QueueNode.objects.exclude(pid=nodes.LEFT)
        ],
    }


@admin.register(Finding)
class FindingAdmin(ReadOnlyAdmin):
    """What is wrong now stands first; what is gone stays for a month."""

    list_display = ("what", "state", "since", "ended_at")
    list_filter = (("code", ChoicesCheckboxFilter), ("since", RangeDateTimeFilter))
    list_filter_submit = True
    list_before_template = "admin/training/problems.html"
    fields = ("what", "action", "state", ("since", "ended_at"), ("code", "subject"))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"problems": problems(), **(extra_context or {})})

    @display(description=gettext_lazy("finding"))
    def what(self, finding: Finding) -> str:
        return trouble_of(finding).sentence

    @display(description=gettext_lazy("what to do"))
    def action(self, finding: Finding) -> str:
        return trouble_of(finding).action

    @display(description=gettext_lazy("state"))
    def state(self, finding: Finding) -> SafeString:
        if finding.is_mended:
            return labels.badge(_("mended by itself"), "success")
        if finding.ended_at is not None:
            return labels.badge(_("gone"), "default")
        kind = "danger" if finding.severity == Finding.Severity.SERIOUS else "warning"
        return labels.badge(finding.get_severity_display(), kind)
