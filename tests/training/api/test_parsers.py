import json
from typing import Any

import pytest
from django.test import RequestFactory
from pytest_django import Settings
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

Answer = tuple[int, Any]


class Echo(APIView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request: Request) -> Response:
        return Response({"type": type(request.data).__name__, "shown": repr(request.data)[:60]})


def post(body: bytes | str, content_type: str = "application/json", **headers: Any) -> Answer:
    request = RequestFactory().generic("POST", "/", body, content_type, **headers)
    response = Echo.as_view()(request)
    response.render()
    return response.status_code, json.loads(response.content)


def refused(status: int, sentence: str) -> Answer:
    return status, {"success": False, "error": sentence}


def accepted(kind: str, shown: str) -> Answer:
    return 200, {"type": kind, "shown": shown}


@pytest.mark.parametrize(
    "content_type", ["application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"]
)
def test_json_is_read(content_type: str) -> None:
    assert post('[{"a": "é"}, 1.5]', content_type) == accepted("list", "[{'a': 'é'}, 1.5]")


def test_a_byte_order_mark_is_overlooked() -> None:
    assert post(b"\xef\xbb\xbf[1]") == accepted("list", "[1]")


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    assert post("[]", content_type) == refused(415, f'Unsupported media type "{content_type}" in request.')


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (" ", "Expecting value: line 1 column 2 (char 1)"),
        ("[1, 2", "Expecting ',' delimiter: line 1 column 6 (char 5)"),
        ('[\n {"a": }]', "Expecting value: line 2 column 8 (char 9)"),
        ("[1] [2]", "Extra data: line 1 column 5 (char 4)"),
        ('["\t"]', "Invalid control character at: line 1 column 3 (char 2)"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_broken_json_is_refused_with_its_place(body: str, reason: str) -> None:
    assert post(body) == refused(400, f"The request body is not JSON: {reason}.")


@pytest.mark.parametrize("body", ['{"a": 1, "b": 2, "a": 1}', '[{"x": {"a": {}, "a": []}}]'])
def test_a_name_that_stands_twice_is_refused(body: str) -> None:
    assert post(body) == refused(400, "The JSON names 'a' twice in one object.")


def test_another_encoding_is_refused() -> None:
    assert post('["é"]'.encode("latin-1")) == refused(400, "The request body is not UTF-8: see byte 2.")
    assert post("[1]".encode("utf-16")) == refused(400, "The request body is not UTF-8: see byte 0.")


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_fifty_levels_are_read_and_no_more(opening: str, closing: str) -> None:
    status, _ = post(opening * 50 + "1" + closing * 50)
    assert status == 200
    for levels in (51, 900, 100_000):
        nested = opening * levels + "1" + closing * levels
        assert post(nested) == refused(400, "The JSON is nested too deeply: at most 50 levels.")


def test_unfinished_deep_nesting_is_refused() -> None:
    assert post("[" * 100_000) == refused(400, "The JSON is nested too deeply: at most 50 levels.")


def test_a_large_body_is_refused(settings: Settings) -> None:
    settings.REQUEST_BODY_LIMIT = 10
    too_large = refused(413, "The request body is too large: at most 10 bytes.")
    assert post("[" + "1" * 8 + "]") == accepted("list", "[11111111]")
    assert post("[" + "1" * 9 + "]") == too_large


def test_what_is_announced_as_too_large_is_not_read(settings: Settings) -> None:
    settings.REQUEST_BODY_LIMIT = 10
    answer = post("[1]", CONTENT_LENGTH="11")
    assert answer == refused(413, "The request body is too large: at most 10 bytes.")


def test_what_is_larger_than_announced_is_cut_off(settings: Settings) -> None:
    settings.REQUEST_BODY_LIMIT = 10
    status, _ = post("[1]" + " " * 50, CONTENT_LENGTH="3")
    assert status == 200


@pytest.mark.parametrize(
    ("body", "shown"),
    [("[NaN]", "[nan]"), ("[Infinity]", "[inf]"), ("[-Infinity]", "[-inf]"), ("[1e999]", "[inf]")],
)
def test_numbers_that_are_not_finite_reach_validation(body: str, shown: str) -> None:
    assert post(body) == accepted("list", shown)


def test_huge_whole_numbers_are_read_as_infinite() -> None:
    assert post("[" + "9" * 300 + "]") == accepted("list", "[" + "9" * 59)
    assert post("[" + "9" * 10_000 + "]") == accepted("list", "[inf]")
    assert post("[-" + "9" * 10_000 + "]") == accepted("list", "[-inf]")
