"""`make fuzz`: 10,000 requests, made once, sent to gunicorn on SQLite and on PostgreSQL, compared.

    python -m tests.fuzzing [--requests 10000] [--seed 1] [--postgres postgres://…]

Half are those that the API's description calls for, half are hostile: filters of the admin's lists, methods,
paths, headers and raw bytes. Exit status 1 when an answer is a server error or another than described, when
there is none, or when the databases disagree. What failed joins `tests/corpus/`.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django

if TYPE_CHECKING:
    from tests.fuzzing.plant import Plant
    from tests.fuzzing.recording import Recorded
    from tests.fuzzing.wire import Wire

    Pairs = Iterator[tuple[Recorded | None, Wire]]

CORPUS = Path(__file__).parent.parent / "corpus"
SERVER = "postgres://postgres@127.0.0.1:5432/anomalies_fuzz"
SHOWN = 30
# No queue runs: a training waits for a second, and then says so; meanwhile another one is refused.
NO_QUEUE = {"TRAINING_CLAIM_WAIT": "1", "TRAINING_QUEUE_LIMIT": "1", "LOG_LEVEL": "ERROR"}
BY_TIME = {0, 202, 409, 503}


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What one request was answered, and what is wrong with that."""

    label: str
    status: int
    problems: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres", default=SERVER, help="a database that may be dropped and made")
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "anomalyproject.settings")
    django.setup()
    from tests.fuzzing.recording import record  # noqa: PLC0415  # it needs Django

    recorded = record(options.requests // 2, number=options.seed)
    hostile = options.requests - min(len(recorded), options.requests // 2)
    with tempfile.TemporaryDirectory() as scratch:
        databases = {"SQLite": f"sqlite:///{scratch}/db.sqlite3", "PostgreSQL": options.postgres}
        all_of = partial(_all, recorded=recorded, count=hostile, number=options.seed)
        told = {name: _run(name, url, Path(scratch), all_of) for name, url in databases.items()}
    return 0 if all([*map(_told, told, told.values()), _agree(*told.values())]) else 1


def _run(name: str, url: str, scratch: Path, all_of: "Callable[[Plant], Pairs]") -> list[Sent]:
    """Make an installation, serve it, and send everything to it."""
    from tests.fuzzing.plant import Plant  # noqa: PLC0415  # as above
    from tests.fuzzing.recording import document  # noqa: PLC0415
    from tests.serving import PRODUCTION, served  # noqa: PLC0415

    if url.startswith("postgres"):
        _make_database(url)
    facts, media = scratch / f"{name}.json", scratch / f"media-{name}"
    media.mkdir()
    environment = {**PRODUCTION, **NO_QUEUE, "DATABASE_URL": url, "MEDIA_ROOT": str(media)}
    for command in (["manage.py", "collectstatic", "--noinput", "-v0"], ["-m", "tests.fuzzing.plant", facts]):
        subprocess.run([sys.executable, *map(str, command)], env={**os.environ, **environment}, check=True)
    plant, promise = Plant.read(facts), document()
    with served(environment, log=scratch / f"{name}.log") as server:
        found = [_judged(one, wire, _sent(server, wire), promise) for one, wire in all_of(plant)]
    errors = re.findall(r"^\S*(?:Error|Exception): .*$", (scratch / f"{name}.log").read_text(), re.MULTILINE)
    for text, count in Counter(errors).most_common(SHOWN):
        print(f"{name} logged {count} × {text[:200]}")
    return found


def _sent(server: Any, wire: "Wire") -> Any:
    return server.send_raw(wire.content, method=wire.method, seconds=wire.patience)


def _all(plant: "Plant", *, recorded: "list[Recorded]", count: int, number: int) -> "Pairs":
    from tests.fuzzing.wire import described, hostile  # noqa: PLC0415  # as above

    yield from ((None, wire) for wire in hostile(plant, count, number=number))
    yield from described(plant, recorded)


def _judged(one: "Recorded | None", wire: "Wire", answer: Any, promise: Mapping[str, Any]) -> Sent:
    from tests.fuzzing.replay import problems  # noqa: PLC0415  # as above

    found = []
    if answer.status == 0 and wire.is_http:
        found.append("answers nothing")
    if one is None:
        if answer.status >= 500 and not _has_no_queue(wire, answer):
            found.append(f"answers {answer.status}: {answer.body[:200]!r}")
    elif answer.status and not _has_no_queue(wire, answer):
        found += problems(one, answer, promise)
    if found:
        _keep(one, wire)
    return Sent(label=wire.label, status=answer.status, problems=found)


def _has_no_queue(wire: "Wire", answer: Any) -> bool:
    return answer.status == 503 and wire.label.startswith("POST /train") and b"queue worker" in answer.body


def _keep(one: "Recorded | None", wire: "Wire") -> None:
    """In the corpus: sent again by every run of the tests."""
    from tests.fuzzing.recording import write  # noqa: PLC0415  # as above

    name = f"{hashlib.sha256(wire.content).hexdigest()[:12]}.jsonl"
    if one is not None:
        write(CORPUS / "found" / name, [one])
    else:
        (CORPUS / "wire").mkdir(exist_ok=True)
        (CORPUS / "wire" / name).write_text(wire.as_json() + "\n", encoding="utf-8")


def _make_database(url: str) -> None:
    import psycopg  # noqa: PLC0415  # only with PostgreSQL

    server, _, name = url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')


def _told(name: str, sent: list[Sent]) -> bool:
    """Say how one database answered; False when something is wrong with that."""
    statuses = Counter(one.status for one in sent)
    print(f"{name}: {len(sent)} requests, " + ", ".join(f"{n} × {s}" for s, n in sorted(statuses.items())))
    wrong = Counter(f"{one.label} {problem}" for one in sent for problem in one.problems)
    for text, count in wrong.most_common(SHOWN):
        print(f"  {count} × {text[:400]}")
    return not wrong


def _agree(first: list[Sent], second: list[Sent]) -> bool:
    """Say where the databases differ, but for what the moment decides."""
    pairs = zip(first, second, strict=True)
    differing = [
        f"  {one.status} / {other.status} {one.label[:200]}"
        for one, other in pairs
        if one.status != other.status and not {one.status, other.status} & BY_TIME
    ]
    print(f"{len(differing)} of {len(first)} requests have another status on the other database")
    print("\n".join(differing[:SHOWN]))
    return not differing


if __name__ == "__main__":
    sys.exit(main())
