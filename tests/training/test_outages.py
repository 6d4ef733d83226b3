"""Which errors say that the database is unavailable: made for real, by the database of the test."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import (
    DatabaseError,
    Error,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    connection,
    connections,
)
from django.db.utils import load_backend

from tests.factories import AnomalyFactory
from tests.proxies import proxy
from tests.test_keep import free_port
from training import outages
from training.models import Anomaly
from training.outages import DatabaseUnavailableError, Kind, kind_of

pytestmark = pytest.mark.django_db
SQLITE = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own")
POSTGRESQL = pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL's own")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def postgresql(state: str) -> Exception:
    """As Django raises what PostgreSQL refused with that SQLSTATE."""
    return caused(OperationalError("refused"), psycopg.errors.lookup(state)("refused"))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OperationalError("connection refused"), Kind.AWAY),
        (InterfaceError("connection already closed"), Kind.AWAY),
        (outages.DatabaseUnavailableError(Kind.FULL), Kind.FULL),
        (postgresql("57P01"), Kind.AWAY),  # terminated by an administrator
        (postgresql("57P03"), Kind.AWAY),  # starting up
        (postgresql("53300"), Kind.AWAY),  # too many connections
        (postgresql("53100"), Kind.FULL),
        (postgresql("25006"), Kind.READ_ONLY),
        (postgresql("40P01"), Kind.BUSY),  # a deadlock
        (postgresql("55P03"), Kind.BUSY),
        (postgresql("22003"), None),  # a number out of range
        (postgresql("42P01"), None),  # no such table
        (IntegrityError("twice"), None),
        (DatabaseError("no row was changed"), None),
        (ProgrammingError("no such column"), None),
        (ValueError("the server closed the connection"), None),
        (None, None),
    ],
    ids=repr,
)
def test_what_an_error_says(error: Exception | None, kind: Kind | None) -> None:
    assert kind_of(error) is kind


# --- SQLite ------------------------------------------------------------------------------------


def raised(act: Callable[[Any], object], path: Path, **options: Any) -> Error:
    """What Django's backend raises on that file."""
    database = connection.settings_dict | {"NAME": str(path), "OPTIONS": options}
    other = load_backend("django.db.backends.sqlite3").DatabaseWrapper(database)
    try:
        with pytest.raises(Error) as found, other.cursor() as cursor:
            act(cursor)
    finally:
        other.close()
    return found.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "db.sqlite3"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE numbers (n INTEGER)")
    made.close()
    return path


def insert(cursor: Any) -> None:
    cursor.execute("INSERT INTO numbers VALUES (1)")


def test_a_file_that_another_process_locked_is_busy(file: Path) -> None:
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    assert kind_of(raised(insert, file, timeout=0.01)) is Kind.BUSY
    other.close()


def test_a_file_that_cannot_be_opened_or_is_no_database_is_away(file: Path, tmp_path: Path) -> None:
    assert kind_of(raised(insert, tmp_path / "nowhere" / "db.sqlite3")) is Kind.AWAY
    file.write_bytes(b"This is a letter, and not a database. " * 100)
    assert kind_of(raised(insert, file)) is Kind.AWAY


def test_a_file_that_cannot_be_written_is_read_only(file: Path) -> None:
    def write(cursor: Any) -> None:
        cursor.execute("PRAGMA query_only = 1")
        insert(cursor)

    assert kind_of(raised(write, file)) is Kind.READ_ONLY


def test_a_full_file_is_full(file: Path) -> None:
    def fill(cursor: Any) -> None:
        cursor.execute("PRAGMA max_page_count = 2")
        cursor.execute("CREATE TABLE more (n)")

    assert kind_of(raised(fill, file)) is Kind.FULL


@pytest.mark.parametrize(
    "statement",
    ["SELECT * FROM nothing", "SELECT", f"SELECT {','.join('1' * 40_000)}"],
    ids=["no table", "no syntax", "too long"],
)
def test_a_statement_that_is_wrong_is_a_bug(file: Path, statement: str) -> None:
    assert kind_of(raised(lambda cursor: cursor.execute(statement), file)) is None


@SQLITE
@pytest.mark.django_db(transaction=True)
def test_readers_go_on_while_another_process_writes() -> None:
    AnomalyFactory.create()
    other = sqlite3.connect(str(connection.settings_dict["NAME"]))
    other.execute("BEGIN IMMEDIATE")
    assert Anomaly.objects.count() == 1
    other.close()


# --- PostgreSQL --------------------------------------------------------------------------------


