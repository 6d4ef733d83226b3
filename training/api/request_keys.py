"""The Idempotency-Key header: a client's name for its request, so that nothing is done twice."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ParseError
from rest_framework.request import Request

from training.idempotency import RequestKey

HEADER = "Idempotency-Key"
VISIBLE = re.compile("[!-~]{1,255}")

PARAMETER = OpenApiParameter(
    HEADER,
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    OpenApiParameter.HEADER,
    description="Another one for each request, a UUID say: sent again, a request leads to what it began.",
)
TAKEN = "The Idempotency-Key was sent with another request before. Nothing was stored."


def request_key_of(request: Request, asked: Callable[[], Any] = lambda: None) -> RequestKey | None:
    """What the request calls itself; None when it has no name. `asked` tells what it asks for, in JSON.

    Raises ParseError when the name is none.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return None
    if not VISIBLE.fullmatch(key):
        raise ParseError(f"{HEADER} must be 1 to 255 visible ASCII characters.")
    return RequestKey(key=key, digest=sha256(json.dumps(asked(), sort_keys=True).encode()).hexdigest())
