"""Which methods an address knows; what it does not know is a 405 before anything else is looked at."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

READ = ("GET", "HEAD", "OPTIONS")
PAGE = ("GET", "HEAD", "OPTIONS", "POST")  # the pages of the admin: forms know no other methods
API = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")  # of these, each view names its own


class KnownMethodsMiddleware:
    """Refuse TRACE and invented methods everywhere, and on pages and static files all but a browser's.

    Views of Django and of libraries look at POST at most and take any other method for a GET. REST
    framework's views know which methods they have: they are asked, after their permissions.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(settings.STATIC_URL) and request.method not in READ:
            return not_allowed(request, READ)
        response = self.get_response(request)
        if response.status_code == 404 and request.method not in API:  # no view that could have been asked
            return not_allowed(request, API)
        if response.status_code == 405 and not getattr(response, "content", b"-"):  # Django's own has no text
            return not_allowed(request, response.headers.get("Allow", "").split(", "))
        return response

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponseBase | None:
        known = _known_to(view)
        if request.method not in known:
            return not_allowed(request, known)
        if request.method == "OPTIONS" and known is not API:
            return HttpResponse(headers={"Allow": ", ".join(known)})
        return None


def not_allowed(request: HttpRequest, known: Any) -> HttpResponse:
    """A page for who reads pages; elsewhere `errors_in_form` gives it the form."""
    if request.path.startswith("/admin/"):
        response = render(request, "405.html", status=405)
    else:
        response = HttpResponse(status=405)
    response["Allow"] = ", ".join(known)
    return response


def _known_to(view: Callable[..., Any]) -> tuple[str, ...]:
    if hasattr(view, "cls"):  # REST framework's
        return API
    named = getattr(view, "view_initkwargs", {}).get("http_method_names")  # said in the URLconf
    return tuple(name.upper() for name in named) if named else PAGE
