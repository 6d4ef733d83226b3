"""The queue's own tables, to look at."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from django_q import admin as _registered_first  # noqa: F401 — registers what is replaced here
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from training.admin import labels
from training.admin.base import ReadOnlyAdmin
from training.admin.findings import state_of_queue

# django-q's own pages let staff resubmit, edit and schedule any function by name.
admin.site.unregister([Failure, OrmQ, Schedule, Success])


class TaskAdmin(ReadOnlyAdmin):
    list_display = ("task_name", "function", "started_at", "duration")
    list_filter = (("started", RangeDateTimeFilter),)
    list_filter_submit = True
    search_fields = ("name", "func")
    fields = ("task_name", "function", "args", "result", ("started_at", "duration"))

    @display(description=gettext_lazy("name"), ordering="name")
    def task_name(self, task: Task) -> str:
        return str(task.name)

    @display(description=gettext_lazy("function"), ordering="func")
    def function(self, task: Task) -> str:
        return str(task.func)

    @display(description=gettext_lazy("started at"), ordering="started")
    def started_at(self, task: Task) -> datetime:
        started: datetime = task.started
        return started

    @display(description=gettext_lazy("duration"))
    def duration(self, task: Task) -> str:
        return labels.duration(task.time_taken())


@admin.register(Success)
class SuccessAdmin(TaskAdmin):
    """Messages that the worker has taken and finished."""


@admin.register(Failure)
class FailureAdmin(TaskAdmin):
    """Messages whose function raised an error."""


@admin.register(OrmQ)
class WaitingAdmin(ReadOnlyAdmin):
    """Messages that no worker has finished yet."""

    list_display = ("task_name", "function", "lock")
    fields = ("task_name", "function", "lock", "key")
    list_before_template = "admin/training/queue_state.html"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {**state_of_queue(request), **(extra_context or {})})

    @display(description=gettext_lazy("name"))
    def task_name(self, message: OrmQ) -> str:
        return str(message.name())

    @display(description=gettext_lazy("function"))
    def function(self, message: OrmQ) -> str:
        return str(message.func())
