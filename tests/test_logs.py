"""Lines for people and lines for machines; each knows for whom it was written."""

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, ProgrammingError

from anomalyproject import logs
from anomalyproject.logs import (
    JSONFormatter,
    LineFormatter,
    OneLineOutages,
    log_process_with,
    logged_with,
    logging_config,
    pass_on,
    readable,
)

CREATED = 1_772_347_320.123456  # 2026-03-01 06:42:00 UTC
BROKEN = "ValueError: invalid literal for int() with base 10: 'broken'"


def record(message: str, *arguments: object, **changes: Any) -> logging.LogRecord:
    made = logging.LogRecord("training.runner", logging.INFO, __file__, 1, message, arguments, None)
    made.created, made.msecs = CREATED, 123
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def as_json(made: logging.LogRecord) -> dict[str, Any]:
    line = JSONFormatter().format(made)
    assert "\n" not in line
    assert line.isascii()
    told: dict[str, Any] = json.loads(line)
    return told


def as_line(made: logging.LogRecord) -> str:
    """Without its time, which is the machine's."""
    return LineFormatter().format(made).partition(",123 ")[2]


@pytest.fixture(autouse=True)
def no_process_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_process", {})


def failing() -> Any:
    try:
        int("broken")
    except ValueError:
        return sys.exc_info()


def test_a_line_for_machines() -> None:
    assert as_json(record("%d of é", 3)) == {
        "time": "2026-03-01T06:42:00.123Z",
        "level": "INFO",
        "logger": "training.runner",
        "message": "3 of é",
    }


def test_a_line_for_people() -> None:
    assert as_line(record("%d of é", 3)) == "INFO training.runner: 3 of é"


def test_facts_hold_in_the_block_and_in_blocks_within() -> None:
    with logged_with(session=5), logged_with(attempt=1):
        assert as_line(record("x")).endswith(": x [session=5 attempt=1]")
        told = as_json(record("x", facts={"status": 200}))
        assert (told["session"], told["attempt"], told["status"]) == (5, 1, 200)
    assert as_line(record("x")).endswith(": x")


def test_a_thread_has_facts_of_its_own_and_those_of_its_process() -> None:
    found = []
    log_process_with(session=7)
    with logged_with(request="abc"):
        thread = threading.Thread(target=lambda: found.append(as_line(record("x"))))
        thread.start()
        thread.join()
    assert found == ["INFO training.runner: x [session=7]"]


def test_what_django_logs_about_a_request_is_the_requests() -> None:
    request = type("Request", (), {"log_facts": {"request": "abc"}})()
    assert as_json(record("Not Found", request=request))["request"] == "abc"
    assert "request" not in as_json(record("closed", request=object()))


def test_a_traceback_stays_with_its_line() -> None:
    told = as_json(record("x", exc_info=failing()))
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith(f"\n{BROKEN}")
    assert as_line(record("x", exc_info=failing())).splitlines()[-1] == BROKEN
    assert "Stack" in as_json(record("x", stack_info="Stack (most recent call last)"))["exception"]


@pytest.mark.parametrize("end", ["\n", "\r", "\x1b", "\0", "\x85", "\u2028"])
def test_nobody_forges_a_line(end: str) -> None:
    forged = f"x{end}2026 INFO training: all is well"
    assert len(as_line(record("%s", forged)).splitlines()) == 1
    assert end not in as_line(record("%s", forged))
    assert as_json(record("%s", forged))["message"] == forged
    with logged_with(user=forged):
        assert "\n" not in as_line(record("x"))


def test_a_lone_surrogate_is_written() -> None:
    assert as_json(record("\ud800"))["message"] == "\ud800"


@pytest.mark.parametrize(
    ("kind", "formatter"), [("json", JSONFormatter), ("line", LineFormatter)], ids=["json", "line"]
)
def test_the_configuration(kind: str, formatter: type) -> None:
    config = logging_config(kind=kind, level="WARNING")
    assert config["formatters"]["chosen"] == {"()": formatter}
    assert config["root"] == {"handlers": ["console"], "level": "WARNING"}


