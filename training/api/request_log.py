"""A name for each request, in its answer and in every line that it logs; and one line for the request."""

import logging
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.utils.functional import LazyObject, empty

from anomalyproject.logs import logged_with

logger = logging.getLogger("training.access")

HEADER = "X-Request-ID"
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
PROBES = {"/livez", "/readyz", "/health", "/metrics"}
_answered: dict[str, int] = {}  # by this process: a probe's last status
SANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{7,63}")


def log_requests(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware, the outermost: what the client is answered is what is logged."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        begin, name = time.perf_counter(), _name_of(request)
        request.log_facts = {"request": name}  # type: ignore[attr-defined]  # for anomalyproject.logs
        with logged_with(request=name):
            response = get_response(request)
            response.headers[HEADER] = name
            _log(request, response, time.perf_counter() - begin)
        return response

    return middleware


def _name_of(request: HttpRequest) -> str:
    """The client's or the proxy's own, if it looks like one; else one is made."""
    claimed = request.headers.get(HEADER, "")
    return claimed if SANE.fullmatch(claimed) else uuid4().hex


def _log(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """The route instead of the path: a path may hold anything, and a query is nobody's business."""
    facts: dict[str, Any] = {
        "method": request.method if request.method in METHODS else "?",
        "route": _route_of(request),
        "status": response.status_code,
        "milliseconds": round(seconds * 1_000, 1),
        "user": _user_of(request),
    }
    level = logging.INFO if _is_news(facts["route"], response.status_code) else logging.DEBUG
    if facts["route"] in PROBES:
        response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001  # Django's own mark: not once more
    message = facts["method"], facts["route"], response.status_code
    logger.log(level, "%s %s %d", *message, extra={"facts": facts})


def _is_news(route: str, status: int) -> bool:
    """Of a probe, which asks every few seconds, only an answer that is not the one before."""
    if route not in PROBES:
        return True
    before, _answered[route] = _answered.get(route, HTTPStatus.OK), status
    return status != before


def _route_of(request: HttpRequest) -> str:
    if request.resolver_match is not None:
        return f"/{request.resolver_match.route}"
    return "static" if request.path.startswith(settings.STATIC_URL) else "unknown"


def _user_of(request: HttpRequest) -> str:
    """Who it turned out to be; nobody is looked up for the log alone."""
    user = getattr(request, "user", None)
    if user is None or (isinstance(user, LazyObject) and user._wrapped is empty):  # noqa: SLF001  # no other way to ask
        return "-"
    return user.get_username() or "-"
