"""Every route of the guide for everybody who may knock."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.request import Request

from tests.factories import user_with
from training.api.permissions import is_open

pytestmark = pytest.mark.django_db

# What each answers to a caller who is let in: an empty body, nothing trained, no such backup.
WRITES = {
    "/train": ("training.train_models", 400),
    "/train/reload": ("training.activate_modelversion", 500),
    "/train/restore/backup_20260101_000000": ("training.restore_backup", 404),
}
READS = ["/train/status", "/train/backups"]
OTHERS = [permission for permission, _ in WRITES.values()]

writes = pytest.mark.parametrize(
    ("path", "permission", "let_in"), [(path, *rest) for path, rest in WRITES.items()], ids=list(WRITES)
)
reads = pytest.mark.parametrize("path", READS)

UNKNOWN = {"success": False, "error": "Authentication credentials were not provided."}


@pytest.fixture
def _open(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = True


@pytest.fixture
def _closed(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = False
    settings.ANONYMOUS_READ = False


def bearing(user: User) -> dict[str, Any]:
    return {"headers": {"authorization": f"Token {Token.objects.create(user=user).key}"}}


def post(client: Client, path: str, **headers: Any) -> Any:
    return client.post(path, b"", content_type="application/json", **headers)


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@writes
@pytest.mark.usefixtures("_open")
def test_anonymous_writes_pass_in_the_open_mode(path: str, permission: str, let_in: int) -> None:
    assert post(Client(), path).status_code == let_in


@writes
@pytest.mark.usefixtures("_closed")
def test_anonymous_writes_are_401_elsewhere(path: str, permission: str, let_in: int) -> None:
    response = post(Client(), path)
    assert (response.status_code, response.json()) == (401, UNKNOWN)
    assert response["WWW-Authenticate"] == "Token"


@writes
@pytest.mark.parametrize("mode", ["_open", "_closed"])
def test_a_user_without_the_permission_is_403(
    path: str, permission: str, let_in: int, mode: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(mode)
    user = user_with(*(other for other in OTHERS if other != permission))
    body = {"success": False, "error": f"This needs the permission {permission}."}
    for response in (post(Client(), path, **bearing(user)), post(logged_in(user), path)):
        assert (response.status_code, response.json()) == (403, body)


@writes
@pytest.mark.usefixtures("_closed")
def test_a_user_with_the_permission_is_let_in(path: str, permission: str, let_in: int) -> None:
    user = user_with(permission)
    assert post(Client(), path, **bearing(user)).status_code == let_in
    assert post(logged_in(user), path).status_code == let_in


@writes
@pytest.mark.usefixtures("_closed")
def test_a_session_needs_its_csrf_token(path: str, permission: str, let_in: int) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user_with(permission))
    assert post(client, path).status_code == 403
    client.cookies["csrftoken"] = "a" * 32
    assert post(client, path, headers={"x-csrftoken": "a" * 32}).status_code == let_in


@pytest.mark.parametrize("path", [*WRITES, *READS])
@pytest.mark.usefixtures("_open")
def test_a_wrong_token_is_401_even_in_the_open_mode(path: str) -> None:
    method = "post" if path in WRITES else "get"
    for credentials in ("Token wrong", "Token", "Token a b"):
        response = getattr(Client(), method)(path, headers={"authorization": credentials})
        assert response.status_code == 401
        assert response.json()["success"] is False


@pytest.mark.usefixtures("_closed")
def test_a_token_of_somebody_who_left_is_401() -> None:
    user = user_with("training.train_models")
    credentials = bearing(user)
    User.objects.update(is_active=False)
    response = Client().post("/train", **credentials)
    assert (response.status_code, response.json()["error"]) == (401, "User inactive or deleted.")


@reads
def test_anybody_may_read_where_the_setting_says_so(path: str, settings: Settings) -> None:
    settings.ANONYMOUS_READ = True
    assert Client().get(path).status_code == 200


@reads
@pytest.mark.parametrize("open_mode", [True, False])
def test_only_users_may_read_where_it_does_not(path: str, open_mode: bool, settings: Settings) -> None:
    settings.ANONYMOUS_READ, settings.OPEN_DEVELOPMENT_MODE = False, open_mode
    response = Client().get(path)
    assert (response.status_code, response.json()) == (401, UNKNOWN)
    user = user_with()
    assert Client().get(path, **bearing(user)).status_code == 200
    assert logged_in(user).get(path).status_code == 200


# --- The open development mode -----------------------------------------------------------------


def openness(**meta: str) -> bool:
    request = Request(RequestFactory().post("/train", **{"REMOTE_ADDR": "127.0.0.1"} | meta))  # type: ignore[arg-type]  # META takes any name
    request.user = AnonymousUser()
    return is_open(request)


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.168.1.7", False),
        ("::ffff:192.168.1.7", False),
        ("0.0.0.0", False),  # noqa: S104  # an address to refuse, not to bind to
        ("", False),
        ("localhost", False),
    ],
)
def test_open_to_loopback_only(address: str, expected: bool) -> None:
    assert openness(REMOTE_ADDR=address) is expected


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize(
    "name",
    [
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
        "HTTP_FORWARDED",
        "HTTP_X_REAL_IP",
        "HTTP_VIA",
    ],
)
def test_not_open_through_a_proxy(name: str) -> None:
    assert openness(**{name: "127.0.0.1"}) is False


@pytest.mark.usefixtures("_open")
@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, True),
        ({"HTTP_SEC_FETCH_SITE": "none"}, True),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, False),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, False),
        ({"HTTP_ORIGIN": "http://testserver"}, True),
        ({"HTTP_ORIGIN": "http://testserver:8080"}, False),
        ({"HTTP_ORIGIN": "https://evil.example"}, False),
        ({"HTTP_ORIGIN": "null"}, False),
        ({"HTTP_ORIGIN": ""}, False),
        ({"HTTP_ORIGIN": "http://[broken"}, False),
        ({"HTTP_ORIGIN": "http://testserver", "HTTP_SEC_FETCH_SITE": "cross-site"}, False),
    ],
)
def test_not_open_to_other_sites_pages(meta: dict[str, str], expected: bool) -> None:
    assert openness(**meta) is expected


def test_not_open_outside_development(settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = False
    assert openness() is False


@pytest.mark.usefixtures("_open")
def test_another_sites_page_is_401(client: Client) -> None:
    response = client.post("/train/reload", headers={"origin": "https://evil.example"})
    assert (response.status_code, response.json()) == (401, UNKNOWN)
