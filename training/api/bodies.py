"""Request bodies, before any view reads them: not encoded, in UTF-8, and of a length that is known."""

import codecs
from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import Any

from django.conf import settings
from django.core.handlers.wsgi import LimitedStream
from django.http import HttpRequest, HttpResponseBase
from gunicorn.http.errors import ParseException

from training.api.errors import error_response

ASCII_SUPERSETS = {"utf-8", "ascii"}  # by codecs' names: what is written in them is read right as UTF-8
Answer = Callable[[HttpRequest], HttpResponseBase]


class BodiesMiddleware:
    """Refuse encoded bodies and other character sets; give a body that came in chunks its length.

    Django would read an encoded body as it is, and one without Content-Length as empty.
    """

    def __init__(self, get_response: Answer) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, _view: Any, _args: Any, _kwargs: Any
    ) -> HttpResponseBase | None:
        """Return the refusal, in the form of the view that was found."""
        if not has_body(request):
            return None
        if encoding := _encoding_of(request):
            sentence = f"{encoding} is not supported: send the body as it is."
            response = error_response(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
            response.headers["Accept-Encoding"] = "identity"
            return response
        if charset := _foreign_charset(request):
            sentence = f"The charset {charset[:40]!r} is not supported: send UTF-8."
            return error_response(request, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, sentence)
        return _receive_chunks(request) if is_chunked(request) else None


def has_body(request: HttpRequest) -> bool:
    return is_chunked(request) or request.META.get("CONTENT_LENGTH", "") not in {"", "0"}


def is_chunked(request: HttpRequest) -> bool:
    """Whether only the end of the body tells its length, and the web server finds that end."""
    return bool(
        request.META.get("HTTP_TRANSFER_ENCODING")
        and request.META.get("wsgi.input_terminated")
        and not request.META.get("CONTENT_LENGTH")
    )


def _receive_chunks(request: HttpRequest) -> HttpResponseBase | None:
    """Read the body, bounded, and let all others read it as one of known length."""
    limit = settings.REQUEST_BODY_LIMIT
    try:
        body = request.META["wsgi.input"].read(limit + 1)
    except (OSError, ParseException):
        return error_response(request, HTTPStatus.BAD_REQUEST, "The request body is not complete.")
    if len(body) > limit:
        sentence = f"A request body without Content-Length is too large: at most {limit:,} bytes."
        return error_response(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
    request.META["CONTENT_LENGTH"] = str(len(body))
    request._stream = LimitedStream(BytesIO(body), len(body))  # type: ignore[assignment]  # noqa: SLF001  # no other way to give it
    return None


def _encoding_of(request: HttpRequest) -> str:
    """Return the header and its value, if the body is encoded; of codings the server undoes chunks alone."""
    plain = {"Content-Encoding": {"", "identity"}, "Transfer-Encoding": {"", "identity", "chunked"}}
    for header, codings in plain.items():
        value = request.headers.get(header, "").strip()
        if {coding.strip().lower() for coding in value.split(",")} - codings:
            return f"{header} {value[:40]!r}"
    return ""


def _foreign_charset(request: HttpRequest) -> str:
    charset = (request.content_params or {}).get("charset", "")
    try:
        is_ours = not charset or codecs.lookup(charset).name in ASCII_SUPERSETS
    except (LookupError, ValueError):
        is_ours = False
    return "" if is_ours else charset
