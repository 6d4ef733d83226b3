"""A request that is sent again leads to what it began the first time, however the first answer was lost.

The name that a client gives its request is stored with the row that the request begins, in one transaction:
there is no moment at which the work exists and nobody knows whose it is. What failed or was cancelled is
over: the same request begins it anew. See draft-ietf-httpapi-idempotency-key-header.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db.models import QuerySet

from training.errors import KeyReusedError, TrainingError
from training.models.begun import IN_VAIN, BegunByRequest

Begun = TypeVar("Begun", bound=BegunByRequest)


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestKey:
    """What a client calls its request, and the SHA-256 of what it asks for."""

    key: str
    digest: str


def columns_of(request: RequestKey | None) -> dict[str, str]:
    """What the row that the request begins says of it."""
    return {"request_key": request.key, "request_digest": request.digest} if request else {}


def begin_once(
    *, rows: QuerySet[Begun], request: RequestKey | None, user: User | None, begin: Callable[[], Begun]
) -> Begun:
    """Return the row that the request began when it came before, or the one that `begin` makes now.

    Of requests that come at once, one begins and the others get its row. `begin` refuses those by some
    TrainingError, since the first check saw nothing yet: so it is asked again before they are refused.
    Raises what `begin` raises, and KeyReusedError.
    """
    if begun := begun_by(rows, request, user):
        return begun
    try:
        return begin()
    except TrainingError:
        if begun := begun_by(rows, request, user):
            return begun
        raise


def begun_by(rows: QuerySet[Begun], request: RequestKey | None, user: User | None) -> Begun | None:
    """What the request began when it came before. Raises KeyReusedError when that was another request."""
    if request is None:
        return None
    row = rows.filter(requested_by=user, request_key=request.key).exclude(status__in=IN_VAIN).first()
    if row is not None and row.request_digest != request.digest:
        raise KeyReusedError
    return row


def is_repeat(error: IntegrityError) -> bool:
    """Whether the same request, sent twice at a time, was stored by its twin a moment before."""
    return "request_key" in str(error)  # the column's name in SQLite, the constraint's in PostgreSQL