# --- A database that is away ---------------------------------------------------------------------


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError()
    error.sqlite_errorcode = code
    return error


def raised(error: Exception, cause: Exception | None) -> Any:
    try:
        raise error from cause
    except type(error):
        return sys.exc_info()


@pytest.mark.parametrize(
    ("error", "cause", "is_one_line"),
    [
        (OperationalError("connection refused\n\tIs it running?"), None, True),
        (OperationalError("database is locked"), of_sqlite(sqlite3.SQLITE_BUSY), True),
        (OperationalError("disk full"), psycopg.errors.DiskFull("disk full"), True),
        (InterfaceError("connection already closed"), None, True),
        (OperationalError("no such table: x"), of_sqlite(sqlite3.SQLITE_ERROR), False),
        (ProgrammingError("relation does not exist"), None, False),
        (ValueError("x"), None, False),
    ],
)
def test_a_database_that_is_away_needs_no_traceback(
    error: Exception, cause: Exception | None, is_one_line: bool
) -> None:
    logged = record("Not sent", exc_info=raised(error, cause))
    assert OneLineOutages().filter(logged)
    told = as_json(logged)
    assert ("exception" not in told) is is_one_line
    if is_one_line:
        assert told["message"] == f"Not sent: {' '.join(str(error).split())}"


# --- What Python writes by itself ------------------------------------------------------------------


def printed(script: str, **environment: str) -> list[str]:
    code = f"from anomalyproject.logs import *; take_over_stderr(kind='json', level='INFO'); {script}"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=settings.BASE_DIR,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stderr.splitlines()


@pytest.mark.parametrize(
    ("script", "message", "name"),
    [
        ("int('x')", "ValueError: invalid literal", "training.uncaught"),
        ("threading.Thread(target=int, args=('x',)).start()", "ValueError: inv", "training.uncaught"),
        ("import warnings; warnings.warn('careful')", "UserWarning: careful", "py.warnings"),
        ("sys.stderr.write('some word\\n')", "some word", "training.process"),
        ("logging.getLogger('a').error('told')", "told", "a"),
    ],
)
def test_everything_is_an_object(script: str, message: str, name: str) -> None:
    (line,) = [json.loads(line) for line in printed(script)]
    assert message in line["message"]
    assert line["logger"] == name


def test_what_multiprocessing_prints_is_objects() -> None:
    lines = [
        json.loads(line)["message"]
        for line in printed(
            "import multiprocessing as m; p = m.Process(target=int, args='x'); p.start(); p.join()"
        )
    ]
    assert lines[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


# --- What a process of ours wrote to its stderr --------------------------------------------------


def test_lines_for_people_are_passed_on_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    pass_on("Killed\n")
    assert capsys.readouterr().err == "Killed\n"


def test_lines_for_machines_are_passed_on_and_others_become_such(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JSONFormatter())
    monkeypatch.setattr(logging.root, "handlers", [handler])
    line = JSONFormatter().format(record("x")) + "\n"
    with logged_with(session=5):
        for written in (line, "Killed\n", "\n", '{"time": 1}\n', '{"time": cut'):
            pass_on(written)
    first, *others = capsys.readouterr().err.splitlines(keepends=True)
    assert first == line
    told = [json.loads(other) for other in others]
    assert [(one["message"], one["logger"], one["session"]) for one in told] == [
        (text, "training.process", 5) for text in ("Killed", '{"time": 1}', '{"time": cut')
    ]


def test_what_a_person_reads() -> None:
    made = record("step %d", 1, exc_info=failing())
    with logged_with(session=5, attempt=1):
        machine, person = JSONFormatter().format(made), LineFormatter().format(record("step 1"))
    lines = readable(machine).splitlines()
    assert lines[0] == "2026-03-01T06:42:00.123Z INFO training.runner: step 1"
    assert lines[-1] == BROKEN
    assert readable(person + "\n").endswith(",123 INFO training.runner: step 1")
    assert readable("Killed\n") == "Killed"
