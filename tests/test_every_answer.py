"""No 5xx, whatever is asked: every route × nine methods × every caller × rows that are there or cannot be.

As in development and as in production. Who gets in is `test_every_route`'s; here every answer is one that the
product means, in its form, with HEAD as GET and 405 for a method that the address does not know. A run tries
an even share of it, on SQLite another than on PostgreSQL; EXHAUSTIVE=1 tries all.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as product
from django.core.management import call_command
from django.db import transaction
from django.test import Client, override_settings
from pytest_django import Settings

from tests.routes import address, one_of_each, routes
from tests.sampling import EXHAUSTIVE, share, turn
from tests.test_every_route import clients, expected
from tests.trained import approved_records, trained_version
from training import backups
from training.models import Backup, ModelVersion

pytestmark = pytest.mark.django_db

PAGES = ("admin/", "i18n/")
WRONG_ON_PAGES = ("PUT", "PATCH", "DELETE", "TRACE", "INVENTED")
API_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
OPEN_TO_OPTIONS = {200, 401, 403, 404, 405}
CHANGES = {"POST": 1, "PUT": 2, "PATCH": 3, "DELETE": 4}  # columns of the matrix
HOSTILE = (
    *("0", "-1", "99999999999999999999", "1_0", "%D9%A3", "x", "x" * 300),
    *("%00", "%ED%A0%80", "..%2F..%2Fx", "a%0D%0Ab", "%EF%BF%BD", "_5F", "%25"),
)
PARTS = 6 if EXHAUSTIVE else 2  # of the routes, so that several processes share them
Answers = Iterator[tuple[str, str, str, Any]]  # caller, method, path, answer


@pytest.fixture
def rows(plant: None) -> dict[str, Any]:
    """A row of each kind; the version and the backup have files."""
    found = one_of_each()
    ModelVersion.objects.update(is_active=False)
    approved_records()
    version = trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    versions = dict.fromkeys(("modelversion", "model-versions"), version.pk)
    return found | versions | {"backup": backup.pk, "backups": backup.name, "restore": backup.name}


MANIFEST = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"}}


@pytest.fixture(scope="session")
def static_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Static files under the names that production gives them, collected once."""
    root = tmp_path_factory.mktemp("static")
    with override_settings(STATIC_ROOT=root, STORAGES=product.STORAGES | MANIFEST):
        call_command("collectstatic", interactive=False, verbosity=0)
    return root


@pytest.fixture(params=["development", "production"])
def plant(request: pytest.FixtureRequest, settings: Settings, static_root: Path) -> None:
    """The settings that DEBUG decides on, as it decides."""
    is_debug = request.param == "development"
    settings.DEBUG = settings.OPEN_DEVELOPMENT_MODE = settings.ANONYMOUS_READ = is_debug
    if is_debug:
        return
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_REDIRECT_EXEMPT = [r"^(livez|readyz|metrics)$"]
    settings.STATIC_ROOT = static_root
    settings.STORAGES = settings.STORAGES | MANIFEST


class Hostile(dict[str, Any]):
    """The same in the place of every row."""

    def __init__(self, value: str) -> None:
        super().__init__(r=value)


def part(number: int) -> list[str]:
    return sorted(routes())[number::PARTS]


def is_page(route: str) -> bool:
    return route.startswith(PAGES)


def asked(client: Client, method: str, path: str) -> Any:
    """The answer; nothing of the request stays."""
    with transaction.atomic():
        body = "" if path.startswith("/admin") or method in {"GET", "HEAD"} else "{}"
        response = client.generic(method, path, body, "application/json", secure=True)
        transaction.set_rollback(True)
    if response.streaming:
        response.getvalue()
    return response


def require_meant(method: str, path: str, response: Any) -> None:
    """Fails for a server error, and for a refusal out of form."""
    assert response.status_code < 500, (method, path, response.status_code)
    if response.status_code == 405:
        assert response.headers["Allow"], (method, path)
    if response.status_code >= 400 and not path.startswith("/admin/") and method != "HEAD":
        body = json.loads(response.content)
        assert body.keys() & {"success", "message"}, (method, path, body)
        assert "error" in body, (method, path, body)


def wrong_methods(route: str) -> Iterator[str]:
    """Those that the route does not know: on a page all but a browser's, else what nobody may do."""
    if is_page(route):
        yield from WRONG_ON_PAGES
        return
    yield from ("TRACE", "INVENTED")
    let_in = expected()[route]
    yield from (method for method, column in CHANGES.items() if set(let_in[column]) <= {"-", "."})


@pytest.mark.parametrize("number", range(PARTS))
@pytest.mark.parametrize("plant", ["production"], indirect=True)
def test_a_method_that_is_not_known_is_refused_to_everybody(number: int, rows: Mapping[str, Any]) -> None:
    callers, wrong = list(clients().items()), 0
    for place, route in enumerate(part(number)):
        path = address(route, rows)
        for method in wrong_methods(route):
            for letter, client in share(callers, of=4, turn=place + turn()):
                response = asked(client, method, path)
                require_meant(method, path, response)
                refused = {405} if letter == "S" or is_page(route) else {401, 403, 405}
                assert response.status_code in refused, (letter, method, path, response.status_code)
                wrong += 1
    assert wrong > 500


@pytest.mark.parametrize("number", range(PARTS))
def test_what_is_read_is_answered_alike_by_head(
    number: int, rows: Mapping[str, Any], settings: Settings
) -> None:
    callers = {letter: client for letter, client in clients().items() if letter in "0S"}
    for route in share(part(number), of=4, turn=2 * turn() + settings.DEBUG):
        path = address(route, rows)
        for letter, client in callers.items():
            get, head = asked(client, "GET", path), asked(client, "HEAD", path)
            require_meant("GET", path, get)
            assert head.status_code == get.status_code, (letter, path)
            assert head.getvalue() == b"", (letter, path)
            options = asked(client, "OPTIONS", path)
            require_meant("OPTIONS", path, options)
            assert options.status_code in ({200} if is_page(route) else OPEN_TO_OPTIONS), (letter, path)


@pytest.mark.parametrize("number", range(PARTS))
def test_rows_that_cannot_be_are_not_found(number: int, rows: Mapping[str, Any], settings: Settings) -> None:
    callers = {letter: client for letter, client in clients().items() if letter in "0S"}
    named = [route for route in part(number) if "<" in route or "(" in route]
    for place, route in enumerate(named):
        for value in share(HOSTILE, of=7, turn=place + 2 * turn() + settings.DEBUG):
            path = address(route, Hostile(value))
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
                client = callers["S"] if method in {"GET", "POST"} else callers["0"]
                response = asked(client, method, path)
                require_meant(method, path, response)
                assert response.status_code != 201, (method, path)
    assert len(named) > 10


@pytest.mark.parametrize("plant", ["production"], indirect=True)
def test_without_tls_everything_but_the_probes_is_sent_to_it(rows: Mapping[str, Any]) -> None:
    client, exempt = Client(), {"livez", "readyz", "metrics"}
    for route in routes():
        path = address(route, rows)
        for method in ("GET", "POST"):
            response = client.generic(method, path)
            if route in exempt:
                assert response.status_code < 500 or route == "readyz"
            else:
                assert response.status_code == 301, (method, path)
                assert response["Location"].startswith("https://testserver/"), (method, path)