def reached(**changes: Any) -> Any:
    """A connection of Django's own, with other settings."""
    database = connection.settings_dict | changes
    return load_backend("django.db.backends.postgresql").DatabaseWrapper(database)


@POSTGRESQL
class TestPostgreSQL:
    def test_a_server_that_refuses_is_away(self) -> None:
        with pytest.raises(Error) as found:
            reached(PORT=free_port()).ensure_connection()
        assert kind_of(found.value) is Kind.AWAY

    def test_a_database_that_is_missing_is_away(self) -> None:
        with pytest.raises(Error) as found:
            reached(NAME="never_made").ensure_connection()
        assert kind_of(found.value) is Kind.AWAY

    def test_a_server_that_says_nothing_is_not_waited_for(self) -> None:
        database = connection.settings_dict
        with proxy(database["HOST"], int(database["PORT"])) as between:
            other = reached(PORT=between.port)
            with other.cursor() as cursor:
                between.silence()
                with pytest.raises(outages.DatabaseUnavailableError), outages.answering_within(0.1):
                    cursor.execute("SELECT 1")
            assert not other.is_usable()
            other.close()

    def test_whoever_does_not_say_so_waits_as_long_as_it_takes(self) -> None:
        with outages.answering_within(0.1), outages.answering_within(None), connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")

    def test_an_answer_that_was_long_in_coming_tells_that_it_was_away(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A server that fell silent and goes on raised no error; what others write is late all the same."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(0.3)")
            assert not outages.was_unavailable_within(60)
            monkeypatch.setattr(outages, "LONG", 0.2)
            cursor.execute("SELECT pg_sleep(0.3)")
            assert outages.was_unavailable_within(60)


# --- Whether it is away ------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_one_thread_asks_until_it_answers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answers: list[str | None] = ["refused", "refused", None]
    was_away, threads = [], set()

    def probe() -> str | None:
        was_away.append(outages.is_away())
        threads.add(threading.current_thread())
        return answers.pop(0)

    monkeypatch.undo()  # the threads that the other tests do without
    monkeypatch.setattr(outages, "probe", probe)
    monkeypatch.setattr(outages, "PROBE_EVERY", 0.01)
    outages.report(OperationalError("gone"))
    outages.report(OperationalError("gone"))
    for thread in threads | {t for t in threading.enumerate() if t.name == "database probe"}:
        thread.join(10)
    assert (was_away, outages.is_away(), len(threads)) == ([False, True, True], False, 1)
    assert [record.getMessage() for record in caplog.records] == [
        "The database does not answer: refused",
        "The database answers again, after 0 s",
    ]


@pytest.mark.django_db(transaction=True)
def test_the_probe_asks_the_database() -> None:
    assert outages.probe() is None


@pytest.mark.django_db(transaction=True)
def test_the_probe_says_why_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OperationalError("starting up\n")

    with connection.execute_wrapper(refuse):
        assert outages.probe() == "starting up"
    connections.close_all()


def test_a_busy_or_full_database_is_not_away(monkeypatch: pytest.MonkeyPatch) -> None:
    suspected = []
    monkeypatch.setattr(outages, "suspect", lambda: suspected.append(1))
    assert outages.report(postgresql("53100")) is Kind.FULL
    assert outages.report(ValueError()) is None
    assert suspected == []
    outages.report(postgresql("57P01"))
    assert suspected == [1]


def test_what_is_tried_again_and_again_is_logged_when_it_begins_and_ends_to_fail(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a database that is away the probe tells, and nobody else."""
    caplog.set_level(logging.INFO)
    failures = outages.FailureLog(logging.getLogger("loop"))
    failures.succeeded("It cannot be read")
    errors = (OperationalError("gone"), ValueError("two\nlines"), ValueError("another"), "for no error")
    for error in errors:
        failures.failed("It cannot be read", error)
    failures.failed("It cannot be written", "full")
    failures.succeeded("It cannot be read")
    failures.succeeded("It cannot be read")
    assert caplog.messages == [
        "It cannot be read: two lines",
        "It cannot be written: full",
        "No longer: It cannot be read",
    ]


def test_an_unavailable_database_is_one_line_for_all_that_ask_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    error = DatabaseUnavailableError(Kind.FULL)
    one, other = (outages.FailureLog(logging.getLogger(name)) for name in ("one", "other"))
    for _ in range(2):
        one.failed("One cannot be written", error)
        other.failed("Another cannot be written", error)
    one.succeeded("One cannot be written")
    other.succeeded("Another cannot be written")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("one", f"The database has no room left: {error}"),
        ("other", "No longer: The database has no room left"),
    ]
