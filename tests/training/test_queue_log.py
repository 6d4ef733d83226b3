"""What the queue logs of a database that is away or takes nothing: a line when it begins, and one after."""

import logging
from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, ProgrammingError

from training import nodes
from training.management.commands.qcluster import ask_database

AWAY = psycopg.OperationalError("server closed the connection unexpectedly")
READ_ONLY = psycopg.errors.ReadOnlySqlTransaction("cannot execute UPDATE in a read-only transaction")
FULL = psycopg.errors.DiskFull("could not extend file")


@pytest.fixture(autouse=True)
def said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    monkeypatch.setattr("training.management.commands.qcluster.connection.close", lambda: None)
    caplog.set_level(logging.INFO, "training")
    return lambda: [record.getMessage() for record in caplog.records]


class Watch:
    """As the watch asks: it writes that it lives, and it reads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writing: Exception | None = None
        self.reading: Exception | None = None
        monkeypatch.setattr(nodes, "beat", self.beat)

    def look(self, times: int = 3) -> None:
        for _ in range(times):
            ask_database(nodes.beat, otherwise=None)
            ask_database(self.read, otherwise=None)

    def beat(self) -> None:
        fail(self.writing)

    def read(self) -> None:
        fail(self.reading)


def fail(cause: Exception | None) -> None:
    if cause is not None:
        raise OperationalError(str(cause)) from cause


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


@pytest.mark.parametrize(
    ("cause", "line"),
    [
        (READ_ONLY, f"The database cannot be written at the moment: {READ_ONLY}"),
        (FULL, f"The database has no room left: {FULL}"),
    ],
)
def test_a_database_that_takes_nothing(
    cause: Exception, line: str, watch: Watch, said: Callable[[], list[str]]
) -> None:
    """Reading goes well all the time."""
    watch.writing = cause
    watch.look()
    assert said() == [line]
    watch.writing = None
    watch.look()
    assert said() == [line, f"No longer: {line.partition(': ')[0]}"]


def test_a_database_that_is_away_and_comes_back_read_only(
    watch: Watch, said: Callable[[], list[str]]
) -> None:
    watch.writing = watch.reading = AWAY
    watch.look()
    watch.reading, watch.writing = None, READ_ONLY
    watch.look()
    watch.writing = None
    watch.look()
    assert said() == [
        f"The database cannot be written at the moment: {READ_ONLY}",
        "No longer: The database cannot be written at the moment",
    ]


def test_a_database_that_is_away(watch: Watch, said: Callable[[], list[str]]) -> None:
    """The probe has the lines (test_outages.py)."""
    watch.writing = watch.reading = AWAY
    watch.look()
    watch.writing = watch.reading = None
    watch.look()
    assert said() == []


def test_a_question_that_is_refused_for_another_reason(watch: Watch, said: Callable[[], list[str]]) -> None:
    def ask() -> None:
        raise ProgrammingError("no such table")

    for _ in range(3):
        ask_database(ask, otherwise=None)
        watch.look()
    assert said() == [f"The database refuses {ask.__qualname__}: no such table"]
