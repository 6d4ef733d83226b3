"""Redis as the cache of all nodes; while it does not answer, each process remembers for itself.

What is cached may be lost at any moment, so nothing waits for Redis: an error is logged, told by GET /health
(`problem`), and for RETRY_AFTER seconds the process does not ask again. Values are signed, since they are
pickles: who can write to Redis cannot run code here.
"""

import hmac
import logging
import pickle
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from django.conf import settings
from django.core.cache import cache
from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache

logger = logging.getLogger(__name__)

RETRY_AFTER = 5.0  # seconds
DIGEST = 32  # bytes

T = TypeVar("T")


class NotOursError(ValueError):
    """What was read is not what a node with this SECRET_KEY wrote."""


class SignedSerializer:
    """Pickles with an HMAC before them, verified before anything is unpickled; Redis counts whole numbers."""

    def dumps(self, value: object) -> bytes | int:
        if type(value) is int:
            return value
        content = pickle.dumps(value)
        return _digest(content) + content

    def loads(self, stored: bytes) -> Any:
        """Raises NotOursError."""
        if stored.isdigit():
            return int(stored)
        digest, content = stored[:DIGEST], stored[DIGEST:]
        if not hmac.compare_digest(digest, _digest(content)):
            raise NotOursError("A value in Redis is not signed with this SECRET_KEY: it is not used.")
        return pickle.loads(content)


class SharedCache(RedisCache):
    """Nothing fails for want of Redis: get, set, add, incr and delete; the product uses nothing else."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._own = LocMemCache("shared", params)

    def get(self, key: Any, default: Any = None, version: int | None = None) -> Any:
        return _reached(
            lambda: super(SharedCache, self).get(key, default, version),
            otherwise=lambda: self._own.get(key, default, version),
        )

    def set(
        self, key: Any, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> None:
        _reached(
            lambda: super(SharedCache, self).set(key, value, timeout, version),
            otherwise=lambda: self._own.set(key, value, timeout, version),
        )

    def add(
        self, key: Any, value: Any, timeout: float | None = DEFAULT_TIMEOUT, version: int | None = None
    ) -> bool:
        return _reached(
            lambda: super(SharedCache, self).add(key, value, timeout, version),
            otherwise=lambda: self._own.add(key, value, timeout, version),
        )

    def incr(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """ValueError when there is no such key, as Django's caches have it."""
        return _reached(
            lambda: super(SharedCache, self).incr(key, delta, version),
            otherwise=lambda: self._own.incr(key, delta, version),
        )

    def delete(self, key: Any, version: int | None = None) -> bool:
        return _reached(
            lambda: super(SharedCache, self).delete(key, version),
            otherwise=lambda: self._own.delete(key, version),
        )


class _Circuit:
    """What this process knows of Redis: the last error, and until when not to ask again."""

    problem = ""
    closed_until = 0.0


def problem() -> str:
    """Return why this process cannot use Redis just now; empty when it can, or none is configured.

    Whoever asks tries it again once the pause after the last error is over: nobody else may.
    """
    if _Circuit.problem:
        cache.get("probe")
    return _Circuit.problem


def _reached(ask: Callable[[], T], *, otherwise: Callable[[], T]) -> T:
    if time.monotonic() < _Circuit.closed_until:
        return otherwise()
    try:
        answer = ask()
    except NotOursError as error:
        logger.warning("%s", error)
        return otherwise()
    except redis.RedisError as error:
        if not _Circuit.problem:
            logger.warning("Redis does not answer; this process remembers for itself: %s", error)
        _Circuit.problem = "Redis does not answer: each process counts requests for itself."
        _Circuit.closed_until = time.monotonic() + RETRY_AFTER
        return otherwise()
    if _Circuit.problem:
        logger.info("Redis answers again")
        _Circuit.problem = ""
    return answer


def _digest(content: bytes) -> bytes:
    return hmac.digest(f"{__name__}:{settings.SECRET_KEY}".encode(), content, "sha256")
