"""How everything is logged: a line for a person, or a JSON object for a machine that collects lines.

Each says for whom it was written: the request, or the training session and its attempt. Nothing but what is
passed to the logger comes into a line: no query, no body, no header, no local variable of a traceback.
"""

import json
import logging
import logging.config
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

LINE, JSON = "line", "json"
FORMATS = (LINE, JSON)
DJANGO_LOGGERS = ("django", "django.server")  # rid of their own handlers, which repeat it all unformatted

_process: dict[str, object] = {}
_context: ContextVar[Mapping[str, object]] = ContextVar("log_context", default=MappingProxyType({}))
_CONTROL = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_BRACKET = re.compile(r"(?m) \[(?:[a-z_]+=[\w.-]+ ?)+\]$")

passed_on = logging.getLogger("training.process")
uncaught = logging.getLogger("training.uncaught")


@contextmanager
def logged_with(**facts: object) -> Iterator[None]:
    """Every line that this thread logs in the block carries the facts."""
    token = _context.set({**_context.get(), **facts})
    try:
        yield
    finally:
        _context.reset(token)


def log_process_with(**facts: object) -> None:
    """Every line of this process from now on, in whatever thread, carries the facts."""
    _process.update(facts)


class OneLineOutages(logging.Filter):
    """An unavailable database is one line, whoever logs it: its traceback leads to no fault of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.exc_info or record.exc_info[1] is None or "django.db" not in sys.modules:
            return True
        from training.outages import kind_of  # noqa: PLC0415  # a process without a database has none away

        if kind_of(error := record.exc_info[1]) is None:
            return True
        text = " ".join(f"{record.getMessage()}: {error}".split())
        record.msg, record.args, record.exc_info, record.exc_text = text, (), None, None
        return record.name != "django.request"  # training.api.errors has said so, and what was answered


class _Formatter(logging.Formatter):
    def _facts(self, record: logging.LogRecord) -> dict[str, Any]:
        """What the line is about; a logger's own `extra={"facts": …}` comes last.

        Django logs refusals after the middleware has ended, and passes the request along.
        """
        of_request = getattr(getattr(record, "request", None), "log_facts", {})
        return {**_process, **_context.get(), **of_request, **getattr(record, "facts", {})}

    def _trouble(self, record: logging.LogRecord) -> str:
        parts = [self.formatException(record.exc_info)] if record.exc_info else []
        return "\n".join([*parts, *([self.formatStack(record.stack_info)] if record.stack_info else [])])


class LineFormatter(_Formatter):
    """`2026-03-01 06:42:00,123 INFO training.runner: … [session=5 attempt=1]`; a message is one line."""

    def format(self, record: logging.LogRecord) -> str:
        message = _CONTROL.sub(lambda found: repr(found[0])[1:-1], record.getMessage())
        facts = " ".join(f"{name}={_word(value)}" for name, value in self._facts(record).items())
        line = f"{self.formatTime(record)} {record.levelname} {record.name}: {message}"
        line = f"{line} [{facts}]" if facts else line
        trouble = self._trouble(record)
        return f"{line}\n{trouble}" if trouble else line


class JSONFormatter(_Formatter):
    """One object a line: time (UTC), level, logger, message, the facts, and `exception` with a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        told = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self._facts(record),
        }
        if trouble := self._trouble(record):
            told["exception"] = trouble
        return json.dumps(told, default=str)  # in ASCII, so that whatever it holds is one line


def _word(value: object) -> str:
    return re.sub(r"[^\w.-]", "_", str(value))


def logging_config(*, kind: str, level: str) -> dict[str, Any]:
    """For logging.config.dictConfig: everything goes to stderr."""
    formatter = JSONFormatter if kind == JSON else LineFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": {"()": formatter}},
        "filters": {"outages": {"()": OneLineOutages}},
        "handlers": {
            "console": {"class": "logging.StreamHandler", "formatter": "chosen", "filters": ["outages"]}
        },
        "root": {"handlers": ["console"], "level": level},
        "loggers": {name: {"handlers": [], "propagate": True} for name in DJANGO_LOGGERS},
    }


def take_over_stderr(*, kind: str, level: str) -> None:
    """In a process that serves: what Python writes to stderr by itself is logged, too.

    Tracebacks of threads and of the process, warnings, and with JSON any other line that is printed.
    """
    if kind == JSON and not isinstance(sys.stderr, LinesAsJSON):
        sys.stderr = LinesAsJSON(sys.stderr)
    logging.config.dictConfig(logging_config(kind=kind, level=level))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda told: _log_uncaught(told.exc_type, told.exc_value, told.exc_traceback)


def _log_uncaught(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    if error is None or issubclass(kind, SystemExit):
        return
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    uncaught.critical("%s: %s", kind.__name__, error, exc_info=(kind, error, trace))


class LinesAsJSON:
    """A stderr on which each line is a JSON object: those of the logs as they are, others become such."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._stream.write(as_json_line(line))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def as_json_line(line: str, **facts: str) -> str:
    """Make one of our lines of what some process printed, and add the facts; nothing for an empty one."""
    if not line.strip():
        return ""
    told = _object(line)
    if told is None:
        made = logging.LogRecord(passed_on.name, logging.INFO, "", 0, "%s", (line.strip(),), None)
        told = json.loads(JSONFormatter().format(made))
    return f"{json.dumps({**told, **facts})}\n"


def pass_on(line: str) -> None:
    """To stderr, what a process of ours wrote to its own; in JSON if our lines are, whatever it was."""
    if _object(line) is None and logs_are_json():
        if text := line.strip():
            passed_on.info("%s", text)
    else:
        sys.stderr.write(line)


def logs_are_json() -> bool:
    return any(isinstance(handler.formatter, JSONFormatter) for handler in logging.root.handlers)


def readable(line: str) -> str:
    """The line as a person reads it who knows what it is about."""
    told = _object(line)
    if told is None:
        return _BRACKET.sub("", line.rstrip())
    text = f"{told['time']} {told['level']} {told['logger']}: {told['message']}"
    return f"{text}\n{told['exception']}" if "exception" in told else text


def _object(line: str) -> dict[str, Any] | None:
    """What JSONFormatter wrote; None for any other line."""
    if not line.startswith('{"time": '):
        return None
    try:
        told = json.loads(line)
    except ValueError:  # cut off
        return None
    return told if {"time", "level", "logger", "message"} <= told.keys() else None
