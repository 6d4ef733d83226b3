"""How much of a long table one run of the tests tries: an even share, or with EXHAUSTIVE=1 the whole."""

import os
from collections.abc import Sequence
from typing import TypeVar

import pytest
from django.db import connection

T = TypeVar("T")
EXHAUSTIVE = os.environ.get("EXHAUSTIVE", "") not in {"", "0"}

# What does not depend on the database, and takes long.
on_sqlite_alone = pytest.mark.skipif(connection.vendor != "sqlite", reason="any database does, so one")


def turn() -> int:
    """Return 1 on PostgreSQL, else 0: so the two databases can take different shares."""
    return int(connection.vendor == "postgresql")


def share(items: Sequence[T], *, of: int, turn: int) -> Sequence[T]:
    """Return every `of`-th item, beginning with that of the turn; all when everything is to be tried."""
    return items if EXHAUSTIVE else items[turn % of :: of]
