"""A method that an address does not know is a 405, whoever asks; HEAD is GET without its body."""

from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from tests.training.admin.people import superuser

pytestmark = pytest.mark.django_db
INVENTED = ("TRACE", "PROPFIND", "MÉTHODE")
PAGE = "GET, HEAD, OPTIONS, POST"


def in_the_form(response: Any, method: str) -> None:
    assert response.json() == {"success": False, "error": f'Method "{method}" not allowed.'}


@pytest.mark.parametrize("method", INVENTED)
@pytest.mark.parametrize("path", ["/", "/health", "/train", "/api/v1/docs/", "/nothing"])
def test_invented_ones_are_refused_before_anybody_is_looked_up(
    client: Client, method: str, path: str
) -> None:
    response = client.generic(method, path)
    assert response.status_code == 405
    assert "GET" in response["Allow"]
    assert response.json().keys() & {"success", "message"}


@pytest.mark.parametrize("method", [*INVENTED, "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ["/admin/", "/admin/training/anomaly/", "/admin/login/"])
def test_pages_know_what_a_browser_sends(method: str, path: str) -> None:
    for client in (Client(), superuser()):
        response = client.generic(method, path)
        assert (response.status_code, response["Allow"]) == (405, PAGE)
        assert "This page is not reached that way" in response.content.decode()


@pytest.mark.parametrize("path", ["/admin/", "/admin/training/anomaly/", "/i18n/setlang/"])
def test_a_page_says_what_it_knows(client: Client, path: str) -> None:
    response = client.options(path)
    assert (response.status_code, response["Allow"], response.content) == (200, PAGE, b"")


def test_the_start_page_is_only_read(client: Client) -> None:
    assert client.head("/").status_code == 302
    response = client.post("/")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    in_the_form(response, "POST")


def test_a_page_of_django_s_that_refuses_a_method_shows_why() -> None:
    response = superuser().get("/admin/logout/")
    assert (response.status_code, response["Allow"]) == (405, "POST, OPTIONS")
    assert "This page is not reached that way" in response.content.decode()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "TRACE"])
def test_static_files_are_only_read(client: Client, method: str) -> None:
    response = client.generic(method, "/static/training/admin.css")
    assert (response.status_code, response["Allow"]) == (405, "GET, HEAD, OPTIONS")
    in_the_form(response, method)


@pytest.mark.parametrize("path", ["/api/v1/docs/", "/api/v1/schema/"])
def test_the_description_is_only_read(client: Client, path: str) -> None:
    assert client.head(path).status_code == 200
    for method in ("OPTIONS", "POST", "PUT"):
        response = client.generic(method, path)
        assert (response.status_code, response["Allow"]) == (405, "GET, HEAD")
        assert response.json()["success"] is False


@pytest.mark.parametrize("path", ["/health", "/livez", "/models/info", "/admin/login/", "/api/v1/schema/"])
def test_head_is_get_without_its_body(client: Client, settings: Settings, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code
    assert head["Content-Type"] == get["Content-Type"]
    assert head.content == b""
