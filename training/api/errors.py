"""Every error leaves the API here, in one of two forms; no view builds one of its own.

The guide's form: {"success": false, "error": sentence}, with `validation_errors` for data that break
the contract and `is_training: true` while a session is in the way. A view of the older service says
`error_form = "older"` and answers {"error": title, "message": sentence}, and `validation_errors` too.
"""

import logging
import sys
from collections.abc import Callable, Iterator
from http import HTTPStatus
from itertools import chain, islice
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import Error
from django.http import (
    HttpRequest,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
    UnreadablePostError,
)
from django.shortcuts import render
from django.urls import Resolver404, resolve
from django.utils import translation
from rest_framework import exceptions, views
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.settings import api_settings

from training import outages
from training.errors import (
    BackupError,
    InvalidRecordsError,
    KeyReusedError,
    LeaseLostError,
    ModelNotLoadedError,
    NotAllowedNowError,
    NothingApprovedError,
    NoWorkerError,
    SessionActiveError,
    StorageError,
    TrainingError,
    UnservableVersionError,
    UnwritableBackupError,
)
from training.outages import DatabaseUnavailableError

logger = logging.getLogger(__name__)

INVALID = "Data validation failed"
MAX_ERRORS = 10_000  # sentences of one answer: ten for each record of a training batch
MAX_SENTENCE = 2_000  # characters; only a client's own text in it can be longer

STATUS: dict[type[Exception], HTTPStatus] = {
    SessionActiveError: HTTPStatus.CONFLICT,
    NothingApprovedError: HTTPStatus.CONFLICT,
    NotAllowedNowError: HTTPStatus.CONFLICT,
    LeaseLostError: HTTPStatus.CONFLICT,
    KeyReusedError: HTTPStatus.UNPROCESSABLE_ENTITY,
    NoWorkerError: HTTPStatus.SERVICE_UNAVAILABLE,
    DatabaseUnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    ModelNotLoadedError: HTTPStatus.SERVICE_UNAVAILABLE,
    StorageError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnwritableBackupError: HTTPStatus.SERVICE_UNAVAILABLE,
    UnservableVersionError: HTTPStatus.INTERNAL_SERVER_ERROR,
    BackupError: HTTPStatus.INTERNAL_SERVER_ERROR,
    TrainingError: HTTPStatus.INTERNAL_SERVER_ERROR,
    RequestDataTooBig: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    SuspiciousOperation: HTTPStatus.BAD_REQUEST,
    UnreadablePostError: HTTPStatus.BAD_REQUEST,
}

# What Django itself answers, outside any API view.
SENTENCES = {
    HTTPStatus.BAD_REQUEST: "The request is not acceptable: its Host header, address or body is malformed.",
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An unexpected error occurred. It was logged.",
}


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """The answer to an error that a view raised; None for a bug, which Django logs and answers with 500."""
    api_exception = as_api_exception(_unavailable(exc) or exc)
    response = views.exception_handler(api_exception, context)
    if response is None:
        return None
    if isinstance(api_exception, exceptions.ValidationError):
        sentence, errors = INVALID, _bounded(sentences(api_exception.detail))
    else:
        sentence, errors = str(response.data["detail"]), None
    response.data = _in_form(context.get("view"), response.status_code, sentence, errors)
    _render_as_json(context.get("request"))
    if isinstance(exc, SessionActiveError):
        response.data["is_training"] = True
    return response


def _render_as_json(request: Request | None) -> None:
    """Have the answer rendered as JSON, also of a view that answers something else."""
    renderer = getattr(request, "accepted_renderer", None)
    if request is not None and renderer is not None and renderer.media_type != JSONRenderer.media_type:
        request.accepted_renderer, request.accepted_media_type = JSONRenderer(), JSONRenderer.media_type


def as_api_exception(exc: Exception) -> Exception:
    """The domain's and Django's own errors as REST framework's; any other one unchanged."""
    if isinstance(exc, InvalidRecordsError):
        return exceptions.ValidationError(exc.errors)
    for kind, status in STATUS.items():
        if isinstance(exc, kind):
            translated = exceptions.APIException(str(exc))
            translated.status_code = status
            if status == HTTPStatus.SERVICE_UNAVAILABLE:
                translated.wait = outages.RETRY_AFTER  # type: ignore[attr-defined]  # the header Retry-After
            return translated
    return exc


def sentences(detail: Any, prefix: str = "") -> Iterator[str]:
    """A nested ValidationError detail, flat: `field: message`, `Record 2: field: message` within a list."""
    if isinstance(detail, dict):
        for name, inner in detail.items():
            label = "" if name == api_settings.NON_FIELD_ERRORS_KEY else f"{name}: "
            yield from sentences(inner, prefix + label)
    elif isinstance(detail, list):
        for number, inner in enumerate(detail, start=1):
            label = f"Record {number}: " if isinstance(inner, dict | list) else ""
            yield from sentences(inner, prefix + label)
    else:
        yield prefix + str(detail)


def error_response(request: HttpRequest, status: HTTPStatus, sentence: str) -> JsonResponse:
    """Return a refusal that comes before the view, in the form of the view that the address leads to."""
    view = getattr(getattr(request.resolver_match, "func", None), "cls", None)
    return JsonResponse(_in_form(view, status, sentence, None), status=status)


