import json
from typing import Any

import orjson
import pytest
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.renderers import JSONRenderer

from predictions.renderers import PART, FastJSONRenderer

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=20)


@given(values)
def test_says_what_the_plain_renderer_says(value: Any) -> None:
    assert json.loads(FastJSONRenderer().render([value])) == json.loads(JSONRenderer().render([value]))


@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ({"a": [1, 2.5]}, "application/json; indent=4"),
        ({"anomaly_id": 10**30, "é": "Ω"}, "application/json"),
        (None, "application/json"),
        ((gettext_lazy("Predictions"), 1), "application/json"),
        ({"a": {"b": ["œ", None, True, 0.25]}}, "application/json"),
    ],
)
def test_writes_the_same_bytes(value: Any, accepted: str) -> None:
    assert FastJSONRenderer().render(value, accepted) == JSONRenderer().render(value, accepted)


def test_what_nobody_can_write_is_refused_as_before() -> None:
    with pytest.raises(UnicodeEncodeError):
        FastJSONRenderer().render("\ud800")


@pytest.mark.parametrize("count", [0, 1, PART, PART + 1])
@pytest.mark.parametrize("accepted", ["application/json", "application/json; indent=4"])
def test_an_iterator_is_written_as_its_list(count: int, accepted: str) -> None:
    values = [{"id": number, "é": None} for number in range(count)]
    rendered = FastJSONRenderer().render({"results": iter(values), "n": 1}, accepted)
    assert rendered == JSONRenderer().render({"results": values, "n": 1}, accepted)


def test_an_iterator_may_hold_what_only_the_plain_renderer_writes() -> None:
    values = [1, 10**30, "x"]
    assert FastJSONRenderer().render({"results": iter(values)}) == JSONRenderer().render({"results": values})


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ({"results": iter(["\ud800"])}, UnicodeEncodeError),
        ({"results": iter([1]), "n": 10**30}, orjson.JSONEncodeError),
        ({"results": (1 // n for n in (1, 0))}, ZeroDivisionError),
    ],
)
def test_an_iterator_that_cannot_be_written_is_not_written_short(data: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        FastJSONRenderer().render(data)
