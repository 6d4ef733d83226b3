"""Lists of very many rows: a page reads what it shows, and counts no further than a person can look."""

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from django.utils.translation import gettext as _

from training.admin.columns import ChosenColumnsAdmin

MOST = 10_000  # rows that a list counts and pages through; filters and search narrow what is longer


class AtLeast(int):
    """A count that stopped: there are more."""

    def __str__(self) -> str:
        return f"{int(self)}+"


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # generic in the stubs alone
    """Pages of the first MOST rows: to count a million takes longer than to show a page of them."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]  # as the admin's lists are
        found = rows.order_by().values("pk")[: MOST + 1].count()
        return AtLeast(MOST) if found > MOST else found


class LongListAdmin(ChosenColumnsAdmin):
    """A list that opens as quickly with a million rows as with a hundred."""

    compressed_fields = False
    list_per_page = 25  # each row costs one or two milliseconds
    paginator = BoundedPaginator
    show_full_result_count = False

    def response_action(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        """An action on all that is listed needs a list that was counted to its end."""
        is_for_all = request.POST.get("select_across") == "1"
        if is_for_all and isinstance(self.get_paginator(request, queryset, 1).count, AtLeast):
            text = _("Nothing was changed: more than %(most)s are listed. Narrow the list, then select all.")
            messages.warning(request, text % {"most": MOST})
            return HttpResponseRedirect(request.get_full_path())
        response: HttpResponse | None = super().response_action(request, queryset)
        return response
