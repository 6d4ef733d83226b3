"""Each person chooses the columns of each list, their order, and keeps the order of the rows chosen last.

A saved name that the list no longer has is passed over, so a layout outlives every release.
"""

from collections.abc import Sequence
from typing import Any, cast

from django.contrib import messages
from django.contrib.admin.utils import label_for_field
from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from unfold.views import ChangeList

from training.admin.change_lists import CheckedChangeList, CheckedListAdmin
from training.models import ListLayout

MOVES = {"up": -1, "down": 1}


class LaidOutChangeList(CheckedChangeList):
    """Ordered as its reader ordered it last, unless the address says otherwise; and that is kept."""

    model_admin: "ChosenColumnsAdmin"

    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        layout = self.model_admin.layout_of(request)
        if ORDER_VAR in self.params:
            ordering = self._named(self.params[ORDER_VAR])
            if ordering != layout.ordering:
                self.model_admin.keep_layout(request, ordering=ordering)
        elif numbers := self._numbered(layout.ordering):
            self.params[ORDER_VAR] = numbers
        return super().get_ordering(request, queryset)

    def _named(self, numbers: str) -> list[str]:
        """`-2.0` as the names of the columns on the screen; what is no number of one is passed over."""
        found = []
        for part in numbers.split("."):
            digits = part.removeprefix("-")
            if digits.isdecimal() and int(digits) < len(self.list_display):
                found.append(part[: len(part) - len(digits)] + str(self.list_display[int(digits)]))
        return found

    def _numbered(self, names: Sequence[str]) -> str:
        shown = list(self.list_display)
        known = [name for name in names if name.removeprefix("-") in shown]
        return ".".join(
            f"{'-' if name.startswith('-') else ''}{shown.index(name.removeprefix('-'))}" for name in known
        )


class ChosenColumnsAdmin(CheckedListAdmin):
    """`list_display` is what everybody sees at first; `list_more` may be added."""

    list_more: tuple[str, ...] = ()

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return LaidOutChangeList

    def get_list_display(self, request: HttpRequest) -> Sequence[Any]:
        columns = self.columns_of(request)
        chosen = [name for name in self.layout_of(request).columns if name in columns]
        return chosen or super().get_list_display(request)

    def get_list_display_links(self, request: HttpRequest, list_display: Sequence[Any]) -> Sequence[Any]:
        """The column that opens the row; without it the first one does."""
        links = super().get_list_display_links(request, list_display) or ()
        return [name for name in links if name in list_display] or list(list_display)[:1]

    def get_sortable_by(self, request: HttpRequest) -> Sequence[str]:
        """What may be added is not ordered by: no index has it."""
        return [name for name in super().get_sortable_by(request) if name not in self.list_more]

    def columns_of(self, request: HttpRequest) -> list[str]:
        """All that may be shown, in the order in which they come."""
        return [*super().get_list_display(request), *self.list_more]

    def layout_of(self, request: HttpRequest) -> ListLayout:
        """What this person chose, read once a request; an unsaved one when nothing was chosen."""
        known, label = _read_before(request), self.opts.label
        if label not in known:
            found = ListLayout.objects.filter(user=_reader(request), list_name=label).first()
            known[label] = found or ListLayout(user=_reader(request), list_name=label)
        return known[label]

    def keep_layout(self, request: HttpRequest, **values: list[str]) -> None:
        """From now on, for this person, in every browser."""
        _read_before(request)[self.opts.label], _made = ListLayout.objects.update_or_create(
            user=_reader(request), list_name=self.opts.label, defaults=values
        )

    # --- The page where they are chosen ----------------------------------------------------------

    @property
    def columns_url(self) -> str:
        return reverse(f"admin:{self._columns_name}")

    @property
    def _columns_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_columns"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.columns_view)
        return [path("columns/", view, name=self._columns_name), *super().get_urls()]

    def columns_view(self, request: HttpRequest) -> HttpResponse:
        """GET shows all columns; each button of the form saves what is chosen, and one moves a column."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_changelist")
        if request.method == "POST":
            if "default" in request.POST:
                ListLayout.objects.filter(user=_reader(request), list_name=self.opts.label).delete()
                return HttpResponseRedirect(rows)
            return HttpResponseRedirect(self._choose(request) or rows)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Columns"),
            "opts": self.opts,
            "columns": self._described(request),
            "moved": request.GET.get("moved", ""),
            "list_url": rows,
        }
        return TemplateResponse(request, "admin/training/columns.html", context)

    def _choose(self, request: HttpRequest) -> str:
        """Save the columns of the form; where to go on, if not back to the list."""
        known = self.columns_of(request)
        shown = set(request.POST.getlist("shown"))
        chosen = [
            name for name in dict.fromkeys(request.POST.getlist("order")) if name in shown and name in known
        ]
        if not chosen:
            messages.error(request, _("Choose at least one column."))
            return self.columns_url
        direction, _colon, moved = request.POST.get("move", "").partition(":")
        if direction in MOVES and moved in chosen:
            self.keep_layout(request, columns=_moved(chosen, moved, MOVES[direction]))
            return f"{self.columns_url}?moved={direction}:{moved}"
        self.keep_layout(request, columns=chosen)
        return ""

    def _described(self, request: HttpRequest) -> list[dict[str, Any]]:
        shown = list(map(str, self.get_list_display(request)))
        others = [name for name in self.columns_of(request) if name not in shown]
        return [
            {
                "name": name,
                "label": capfirst(str(label_for_field(name, self.model, self))),
                "is_shown": name in shown,
                "is_first": place == 0,
                "is_last": place == len(shown) - 1,
            }
            for place, name in enumerate([*shown, *others])
        ]


def _reader(request: HttpRequest) -> User:
    return cast("User", request.user)  # admin_view let nobody else in


def _read_before(request: HttpRequest) -> dict[str, ListLayout]:
    """In this request, by list."""
    known: dict[str, ListLayout] = request.__dict__.setdefault("_list_layouts", {})
    return known


def _moved(names: list[str], name: str, by: int) -> list[str]:
    """One place up or down; at the end it stays."""
    place = names.index(name)
    rest = [other for other in names if other != name]
    rest.insert(min(max(place + by, 0), len(rest)), name)
    return rest
