"""The log of a training session: what began when, and what its process said. Nothing is fenced here:
entries are only added, and each says which attempt it belongs to."""

from collections import deque
from collections.abc import Callable

from django.db.models import F, OuterRef, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce, NullIf
from django.utils import timezone

from anomalyproject.logs import logged_with, readable
from training.models import SessionLogEntry, TrainingSession

Kind = SessionLogEntry.Kind

FIRST_LINES = 150  # of an attempt's process, kept as they come
LAST_LINES = 50  # beside the first ones, kept when it ends: an error comes last
LINE_LENGTH = 500  # characters
SESSIONS_WITH_LINES = 100  # newest; the steps of older ones are kept, their processes' messages are not


def note_step(session_id: int, attempt: int, step: TrainingSession.Step) -> None:
    """The attempt is at that step; only its begin is noted."""
    SessionLogEntry.objects.get_or_create(
        session_id=session_id, attempt=attempt, kind=Kind.STEP, step=step.value
    )


def note_event(session_id: int, attempt: int, text: str) -> None:
    """What was decided about the session, in a sentence."""
    SessionLogEntry.objects.create(session_id=session_id, attempt=attempt, kind=Kind.EVENT, text=text)


def log_of(session: TrainingSession) -> "QuerySet[SessionLogEntry]":
    """Oldest first, with the step that each entry belongs to as `at_step`."""
    begun = SessionLogEntry.objects.filter(
        session=session, attempt=OuterRef("attempt"), kind=Kind.STEP, at__lte=OuterRef("at")
    )
    newest = Subquery(begun.order_by("-at", "-pk").values("step")[:1])
    return session.log.annotate(at_step=Coalesce(NullIf(F("step"), Value("")), newest, Value(""))).order_by(
        "at", "pk"
    )


class Lines:
    """What one attempt's process says: heard in any thread, written by `flush` in the caller's."""

    def __init__(self, session_id: int, attempt: int, pass_on: Callable[[str], object]) -> None:
        self._session_id, self._attempt, self._pass_on = session_id, attempt, pass_on
        self._heard: deque[SessionLogEntry] = deque()
        self._last: deque[SessionLogEntry] = deque(maxlen=LAST_LINES)
        self._count = 0

    def hear(self, line: str) -> None:
        with logged_with(session=self._session_id, attempt=self._attempt):
            self._pass_on(line)
        for text in readable(line).splitlines():
            self._keep(text[:LINE_LENGTH])

    def _keep(self, text: str) -> None:
        if not text.strip():
            return
        entry = SessionLogEntry(
            session_id=self._session_id, attempt=self._attempt, kind=Kind.LINE, text=text, at=timezone.now()
        )
        self._count += 1
        (self._heard if self._count <= FIRST_LINES else self._last).append(entry)

    def flush(self, *, is_last: bool = False) -> None:
        """Write what was heard since; the last time also the end of what was too long."""
        entries = [self._heard.popleft() for _ in range(len(self._heard))]
        if is_last and self._last:
            if left_out := self._count - FIRST_LINES - len(self._last):
                self._last[0].text = f"… {left_out} lines left out …\n{self._last[0].text}"
            entries += self._last
            self._last.clear()
        SessionLogEntry.objects.bulk_create(entries)


def prune_lines() -> None:
    """Forget what the processes of old sessions said."""
    newest = TrainingSession.objects.exclude(status=TrainingSession.Status.SKIPPED).order_by("-pk")
    oldest_kept = newest.values_list("pk", flat=True)[SESSIONS_WITH_LINES - 1 : SESSIONS_WITH_LINES].first()
    if oldest_kept is not None:
        SessionLogEntry.objects.filter(kind=Kind.LINE, session_id__lt=oldest_kept).delete()
