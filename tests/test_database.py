"""How the database is asked, whichever it is."""

import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.db import connection
from pytest_django import Settings

from training.apps import keep_sqlite_private

pytestmark = pytest.mark.django_db


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite compiles nothing")
def test_postgresql_compiles_no_statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SHOW jit")
        assert cursor.fetchone() == ("off",)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has many writers")
def test_sqlite_writers_wait_and_lose_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous")
        assert cursor.fetchone() == (2,)  # FULL
        cursor.execute("PRAGMA busy_timeout")
        assert cursor.fetchone() == (20_000,)


@pytest.mark.parametrize(("debug", "mode"), [(False, 0o600), (True, 0o644)])
def test_in_production_only_the_owner_reads_sqlites_files(
    debug: bool, mode: int, tmp_path: Path, settings: Settings
) -> None:
    settings.DEBUG = debug
    names = [tmp_path / f"db.sqlite3{end}" for end in ("", "-wal", "-shm")]
    for path in names:
        path.touch(mode=0o644)
    keep_sqlite_private(SimpleNamespace(vendor="sqlite", settings_dict={"NAME": str(names[0])}))  # type: ignore[arg-type]
    assert [stat.S_IMODE(path.stat().st_mode) for path in names] == [mode] * 3
