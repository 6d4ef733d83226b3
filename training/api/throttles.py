"""The throttle of every view of the API. The counting is in `rates`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rest_framework.exceptions import Throttled
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from training.api.addresses import client_network
from training.api.rates import seconds_to_wait

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module


def charge(request: Request, **work: int) -> None:
    """Count the work that a request asks for, by scope, beside the request itself. Raises Throttled."""
    for scope, cost in work.items():
        if (wait := seconds_to_wait(scope, _caller(request), cost=cost)) is not None:
            raise Throttled(wait)


def charge_stored(request: Request, descriptions: Sequence[str]) -> None:
    """Count the records that a request brings to be stored, and their texts. Raises Throttled."""
    charge(request, write_records=len(descriptions), write_characters=sum(map(len, descriptions)))


class CallerThrottle(BaseThrottle):
    """Known callers are counted by who they are, others by where they are.

    A view may name its `throttle_scope`; otherwise reads and writes are counted apart.
    """

    def __init__(self) -> None:
        self._wait: int | None = None

    def allow_request(self, request: Request, view: "APIView") -> bool:
        scope = "read" if request.method in SAFE_METHODS else "write"
        self._wait = seconds_to_wait(getattr(view, "throttle_scope", scope), _caller(request))
        return self._wait is None

    def wait(self) -> float | None:
        return self._wait


def _caller(request: Request) -> str:
    if request.user.is_authenticated:
        return f"user-{request.user.pk}"
    return client_network(request._request)  # noqa: SLF001  # DRF's own way to Django's request
