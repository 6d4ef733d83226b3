"""Each list of the admin × each parameter that it knows × values that nothing can be.

`hostile_lists.txt` has a line for each list and parameter: what comes of each value, by its place. The same
file holds on both databases, so no value is answered by one and refused by the other. Of each line a run
tries two values, each line others than the one before it; EXHAUSTIVE=1 tries all ten.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib import admin
from django.contrib.admin import ModelAdmin
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.auth.models import User
from django.contrib.messages.storage.fallback import FallbackStorage
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import transaction
from django.db.models import DateTimeField
from django.http import HttpRequest
from django.test import RequestFactory

from tests.factories import UserFactory
from tests.routes import one_of_each
from tests.sampling import share
from training.admin.change_lists import CheckedChangeList

pytestmark = [
    pytest.mark.django_db,
    # unfold's filters by date hand over what was typed, which has no zone.
    pytest.mark.filterwarnings("ignore:DateTimeField .* received a naive datetime:RuntimeWarning"),
]

EXPECTED = Path(__file__).with_name("hostile_lists.txt")
SHOWN, WITHOUT_FILTERS, REFUSED = "s", "w", "r"
VALUES = (
    *("", "-1", "99999999999999999999", "1_0", "x", "x" * 600, "0001-01-01", "9999-12-31T23:59:59-14:00"),
    *("10000-01-01", "['"),
)
APART = 5  # places between two values that a run tries of one line
SPECIAL = ("q", "o", "p", "_to_field", "_facets", "nope")
OF_A_MOMENT = ("__gte", "__year", "__month", "__day")
OF_A_FIELD = (
    "",
    "__exact",
    "__year",
    "__gte",
    "__range",
    "__in",
    "__isnull",
    "__regex",
    "__startswith",
    "__x",
)
ELSEWHERE = ("user__password__startswith", "anomaly__description__regex", "pk", "id__gt__lt", "_popup")


def parameters(shown: "ModelAdmin[Any]", request: HttpRequest) -> list[str]:
    """Those that every list has, and those of its filters and moments."""
    specs = shown.get_changelist_instance(request).filter_specs
    filters = [name for spec in specs for name in spec.expected_parameters() if name]
    moments = [f.name for f in shown.model._meta.concrete_fields if isinstance(f, DateTimeField)][:1]
    looked_up = [f"{name}{lookup}" for name in moments for lookup in OF_A_MOMENT]
    return list(dict.fromkeys([*SPECIAL, *filters, *looked_up]))


def fields() -> Iterator[tuple[str, str]]:
    """A list and a field of it, for each type of field."""
    seen: set[type] = set()
    for name, shown in LISTS.items():
        for field in shown.model._meta.concrete_fields:
            if type(field) not in seen:
                seen.add(type(field))
                yield name, field.name


def asked(user: User, label: str, query: dict[str, str]) -> HttpRequest:
    request = RequestFactory().get(f"/{label}?{urlencode(query)}")
    request.user = user
    request.session = {}  # type: ignore[assignment]  # for messages alone
    request._messages = FallbackStorage(request)  # type: ignore[attr-defined]
    return request


def outcome(shown: "ModelAdmin[Any]", request: HttpRequest) -> str:
    """What becomes of the list; everything that its page reads is read."""
    try:
        with transaction.atomic():
            found = shown.get_changelist_instance(request)
            list(found.result_list)
            for spec in found.filter_specs:
                list(spec.choices(found))
    except IncorrectLookupParameters:
        return WITHOUT_FILTERS
    except (SuspiciousOperation, PermissionDenied):
        return REFUSED
    return SHOWN


FIELDS = "fields"
LISTS = {shown.opts.label: shown for shown in admin.site._registry.values()}


def tried(number: int) -> Sequence[int]:
    """The places of the values that a run tries of the line of this number."""
    return share(range(len(VALUES)), of=APART, turn=number)


def found_of(name: str) -> list[str]:
    """Its lines: of a list, or of one of each type of field; only what is tried."""
    one_of_each()
    user = UserFactory.create(is_staff=True, is_superuser=True)
    if name == FIELDS:
        pairs = [(label, f"{field}{lookup}") for label, field in fields() for lookup in OF_A_FIELD]
        pairs += [(next(iter(LISTS)), parameter) for parameter in ELSEWHERE]
    else:
        pairs = [(name, parameter) for parameter in parameters(LISTS[name], asked(user, name, {}))]
    return [
        "".join(outcome(LISTS[label], asked(user, label, {parameter: VALUES[n]})) for n in tried(number))
        + f" {name} {label} {parameter}"
        for number, (label, parameter) in enumerate(pairs)
    ]


def expected() -> dict[str, list[str]]:
    lines = EXPECTED.read_text(encoding="utf-8").splitlines()
    return {name: list(found) for name, found in groupby(lines, key=lambda line: line.split(" ")[1])}


def test_every_list_is_one_that_is_checked() -> None:
    request = asked(UserFactory.create(is_staff=True, is_superuser=True), "/", {})
    unchecked = [
        name
        for name, shown in LISTS.items()
        if not issubclass(shown.get_changelist(request), CheckedChangeList)
    ]
    assert unchecked == []
    assert set(expected()) == {*LISTS, FIELDS}


@pytest.mark.parametrize("name", [*LISTS, FIELDS])
def test_whatever_the_address_holds_the_list_is_answered(name: str) -> None:
    lines = [line.partition(" ") for line in expected()[name]]
    assert found_of(name) == [
        "".join(outcomes[n] for n in tried(number)) + space + rest
        for number, (outcomes, space, rest) in enumerate(lines)
    ]
