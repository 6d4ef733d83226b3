"""Request bodies: JSON only, of bounded size, depth and number of values."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from training.rules import LONE_SURROGATE

MAX_DEPTH = 50
MAX_VALUES = 250_000  # of a body: 6,000 records of 40 fields; each takes up to 0.2 kB as an object
FORMS = {"application/x-www-form-urlencoded", "multipart/form-data"}
SHOWN = 40  # characters of a name that an error echoes
STRING_OR_VALUE = re.compile(rb'"[^"]*"|([\[{,])')
MAX_DIGITS = 300  # a longer whole number is beyond any float: it is read as infinity


class BodyTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class BoundedJSONParser(BaseParser):
    """JSON in UTF-8: at most settings.REQUEST_BODY_LIMIT bytes, MAX_VALUES values and MAX_DEPTH levels.

    A view that says `takes_records = False` takes at most settings.SMALL_BODY_LIMIT bytes.
    NaN and Infinity are let through as floats, so that validation can name their record.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        body = _read(stream, parser_context or {})
        _refuse_too_many_values(body)
        value = _decode(body)
        if _is_too_deep(value):
            raise ParseError(f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.")
        return value


def refuse_body(request: Request) -> None:
    """Raise ParseError when the request says anything; an empty object or form says nothing."""
    if request.stream is None:
        return
    asked = request._request  # noqa: SLF001  # DRF's own way to Django's request
    is_form = asked.content_type in FORMS
    if asked.POST or asked.FILES if is_form else request.data != {}:
        raise ParseError("This request takes no body.")


def _read(stream: IO[Any], parser_context: Mapping[str, Any]) -> bytes:
    """The body; what is announced as too large is refused before it is read."""
    takes_records = getattr(parser_context.get("view"), "takes_records", True)
    limit = settings.REQUEST_BODY_LIMIT if takes_records else settings.SMALL_BODY_LIMIT
    request = parser_context.get("request")
    announced = int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
    body: bytes = stream.read(limit + 1) if announced <= limit else b""
    if max(announced, len(body)) > limit:
        raise BodyTooLarge(f"The request body is too large: at most {limit:,} bytes.")
    return body


def _refuse_too_many_values(body: bytes) -> None:
    """Count what the body would become before it is decoded: `[{},{},…]` becomes thirty times as long.

    Every value but the first follows one of `[ { ,`. Bodies with fewer of these than MAX_VALUES, texts
    included, are counted no further; of the others, what stands in texts is left out.
    """
    if sum(body.count(opening) for opening in (b"[", b"{", b",")) < MAX_VALUES:
        return
    without_escapes = body.replace(rb"\\", b"").replace(rb"\"", b"")
    most = 3 * MAX_VALUES  # for each value its mark, its name and its text
    found = Counter(token.lastindex for token in islice(STRING_OR_VALUE.finditer(without_escapes), most))
    if found[1] >= MAX_VALUES or found.total() == most:
        raise BodyTooLarge(f"The JSON holds too many values: at most {MAX_VALUES:,}.")


def _decode(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"), parse_int=_whole_number, object_pairs_hook=_object)
    except UnicodeDecodeError as error:
        raise ParseError(f"The request body is not UTF-8: see byte {error.start}.") from error
    except json.JSONDecodeError as error:
        raise ParseError(f"The request body is not JSON: {error}.") from error
    except RecursionError as error:
        raise ParseError(f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object, if its names are text: no half characters, and each of them once.

    Of two values under one name the sender meant one, and nobody knows which.
    """
    found = dict(pairs)
    if not all(map(str.isascii, found)) and any(map(LONE_SURROGATE.search, found)):
        raise ParseError("A name in the JSON contains lone surrogates.")
    if len(found) < len(pairs):
        (twice, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ParseError(f"The JSON names {twice[:SHOWN]!r} twice in one object.")
    return found


def _whole_number(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


def _is_too_deep(value: Any) -> bool:
    level = _containers([value])
    for _ in range(MAX_DEPTH):
        level = _containers(
            child for node in level for child in (node.values() if isinstance(node, dict) else node)
        )
    return bool(level)


def _containers(values: Any) -> list[Any]:
    return [value for value in values if isinstance(value, dict | list)]
