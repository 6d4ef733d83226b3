"""Addresses of the admin as people and strangers write them."""

from collections.abc import Callable
from typing import Any

from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest, HttpResponseBase, HttpResponsePermanentRedirect, HttpResponseRedirect
from django.shortcuts import render
from django.urls import Resolver404, resolve

ROOT = "/admin"
NUL = "\0"


class AdminAddressMiddleware:
    """Add a slash that is missing, and refuse what no page and no database can read.

    Under /admin/, and the slash for every browser: to its clients the API's paths are exact, and its filters
    say what is wrong with a value.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.method in {"GET", "HEAD"} and _is_for_a_person(request) and _misses_its_slash(request):
            return HttpResponsePermanentRedirect(request.get_full_path(force_append_slash=True))
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        """Answer 400 to a NUL in the path, the query or the form.

        PostgreSQL takes it in no text, SQLite in any: so neither is asked. Stands after the check of the
        token, which has read the form already.
        """
        if request.path_info.startswith(f"{ROOT}/") and _has_nul(request):
            return render(request, "400.html", status=400)
        return None

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponseBase | None:
        """Show the page without its parameters where a list or its export cannot answer them."""
        if not isinstance(error, IncorrectLookupParameters) or not request.GET:
            return None
        return HttpResponseRedirect(request.path)


def _is_for_a_person(request: HttpRequest) -> bool:
    is_admin = f"{request.path_info}/".startswith(f"{ROOT}/")
    return is_admin or "text/html" in request.headers.get("Accept", "")


def _misses_its_slash(request: HttpRequest) -> bool:
    path = request.path_info
    return not path.endswith("/") and not _leads_to_a_page(path) and _leads_to_a_page(f"{path}/")


def _leads_to_a_page(path: str) -> bool:
    """Whether there is one behind the admin's own answer to any address."""
    try:
        return getattr(resolve(path).func, "should_append_slash", True)
    except Resolver404:
        return False


def _has_nul(request: HttpRequest) -> bool:
    forms = (request.GET, request.POST)
    return NUL in request.path_info or any(
        NUL in text for form in forms for name, texts in form.lists() for text in (name, *map(str, texts))
    )
