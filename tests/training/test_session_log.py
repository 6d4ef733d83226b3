"""The log of a session is bounded, and keeps what a failure is explained by."""

import pytest
from django.db import IntegrityError, transaction

from tests.factories import SessionFactory
from training import session_log, sessions
from training.models import SessionLogEntry, TrainingSession
from training.session_log import Lines, note_event, note_step, prune_lines

pytestmark = pytest.mark.django_db
Step = TrainingSession.Step


@pytest.fixture
def session() -> TrainingSession:
    session: TrainingSession = SessionFactory.create()
    return session


def texts(session: TrainingSession) -> list[str]:
    return [str(entry) for entry in session.log.all()]


def test_the_begin_of_each_step_of_each_attempt(session: TrainingSession) -> None:
    assert sessions.claim(session.pk) == 1
    for progress in (15, 40):
        sessions.advance(session.pk, 1, Step.EVALUATE, progress)
    assert sessions.retry(session.pk, 1) == 2
    sessions.advance(session.pk, 2, Step.EVALUATE, 15)
    found = session.log.values_list("attempt", "kind", "step")
    assert list(found) == [(n, "step", step) for n in (1, 2) for step in ("start", "evaluate")]


def test_an_event_stands_beside_the_steps(session: TrainingSession) -> None:
    note_step(session.pk, 1, Step.START)
    note_event(session.pk, 1, "Not activated by itself.")
    assert texts(session) == ["starting", "Not activated by itself."]


@pytest.mark.parametrize("row", [{"kind": "step"}, {"kind": "line"}, {"kind": "poem", "text": "x"}], ids=str)
def test_an_entry_that_says_nothing_is_refused(session: TrainingSession, row: dict[str, str]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        SessionLogEntry.objects.create(session=session, attempt=1, **row)


def test_lines_are_passed_on_and_kept(session: TrainingSession) -> None:
    passed_on: list[str] = []
    lines = Lines(session.pk, 1, passed_on.append)
    lines.hear("INFO one\n")
    lines.hear("\n")
    lines.hear("x" * 600)
    lines.flush()
    lines.flush(is_last=True)
    assert passed_on == ["INFO one\n", "\n", "x" * 600]
    assert texts(session) == ["INFO one", "x" * 500]


def test_of_too_many_the_first_and_the_last_are_kept(
    session: TrainingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_log, "FIRST_LINES", 3)
    monkeypatch.setattr(session_log, "LAST_LINES", 2)
    lines = Lines(session.pk, 1, lambda _line: None)
    for number in range(5):
        lines.hear(f"{number}\n")
    lines.flush()
    assert texts(session) == ["0", "1", "2"]
    for number in range(5, 9):
        lines.hear(f"{number}\n")
    lines.flush(is_last=True)
    assert texts(session) == ["0", "1", "2", "… 4 lines left out …\n7", "8"]


def test_old_sessions_keep_their_steps_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_log, "SESSIONS_WITH_LINES", 2)
    old, *newer = [SessionFactory.create(status="failed") for _ in range(3)]
    SessionFactory.create(status="skipped")
    for session in (old, *newer):
        note_step(session.pk, 1, Step.START)
        Lines(session.pk, 1, lambda _line: None).flush()
        SessionLogEntry.objects.create(session=session, attempt=1, kind="line", text="said")
    prune_lines()
    assert [texts(session) for session in (old, *newer)] == [
        ["starting"],
        ["starting", "said"],
        ["starting", "said"],
    ]
