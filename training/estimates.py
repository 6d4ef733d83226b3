"""How long a training still takes, by what the last ones took."""

from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from statistics import median

from django.utils import timezone

from training.models import SessionLogEntry, TrainingSession

Step = TrainingSession.Step

LOOKED_AT = 5  # newest sessions that succeeded
STEPS: list[Step] = [step for step in Step if step != Step.WAIT]
TOO_LONG = 1.5  # times as long as usual: the step says nothing any more about what is left
MEASURABLE = 15  # percent: the work that is counted in pieces has begun
ENOUGH = 3.0  # seconds of finished steps that a pace can be read from


def seconds_left(session: TrainingSession, now: datetime | None = None) -> float | None:
    """Of a running session; None when nothing tells.

    By the usual length of the steps to come, at the pace of those that are done: more records take longer.
    Without earlier sessions, by the share of the work that is done.
    """
    now = now or timezone.now()
    if session.status != TrainingSession.Status.RUNNING or session.started_at is None:
        return None
    begun = {
        entry.step: entry.at
        for entry in session.log.filter(kind=SessionLogEntry.Kind.STEP, attempt=session.attempts)
    }
    usual = usual_seconds()
    if not usual or session.step not in begun:
        return _by_share(session, begun.get(Step.START, session.started_at), now)
    at = STEPS.index(Step(session.step))
    pace = _pace(begun, usual)
    spent = (now - begun[session.step]).total_seconds()
    expected = pace * usual.get(session.step, 0.0)
    if spent > TOO_LONG * expected + ENOUGH:
        return _by_share(session, begun.get(Step.START, session.started_at), now)
    return max(expected - spent, 0.0) + pace * sum(usual.get(step.value, 0.0) for step in STEPS[at + 1 :])


def usual_seconds() -> dict[str, float]:
    """The median length of each step of the last sessions that succeeded; empty before the first."""
    sessions = TrainingSession.objects.succeeded().exclude(finished_at=None)[:LOOKED_AT]
    ended = {session.pk: session for session in sessions}
    entries = SessionLogEntry.objects.filter(session__in=ended, kind=SessionLogEntry.Kind.STEP)
    times: dict[int, list[tuple[datetime, str]]] = {}
    for entry in entries.order_by("at"):
        if entry.attempt == ended[entry.session_id].attempts:
            times.setdefault(entry.session_id, []).append((entry.at, entry.step))
    lengths: dict[str, list[float]] = {}
    for key, begun in times.items():
        finished = ended[key].finished_at
        assert finished is not None  # noqa: S101  # excluded above; narrows the type
        for (start, step), (end, _next) in pairwise([*begun, (finished, "")]):
            lengths.setdefault(step, []).append((end - start).total_seconds())
    return {step: median(values) for step, values in lengths.items()}


def _pace(begun: Mapping[str, datetime], usual: Mapping[str, float]) -> float:
    """How many times as long as usual the finished steps took."""
    order = sorted(begun.items(), key=lambda item: item[1])
    finished = [(step, end - start) for (step, start), (_next, end) in pairwise(order) if step in usual]
    expected = sum(usual[step] for step, _taken in finished)
    taken = sum(length.total_seconds() for _step, length in finished)
    return taken / expected if expected > ENOUGH and taken else 1.0


def _by_share(session: TrainingSession, started: datetime, now: datetime) -> float | None:
    if session.progress <= MEASURABLE:
        return None
    spent = (now - started).total_seconds()
    return spent * (100 - session.progress) / session.progress