def errors_in_form(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware, the outermost: what Django itself refuses is answered in the form too.

    Unknown addresses, a bad Host, failed CSRF checks, bugs: JSON everywhere but in the admin, with
    DEBUG as without. Bugs are still logged with their traceback.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code < 400 or request.path_info.startswith("/admin/") or _is_json(response):
            return response
        return _rewritten(request, response)

    return middleware


# --- Without the database ------------------------------------------------------------------------


def refuse_without_database(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware, outside of all that asks the database: 503 while that is unavailable, as JSON or a page.

    What fails in a view, in a middleware within or in rendering is a 500 of Django's by the time it comes out
    here; `mark_unavailable` has noted why. While the database is known to be away it is not asked at all, but
    by views that `answers_without_database`.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if outages.is_away() and _needs_database(request):
            return _refused(request, DatabaseUnavailableError())
        with outages.answering_within(settings.DATABASE_PATIENCE or None):
            response = get_response(request)
        error = getattr(request, "database_unavailable", None) or _begin_streaming(response)
        return _refused(request, error) if error is not None else response

    return middleware


def _begin_streaming(response: HttpResponseBase) -> DatabaseUnavailableError | None:
    """Make the first part of a long answer, while it can still be refused; what makes that impossible."""
    if type(response) is not StreamingHttpResponse:
        return None
    parts = iter(response)
    try:
        first = list(islice(parts, 1))
    except (Error, DatabaseUnavailableError) as error:
        if (unavailable := _unavailable(error)) is None:
            raise
        return unavailable
    response.streaming_content = chain(first, parts)
    return None


def mark_unavailable(*, request: HttpRequest | None = None, **_: object) -> None:
    """Note on the request that the database was the reason: receiver of `got_request_exception`."""
    if request is not None and (error := _unavailable(sys.exc_info()[1])) is not None:
        request.database_unavailable = error  # type: ignore[attr-defined]


def _unavailable(error: BaseException | None) -> DatabaseUnavailableError | None:
    """The error as the domain's, if it says that the database is unavailable; its text is logged."""
    if error is None or (kind := outages.report(error)) is None:
        return None
    if not isinstance(error, DatabaseUnavailableError):
        logger.warning("%s (%s)", kind.value, " ".join(str(error).split()))
    return DatabaseUnavailableError(kind)


def _needs_database(request: HttpRequest) -> bool:
    try:
        view = resolve(request.path_info).func
    except Resolver404:
        return False
    return not getattr(getattr(view, "cls", None), "answers_without_database", False)


def _refused(request: HttpRequest, error: DatabaseUnavailableError) -> HttpResponseBase:
    status = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": str(outages.RETRY_AFTER), "Cache-Control": "no-store"}
    if request.path.startswith("/admin/"):
        with translation.override(translation.get_language_from_request(request)):
            response: HttpResponseBase = render(request, "unavailable.html", status=status)
    else:
        view = getattr(getattr(request.resolver_match, "func", None), "cls", None)
        response = JsonResponse(_in_form(view, status, str(error), None), status=status)
    for name, value in headers.items():
        response[name] = value
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001  # with its reason, by us
    return response


# --- The form ------------------------------------------------------------------------------------


def _rewritten(request: HttpRequest, response: HttpResponseBase) -> JsonResponse:
    status = response.status_code
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # as REST framework's views say it
        sentence = f'Method "{request.method}" not allowed.'
    else:
        sentence = SENTENCES.get(HTTPStatus(status), f"{HTTPStatus(status).phrase}.")
    rewritten = error_response(request, HTTPStatus(status), sentence)
    for name, value in response.items():
        if name not in {"Content-Type", "Content-Length"}:
            rewritten[name] = value
    rewritten["Content-Length"] = str(len(rewritten.content))
    rewritten.cookies = response.cookies
    # Django's own mark of a bug that it logged with its traceback: not once more without.
    rewritten._has_been_logged = getattr(response, "_has_been_logged", False)  # type: ignore[attr-defined]  # noqa: SLF001  # as above
    return rewritten


def _in_form(view: object, status: int, sentence: str, errors: list[str] | None) -> dict[str, Any]:
    body: dict[str, Any] = {"success": False, "error": _printable(sentence)}
    if getattr(view, "error_form", "guide") == "older":
        body = {"error": HTTPStatus(status).phrase, "message": _printable(sentence)}
    if errors is not None:
        body["validation_errors"] = [_printable(error) for error in errors]
    return body


def _bounded(errors: Iterator[str]) -> list[str]:
    """The first errors, and how many there are besides."""
    first = list(islice(errors, MAX_ERRORS))
    more = sum(1 for _ in errors)
    return [*first, f"… and {more:,} more errors."] if more else first


def _is_json(response: HttpResponseBase) -> bool:
    return "json" in response.headers.get("Content-Type", "")


def _printable(text: str) -> str:
    """Client text may be echoed: a lone surrogate cannot be encoded, so it is shown as its escape."""
    text = text if len(text) <= MAX_SENTENCE else f"{text[:MAX_SENTENCE]}…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
