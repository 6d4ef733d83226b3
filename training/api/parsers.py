"""Request bodies: JSON only, of bounded size and depth."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import IO, Any

from django.conf import settings
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import BaseParser

from training.rules import LONE_SURROGATE

MAX_DEPTH = 50
SHOWN = 40  # characters of a name that an error echoes
MAX_DIGITS = 300  # a longer whole number is beyond any float: it is read as infinity


class BodyTooLarge(APIException):
    status_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"


class BoundedJSONParser(BaseParser):
    """JSON in UTF-8, at most settings.REQUEST_BODY_LIMIT bytes and MAX_DEPTH levels.

    NaN and Infinity are let through as floats, so that validation can name their record.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        value = _decode(_read(stream, parser_context or {}))
        if _is_too_deep(value):
            raise ParseError(f"The JSON is nested too deeply: at most {MAX_DEPTH} levels.")
        return value


def _read(stream: IO[Any], parser_context: Mapping[str, Any]) -> bytes:
    """The body; what is announced as too large is refused before it is read."""
    limit = settings.REQUEST_BODY_LIMIT
    request = parser_context.get("request")
    announced = int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
    body: bytes = stream.read(limit + 1) if announced <= limit else b""
    if max(announced, len(body)) > limit:
        raise BodyTooLarge(f"The request body is too large: at most {limit:,} bytes.")
    return body


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
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
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
