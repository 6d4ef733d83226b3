"""What the page of one training session shows: how far it is, what came of it, its log, what to do now."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training.admin import labels
from training.admin.figures import figures_of
from training.admin.session_words import told
from training.estimates import seconds_left
from training.models import ModelVersion, SessionLogEntry, TrainingSession

Cause = TrainingSession.Cause
ADVICE: dict[str, Promise] = {
    Cause.NO_WORKER: gettext_lazy("Start the queue (python manage.py qcluster), then train again."),
    Cause.DIED: gettext_lazy(
        "The machine was most likely short of memory: the last messages of the log say more. Free some, "
        "then train again."
    ),
    Cause.TIMEOUT: gettext_lazy(
        "It may take %(seconds)d s (setting TRAINING_TIMEOUT): raise that, or train while the machine has "
        "less to do."
    ),
    Cause.DISK: gettext_lazy(
        "See that the storage (MEDIA_ROOT, or the object storage) answers, can be written and has room, "
        "then train again."
    ),
    Cause.DATA: gettext_lazy("Put right what the reason names, then train again."),
    Cause.TOO_FEW: gettext_lazy(
        "Nothing is wrong. Approve more anomalies, train by hand, or ask for fewer in the training schedule."
    ),
    Cause.BUSY: gettext_lazy("Nothing is wrong: the next scheduled training sees to it."),
    Cause.FROZEN: gettext_lazy(
        "Lift the freeze on the page of the training schedule once its reason is gone."
    ),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTaken:
    """A step of one attempt; `seconds` until the next one, or until now."""

    name: str
    at: datetime
    duration: str
    is_current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class EventTold:
    """What was decided, in the page's language."""

    at: datetime
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptTaken:
    number: int
    steps: list[StepTaken] = field(default_factory=list)
    events: list[EventTold] = field(default_factory=list)
    lines: list[SessionLogEntry] = field(default_factory=list)


def session_context(session: TrainingSession, request: HttpRequest) -> dict[str, Any]:
    """What session_top.html and session_log.html show."""
    return {
        "progress": progress_of(session) if session.is_active else None,
        "attempts": attempts_of(session),
        "reason": told(session.reason),
        "advice": advice_of(session),
        "result": _result_of(session, request),
    }


def progress_of(session: TrainingSession) -> dict[str, Any]:
    """What session_progress.html shows; asked for again and again while the session is active."""
    return {
        "session": session,
        "left": _left(session),
        "url": reverse("admin:training_trainingsession_progress", args=[session.pk]),
    }


def advice_of(session: TrainingSession) -> str:
    """What to do about a session that failed or was skipped; empty when nothing is known."""
    words = ADVICE.get(session.cause)
    return str(words) % {"seconds": settings.TRAINING_TIMEOUT} if words else ""


def attempts_of(session: TrainingSession) -> list[AttemptTaken]:
    """The log, an attempt at a time: one query, bounded by what is kept."""
    taken: dict[int, AttemptTaken] = {}
    begun: dict[int, list[SessionLogEntry]] = {}
    for entry in session.log.all():
        attempt = taken.setdefault(entry.attempt, AttemptTaken(number=entry.attempt))
        match entry.kind:
            case SessionLogEntry.Kind.STEP:
                begun.setdefault(entry.attempt, []).append(entry)
            case SessionLogEntry.Kind.EVENT:
                attempt.events.append(EventTold(at=entry.at, text=told(entry.text)))
            case _:
                attempt.lines.append(entry)
    for number, entries in begun.items():
        is_last = number == max(taken)
        end = (session.finished_at or timezone.now()) if is_last else entries[-1].at
        taken[number].steps.extend(_steps(entries, end, is_running=is_last and session.is_active))
    return list(taken.values())


def _steps(entries: list[SessionLogEntry], end: datetime, *, is_running: bool) -> list[StepTaken]:
    ends = [*(entry.at for entry in entries[1:]), end]
    return [
        StepTaken(
            name=entry.get_step_display(),
            at=entry.at,
            duration=labels.duration(max((until - entry.at).total_seconds(), 0)),
            is_current=is_running and entry is entries[-1],
        )
        for entry, until in zip(entries, ends, strict=True)
    ]


def _left(session: TrainingSession) -> str:
    if session.status == TrainingSession.Status.QUEUED:
        return _("A worker takes it within seconds, as a rule.")
    seconds = seconds_left(session)
    if seconds is None:
        return _("How long it still takes is not known yet.")
    if seconds < 5:
        return _("A few seconds left.")
    rounded = 5 * round(seconds / 5) if seconds < 90 else 60 * round(seconds / 60)
    return _("About %(duration)s left.") % {"duration": labels.about(rounded)}


def _result_of(session: TrainingSession, request: HttpRequest) -> dict[str, Any] | None:
    version = session.model_version
    if version is None:
        return None
    return {
        "version": version,
        "figures": figures_of(version, may=request.user.has_perm),
        "champion": ModelVersion.objects.active(),
        "url": reverse("admin:training_modelversion_change", args=[version.pk]),
        **decisions_about(version, request),
    }


def decisions_about(version: ModelVersion, request: HttpRequest) -> dict[str, Any]:
    """The pages on which a person decides about a candidate; empty where there is nothing to decide."""
    if (
        version.is_active
        or not version.is_usable
        or not request.user.has_perm("training.activate_modelversion")
    ):
        return {}
    pages = {"activate_url": reverse("admin:training_modelversion_activate", args=[version.pk])}
    if can_be_declined(version):
        pages["keep_url"] = reverse("admin:training_modelversion_keep", args=[version.pk])
    return pages


def can_be_declined(version: ModelVersion) -> bool:
    """A candidate that nobody has decided about: newer than what serves."""
    if version.is_active or version.declined_at is not None:
        return False
    champion = ModelVersion.objects.active()
    return champion is not None and champion.pk < version.pk
