"""Requests that the description calls for, and such as break it: made once, sent to every database.

Schemathesis makes them from the OpenAPI document, always the same ones for the same seed.
"""

import base64
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import requests
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode

Operation: TypeAlias = APIOperation[Any, Any, Any, Any]
AnyCase: TypeAlias = Case[Any]

MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
KEPT = {"content-type", "prefer", "accept"}
STRANGER = 12  # every so many-th request is made without the token that lets in
KNOWN = 4  # all but every so many-th request names a row that is there


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One request. `template` is the path of the description, into which `known` puts rows that are there."""

    method: str
    template: str
    url: str  # path and query
    headers: dict[str, str]
    body: str  # base64
    known: bool
    stranger: bool

    @property
    def content(self) -> bytes:
        return base64.b64decode(self.body)


def document() -> dict[str, Any]:
    """The description as a client reads it."""
    made: Any = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # untyped
    plain: dict[str, Any] = json.loads(json.dumps(made, default=str))
    return plain


def record(count: int, *, number: int = 1) -> list[Recorded]:
    """At least so many requests, shared out among all operations; `number` is the seed."""
    operations = _operations()
    each = math.ceil(count / len(operations) / len(MODES))
    made = [
        case for operation in operations for mode in MODES for case in _cases(operation, mode, each, number)
    ]
    if (
        short := count - len(made)
    ) > 0:  # some routes know one request only: those with a body make up for them
        rich = [operation for operation in operations if operation.body]
        more = math.ceil(short / max(len(rich), 1))
        made += [case for operation in rich for case in _cases(operation, MODES[1], more, number + 1)]
    return [_recorded(case, position) for position, case in enumerate(made)]


def _operations() -> list[Operation]:
    """Those of the description, all of which must make sense to Schemathesis."""
    found = list(schemathesis.openapi.from_dict(document()).get_all_operations())
    return [one.ok() for one in found]  # type: ignore[union-attr]  # an Err raises AttributeError, with its reason


def _cases(operation: Operation, mode: GenerationMode, count: int, number: int) -> list[AnyCase]:
    found: list[AnyCase] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def collect(case: AnyCase) -> None:
        found.append(case)

    try:
        collect()
    except Unsatisfiable:  # nothing can be wrong with a request that has no parts
        return []
    return found


def _recorded(case: AnyCase, position: int) -> Recorded:
    wire = case.as_transport_kwargs(base_url="http://testserver")
    parts = {
        name: wire[name] for name in ("method", "url", "params", "data", "json", "headers") if name in wire
    }
    prepared = requests.Request(**parts).prepare()
    body: Any = prepared.body or b""
    return Recorded(
        method=str(prepared.method),
        template=case.operation.path,
        url=str(prepared.path_url),
        headers={name: _text(value) for name, value in prepared.headers.items() if name.lower() in KEPT},
        body=base64.b64encode(body.encode() if isinstance(body, str) else body).decode(),
        known=bool(position % KNOWN),
        stranger=position % STRANGER == 0,
    )


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def write(path: Path, recorded: Iterable[Recorded]) -> None:
    path.write_text("".join(json.dumps(asdict(one)) + "\n" for one in recorded), encoding="utf-8")


def read(path: Path) -> Iterator[Recorded]:
    for line in path.read_text(encoding="utf-8").splitlines():
        yield Recorded(**json.loads(line))
