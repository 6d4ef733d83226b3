"""Counts for the start page: by the database, of bounded stretches, many with one query."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any, TypeVar

from django.core.cache import cache
from django.db import connection
from django.db.models import IntegerField, Model, Q, QuerySet
from django.db.models.expressions import RawSQL
from django.utils import timezone

from training.admin.long_lists import AtLeast

MOST = 20_000  # rows that one number counts: to count a million takes longer than to show the page
LONG = 10_000  # what counts more rows than these is remembered for REMEMBERED seconds
REMEMBERED = 60
MONTHS = 12

Found = TypeVar("Found")


def remembered(name: str, count: Callable[[], Found], size: Callable[[Found], int]) -> Found:
    """What `count` finds, or what it found within the last minute if that was LONG by its `size`."""
    found: Found | None = cache.get(name)
    if found is None:
        found = count()
        if size(found) > LONG:
            cache.set(name, found, REMEMBERED)
    return found


def count_up_to(counted: Mapping[Any, "QuerySet[Any]"]) -> dict[Any, int]:
    """How many rows each of them has, in one query; AtLeast MOST where there are more."""
    parts: list[str] = []
    parameters: list[Any] = []
    for rows in counted.values():
        sql, values = rows.order_by().values("pk")[: MOST + 1].query.sql_with_params()
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) AS counted)")  # noqa: S608  # Django's own statement
        parameters += values
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(parts)}", parameters)
        found = cursor.fetchone()
    return {
        name: AtLeast(MOST) if count > MOST else count for name, count in zip(counted, found, strict=True)
    }


def count_between(
    rows: "QuerySet[Any]", field: str, moments: Sequence[datetime], parts: Mapping[str, Q]
) -> dict[str, list[int]]:
    """Of each part, how many rows have `field` from one of the moments on and before the next; one query.

    Each count is a look at a stretch of an index that has what the part's condition asks, and then `field`.
    """
    column = _column(rows.model, field)
    table = column.rpartition(".")[0]
    selected, parameters = [], []
    for condition in parts.values():
        query = rows.filter(condition).query
        where, values = query.get_compiler(connection.alias).compile(query.where)
        selected.append(
            f"(SELECT COUNT(*) FROM {table} WHERE {where} AND {column} >= stretch.start "  # noqa: S608
            f"AND {column} < stretch.stop)"
        )
        parameters += values
    stretches = list(pairwise(_adapted(moments)))
    given = ", ".join(["(%s, %s)"] * len(stretches))
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH stretch (start, stop) AS (VALUES {given}) "  # noqa: S608
            f"SELECT {', '.join(selected)} FROM stretch ORDER BY stretch.start",
            [*(moment for stretch in stretches for moment in stretch), *parameters],
        )
        found = cursor.fetchall()
    return {name: [row[n] for row in found] for n, name in enumerate(parts)}


def month_starts(now: datetime | None = None, count: int = MONTHS) -> list[datetime]:
    """The first moments of the last `count` months, this one included, and of the next one."""
    today = timezone.localtime(now).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    this = 12 * today.year + today.month - 1
    return [today.replace(year=n // 12, month=n % 12 + 1) for n in range(this - count + 1, this + 2)]


def stretch_of(model: type[Model], field: str, moments: Sequence[datetime]) -> RawSQL:
    """Which of the stretches between the moments `field` lies in, from 0; -1 before the first of them.

    As SQL, because Django takes milliseconds to put a Case of so many Whens into words.
    """
    column = _column(model, field)
    cases = " ".join(f"WHEN {column} >= %s THEN {n}" for n in reversed(range(len(moments))))
    return RawSQL(  # noqa: S611  # our own names, and numbers
        f"CASE {cases} ELSE -1 END", list(reversed(_adapted(moments))), output_field=IntegerField()
    )


def _column(model: type[Model], field: str) -> str:
    meta, quote = model._meta, connection.ops.quote_name  # noqa: SLF001  # Django documents _meta
    columns = {each.name: str(each.column) for each in meta.concrete_fields}
    return f"{quote(meta.db_table)}.{quote(columns[field])}"


def _adapted(moments: Sequence[datetime]) -> list[Any]:
    return [connection.ops.adapt_datetimefield_value(moment) for moment in moments]


def between(field: str, start: datetime, stop: datetime) -> dict[str, str]:
    """The same stretch for an address of a list."""
    return {f"{field}__gte": start.isoformat(), f"{field}__lt": stop.isoformat()}
