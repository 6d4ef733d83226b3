"""Scheduled training: the one schedule that the product has, and when it trains or skips."""

import ast
import logging
from datetime import datetime

from croniter import croniter
from django.conf import settings
from django.utils import timezone
from django_q.models import Schedule

from training import sessions
from training.errors import NothingApprovedError, SessionActiveError
from training.models import Anomaly, ModelVersion, TrainingSession

logger = logging.getLogger(__name__)

NAME = "Scheduled training"
TRAIN_ON_SCHEDULE = "training.tasks.train_on_schedule"
FUNCTIONS = {TRAIN_ON_SCHEDULE}  # all that a schedule of ours may call
DISABLED = 0  # Schedule.repeats: never
OPTIONS = {"configured"}  # what may stand in a schedule's q_options


def next_time(cron: str, after: datetime | None = None) -> datetime:
    """When a cron line is due next, UTC. Raises ValueError when it is no cron line, or never due."""
    try:
        due: datetime = croniter(cron, after or timezone.now()).get_next(datetime)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{cron!r} is not a cron line") from error
    return due


def ensure_schedule() -> Schedule:
    """The schedule of the settings, made when missing; safe to call at every start, from several nodes.

    A time that was set in the admin stays until the setting changes; a schedule that was switched off
    stays off.
    """
    ours = Schedule.objects.filter(func=TRAIN_ON_SCHEDULE).order_by("pk")
    # django-q2 ignores the option; it tells a changed setting from a time that was set in the admin.
    configured = repr({"q_options": {"configured": settings.TRAINING_SCHEDULE}})
    schedule = ours.first() or Schedule.objects.create(
        name=NAME,
        func=TRAIN_ON_SCHEDULE,
        schedule_type=Schedule.CRON,
        cron=settings.TRAINING_SCHEDULE,
        kwargs=configured,
    )
    if schedule.kwargs != configured:
        schedule.schedule_type = Schedule.CRON
        schedule.cron = settings.TRAINING_SCHEDULE
        schedule.next_run = next_time(schedule.cron)
        schedule.kwargs = configured
        schedule.save(update_fields=["schedule_type", "cron", "next_run", "kwargs"])
    ours.exclude(pk=(ours.first() or schedule).pk).delete()
    return schedule


def problem_of(schedule: Schedule) -> str | None:
    """Why the scheduler must not see this row, or None. One that it trips over stops all the others."""
    if schedule.func not in FUNCTIONS:
        return f"calls {schedule.func}, which is none of the product's scheduled functions"
    if schedule.hook or schedule.args or schedule.intended_date_kwarg:
        return "has a hook or arguments, and the product's scheduled functions take none"
    if not _known_options(schedule.kwargs):
        return f"has options that are not the product's: {schedule.kwargs}"
    if schedule.schedule_type == Schedule.CRON:
        try:
            next_time(schedule.cron)
        except ValueError as error:
            return f"has a cron line that makes no sense: {error}"
    elif schedule.schedule_type not in dict(Schedule.TYPE):
        return f"has the unknown type {schedule.schedule_type!r}"
    return None


def disable_invalid_schedules() -> list[str]:
    """Switch off what the scheduler would trip over, or what must not be run; the reasons."""
    reasons = []
    for schedule in Schedule.objects.exclude(repeats=DISABLED):
        if problem := problem_of(schedule):
            Schedule.objects.filter(pk=schedule.pk).update(repeats=DISABLED)
            reasons.append(f"Schedule {schedule.name or schedule.pk} {problem}: switched off")
            logger.error("%s", reasons[-1])
    return reasons


def newest_trained() -> ModelVersion | None:
    """The version of the newest session that succeeded."""
    session = TrainingSession.objects.succeeded().select_related("model_version").first()
    return session.model_version if session else None


def newly_approved(since: ModelVersion | None) -> int:
    """How many approved anomalies, or approved changes, that version has not seen."""
    approved = Anomaly.objects.approved()
    return (approved.filter(reviewed_at__gt=since.dataset_read_at) if since else approved).count()


def start_scheduled_session() -> TrainingSession:
    """A session for the caller to supervise, or one that was skipped and says why."""
    version = newest_trained()
    found = newly_approved(version)
    minimum = settings.TRAINING_SCHEDULE_MINIMUM
    if found < minimum:
        noun = "anomaly" if found == 1 else "anomalies"
        new = f"newly approved {noun} since {version}" if version else f"approved {noun}"
        return _skip(f"Only {found} {new}; {minimum} are needed.")
    try:
        return sessions.start_session(trigger=TrainingSession.Trigger.SCHEDULE, enqueue=False)
    except SessionActiveError:
        return _skip("Another training session was active.")
    except NothingApprovedError as error:
        return _skip(str(error))


def _skip(reason: str) -> TrainingSession:
    logger.info("Scheduled training skipped: %s", reason)
    return TrainingSession.objects.create(
        trigger=TrainingSession.Trigger.SCHEDULE,
        status=TrainingSession.Status.SKIPPED,
        reason=reason,
        finished_at=timezone.now(),
    )


def _known_options(kwargs: str | None) -> bool:
    try:
        values = ast.literal_eval(kwargs) if kwargs else {}
        return values.keys() <= {"q_options"} and values.get("q_options", {}).keys() <= OPTIONS
    except (ValueError, SyntaxError, TypeError, AttributeError):
        return False
