"""Lists whose address may hold anything: what no database can answer is a message, never an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import DataError
from django.db.models import GenericIPAddressField, IntegerField, Model, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_naive
from django.utils.translation import gettext as _
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

MAX_SEARCH = 200  # characters
MAX_WORDS = 10  # each is some comparisons in the statement, and databases bound a statement
# What a list may be asked for of a field; anything else could be guessed at, takes as long as its pattern
# likes, or is answered by one database alone.
LOOKUPS = {"exact", "in", "isnull", "isempty", "gt", "gte", "lt", "lte", "year", "month", "day"}
OF_A_PART = {"isnull", "isempty", "year", "month", "day"}  # whose values are no values of the field
# Fields whose values the databases take differently. No others: a pickled one would run what it parses.
PARSED = (IntegerField, GenericIPAddressField)
UNANSWERABLE = (ValueError, OverflowError, DataError)


@contextmanager
def answerable(request: HttpRequest) -> Iterator[None]:
    """Raise IncorrectLookupParameters, with a message, for a query that the block cannot ask.

    Django checks the parameters of a list while it builds the query. Dates at the borders of the calendar
    and numbers beyond a column's are found out by the database or its adapter, when it runs. Without
    parameters an error is a bug, and stays one.
    """
    try:
        yield
    except (IncorrectLookupParameters, *UNANSWERABLE) as error:
        if not request.GET:
            raise
        words = _("The address asks for what this list cannot answer: it is shown without filters.")
        messages.warning(request, words)
        raise IncorrectLookupParameters from error


class CheckedChangeList(ChangeList):
    """A list of rows; Django shows it without parameters where those are not answerable."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        with answerable(request):
            super().__init__(request, *args, **kwargs)

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> "QuerySet[Any]":
        if len(self.query) > MAX_SEARCH or len(self.query.split()) > MAX_WORDS:
            raise IncorrectLookupParameters
        for name, texts in self.filter_params.items():
            if not all(_could_be(self.model, name, text) for text in texts):
                raise IncorrectLookupParameters
        queryset: QuerySet[Any] = super().get_queryset(request, exclude_parameters)
        return queryset


class CheckedListAdmin(ModelAdmin):
    """A list that answers whatever its address or its form holds."""

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return CheckedChangeList

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Refuse all but LOOKUPS of fields, beside what Django refuses."""
        if not {*_named(self.model, lookup)[1]} <= LOOKUPS:
            return False
        allowed: bool = super().lookup_allowed(lookup, value, request)
        return allowed

    def response_action(self, request: HttpRequest, queryset: "QuerySet[Any]") -> HttpResponse | None:
        """Rows are named by their keys: an action on anything else changes nothing."""
        for key in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(key, None)
            except ValidationError:
                messages.warning(request, _("Nothing was changed: the form names rows that cannot be."))
                return HttpResponseRedirect(request.get_full_path())
        response: HttpResponse | None = super().response_action(request, queryset)
        return response


def _named(model: type[Model], parameter: str) -> tuple[Any, list[str]]:
    """The field that a parameter names, and what it asks of it; no field where it is a filter of its own."""
    field, names = None, parameter.split(LOOKUP_SEP)
    for place, name in enumerate(names):
        meta = model._meta  # noqa: SLF001  # its documented name
        try:
            field = meta.pk if name == "pk" else meta.get_field(name)
        except FieldDoesNotExist:
            return field, names[place:] if place else []
        if not field.related_model:
            return field, names[place + 1 :]
        model = field.related_model
    return field, []


def _could_be(model: type[Model], parameter: str, text: str) -> bool:
    """Whether the field could hold that value: else one database finds nothing by it, the other refuses."""
    field, asked = _named(model, parameter)
    texts = text.split(",") if asked == ["in"] else [text]
    kind = getattr(field, "output_field", None) or getattr(field, "target_field", field)
    if isinstance(kind, PARSED) and OF_A_PART.isdisjoint(asked):
        try:
            for one in texts:
                kind.run_validators(kind.to_python(one))
        except ValidationError:
            return False
    return all(map(_is_in_the_calendar, texts))


def _is_in_the_calendar(text: str) -> bool:
    """Whether it is no moment, or one that exists in UTC as well: SQLite holds no other, PostgreSQL does."""
    try:
        moment = parse_datetime(text)
        return moment is None or is_naive(moment) or bool(moment.astimezone(UTC))
    except OverflowError:
        return False
    except ValueError:
        return True
