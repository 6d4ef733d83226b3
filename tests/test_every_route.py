"""Who gets in where: every route × every role × every method, as a plant has them.

`matrix.txt` has a line for each route of the URLconf: so a new one must say for whom it is. Each place of its
columns is one caller, a letter who gets in and a dash who does not. Whoever changes a line answers for it.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from tests.factories import UserFactory
from tests.routes import address, one_of_each, routes
from tests.training.roles import ROLES, user_as

pytestmark = pytest.mark.django_db

MATRIX = Path(__file__).with_name("matrix.txt")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
CALLERS: dict[str, Callable[[], User | None]] = {
    "0": lambda: None,  # nobody known
    "n": lambda: UserFactory.create(username="nobody"),  # known, without a permission
    "s": lambda: UserFactory.create(username="staff", is_staff=True),  # of the staff, without a permission
    "v": lambda: user_as(ROLES[0], username="viewer"),
    "r": lambda: user_as(ROLES[1], username="reviewer"),
    "t": lambda: user_as(ROLES[2], username="trainer"),
    "a": lambda: user_as(ROLES[3], username="administrator"),
    "S": lambda: UserFactory.create(username="superuser", is_staff=True, is_superuser=True),
}
FIRST = "# " + "".join(CALLERS)
NOT_ASKED = "." * len(CALLERS)


def expected() -> dict[str, list[str]]:
    """Who gets in by each method, for each route."""
    lines = [line for line in MATRIX.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    return {route: who for *who, route in (line.split(" ", len(METHODS)) for line in lines)}


def part_of(route: str) -> str:
    """Routes that are asked together."""
    parts = [part for part in route.split("/") if part]
    return "/".join(parts[: 3 if route.startswith(("admin/", "api/")) else 1]).strip("^$")


PARTS = {part: list(found) for part, found in groupby(sorted(routes(), key=part_of), key=part_of)}


@pytest.fixture(autouse=True)
def plant(settings: Settings) -> None:
    settings.DEBUG = settings.OPEN_DEVELOPMENT_MODE = settings.ANONYMOUS_READ = False


class Writes:
    """Statements that change a table, other than the sessions of those who log in."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(("INSERT", "UPDATE", "DELETE")) and "django_session" not in sql:
            self.found.append(sql)
        return execute(sql, params, many, context)


def clients() -> dict[str, Client]:
    found = {}
    for letter, make in CALLERS.items():
        found[letter] = Client()
        if user := make():
            found[letter].force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return found


def gets_in(client: Client, method: str, path: str) -> bool:
    """Whether the request was let in; nothing stays of it. Who is not let in has written nothing."""
    writes = Writes()
    with transaction.atomic(), connection.execute_wrapper(writes):
        response = client.generic(method, path, "{}" if path[:6] != "/admin" else "", "application/json")
        transaction.set_rollback(True)
    if response.streaming:
        list(response)  # the file is closed with its last piece
    let_in = response.status_code not in {401, 403, 404, 405} and not is_sent_away(path, response)
    assert let_in or writes.found == [], (method, path)
    return let_in


def is_sent_away(path: str, response: Any) -> bool:
    """To the login; or to the start page: so the admin answers about a row that is not there for somebody."""
    if response.status_code != 302:
        return False
    to = response["Location"].partition("?")[0]
    return to == "/admin/login/" or (to == "/admin/" and path.count("/") > 3)


def found(part: str) -> Iterator[tuple[str, list[str]]]:
    """All that only look before the first that decides: a file that it removes does not come back."""
    rows, callers = one_of_each(), clients()
    asked = METHODS[:2] if part.startswith("admin") else METHODS
    who = {
        (method, route): "".join(
            letter if gets_in(client, method, address(route, rows)) else "-"
            for letter, client in callers.items()
        )
        for method in asked
        for route in PARTS[part]
    }
    for route in PARTS[part]:
        yield route, [who.get((method, route), NOT_ASKED) for method in METHODS]


def test_every_route_has_its_line() -> None:
    assert sorted(expected()) == sorted(routes())
    assert MATRIX.read_text(encoding="utf-8").startswith(FIRST)


@pytest.mark.parametrize("part", PARTS)
def test_who_gets_in(part: str) -> None:
    told = expected()
    assert dict(found(part)) == {route: told[route] for route in PARTS[part]}


def test_nobody_unknown_gets_in_but_to_health_probes_and_the_login() -> None:
    open_routes = {route for route, who in expected().items() if any(by.startswith("0") for by in who)}
    assert open_routes == {
        "",
        "health",
        "livez",
        "readyz",
        "metrics",
        "admin/login/",
        "admin/logout/",
        "i18n/setlang/",
    }
