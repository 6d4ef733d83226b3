"""What the database alone can say: its clock, which all nodes share, and which database it is."""

import math
import time
from datetime import UTC, datetime

from django.db import connection
from django.utils import timezone

FRESH = 60.0  # seconds for which the difference between the clocks is known


class _Clock:
    """What this process knows of PostgreSQL's clock: how far it is ahead of its own steady one."""

    ahead = 0.0  # seconds
    read_at = -math.inf  # by the steady clock


def database_now() -> datetime:
    """Return the moment by the database's clock; SQLite's is this machine's.

    Moments that one node writes and another one compares are of this clock: the nodes' own may differ. It is
    asked once a minute; in between goes this machine's steady clock, which nobody sets.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    if _steady() - _Clock.read_at > FRESH:
        _read_clock()
    return datetime.fromtimestamp(_steady() + _Clock.ahead, UTC)


def _read_clock() -> None:
    asked = _steady()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    _Clock.read_at = _steady()
    _Clock.ahead = moment.timestamp() - (asked + _Clock.read_at) / 2


def _steady() -> float:
    """Return seconds that go on while the machine sleeps, where the system has such a clock."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def database_identity() -> str:
    """Return what tells this database from a copy of it; empty where nothing does.

    On PostgreSQL the cluster's number and the database's in it, as far as the role may read them: a dump that
    is restored elsewhere has others, a standby that takes over has the same. A SQLite file has nothing.
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')")
        if not cursor.fetchone()[0]:
            return ""
        cursor.execute(
            "SELECT system_identifier, oid FROM pg_control_system(), pg_database"
            " WHERE datname = current_database()"
        )
        system, database = cursor.fetchone()
    return f"postgresql:{system}:{database}"
