"""What the database alone can say: its clock, which all nodes share, and which database it is."""

from datetime import datetime

from django.db import connection
from django.utils import timezone


def database_now() -> datetime:
    """Return the moment by the database's clock; SQLite's is this machine's.

    Moments that one node writes and another one compares are of this clock: the nodes' own may differ.
    """
    if connection.vendor != "postgresql":
        return timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


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
