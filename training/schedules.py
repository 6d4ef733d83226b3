"""Scheduled training: the one schedule that the product has, and when it trains or skips."""

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from croniter import croniter
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone
from django_q.models import Schedule

from training import sessions
from training.database import database_now
from training.errors import NothingApprovedError, SessionActiveError
from training.models import Anomaly, ModelVersion, TrainingSession
from training.outages import FailureLog
from training.policy import change_policy, current_policy, frozen_sentence

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

Cause = TrainingSession.Cause

CRON_UNUSABLE = "The training policy's cron line cannot be used"
NAME = "Scheduled training"
TRAIN_ON_SCHEDULE = "training.tasks.train_on_schedule"
FUNCTIONS = {TRAIN_ON_SCHEDULE}  # all that a schedule of ours may call
CRON_FIELDS = 5
DISABLED, FOREVER = 0, -1  # Schedule.repeats


def next_time(cron: str, after: datetime | None = None) -> datetime:
    """When a cron line is due next, UTC. Raises ValueError when it is no cron line, or never due."""
    try:
        due: datetime = croniter(cron, after or database_now()).get_next(datetime)
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{cron!r} is not a cron line") from error
    return due


def is_cron_line(line: str) -> bool:
    """Whether it has five fields and is due some day."""
    try:
        next_time(line, after=timezone.now())  # whatever the moment: no database is asked
    except ValueError:
        return False
    return len(line.split()) == CRON_FIELDS


def _is_due(cron: str) -> bool:
    try:
        next_time(cron)
    except ValueError as error:
        failures.failed(CRON_UNUSABLE, error)
        return False
    failures.succeeded(CRON_UNUSABLE)
    return True


def ensure_schedule() -> Schedule:
    """The queue's row for what the training policy says; safe to call at every start, from several nodes.

    The row is the policy's shadow: made when missing, put right when it differs. A cron line that makes
    no sense, which nobody can enter, must not keep the queue from starting: the setting's goes before it.
    """
    policy = current_policy()
    cron = policy.cron_line if _is_due(policy.cron_line) else settings.TRAINING_SCHEDULE
    ours = Schedule.objects.filter(func=TRAIN_ON_SCHEDULE).order_by("pk")
    wanted = {
        "schedule_type": Schedule.CRON,
        "cron": cron,
        "repeats": FOREVER if policy.enabled else DISABLED,
        "args": None,
        "kwargs": None,
        "hook": None,
        "intended_date_kwarg": None,
    }
    schedule = ours.first() or Schedule.objects.create(name=NAME, func=TRAIN_ON_SCHEDULE, **wanted)
    if different := [name for name, value in wanted.items() if getattr(schedule, name) != value]:
        if not {"cron", "schedule_type", "repeats"}.isdisjoint(different):
            schedule.next_run = next_time(cron)
        for name in different:
            setattr(schedule, name, wanted[name])
        schedule.save(update_fields=[*different, "next_run"])
    ours.exclude(pk=(ours.first() or schedule).pk).delete()
    return schedule


def problem_of(schedule: Schedule) -> str | None:
    """Why the scheduler must not see this row, or None. One that it trips over stops all the others."""
    if schedule.func not in FUNCTIONS:
        return f"calls {schedule.func}, which is none of the product's scheduled functions"
    if schedule.hook or schedule.args or schedule.intended_date_kwarg:
        return "has a hook or arguments, and the product's scheduled functions take none"
    if schedule.kwargs:
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
    policy = current_policy()
    if policy.is_frozen:
        return _skip(frozen_sentence(policy), Cause.FROZEN)
    minimum = policy.minimum
    if found < minimum:
        noun = "anomaly" if found == 1 else "anomalies"
        new = f"newly approved {noun} since {version}" if version else f"approved {noun}"
        return _skip(f"Only {found} {new}; {minimum} are needed.", Cause.TOO_FEW)
    try:
        return sessions.start_session(trigger=TrainingSession.Trigger.SCHEDULE, enqueue=False)
    except SessionActiveError:
        return _skip("Another training session was active.", Cause.BUSY)
    except NothingApprovedError as error:
        return _skip(str(error), Cause.TOO_FEW)


def plan_training(*, user: User | None, changes: Mapping[str, Any]) -> Schedule:
    """Change the training policy, and the queue's schedule with it. ValueError for what is no cron line."""
    if changes.get("cron"):
        next_time(changes["cron"])
    with transaction.atomic():
        change_policy(user=user, changes=changes)
        return ensure_schedule()


def _skip(reason: str, cause: TrainingSession.Cause) -> TrainingSession:
    logger.info("Scheduled training skipped: %s", reason)
    return TrainingSession.objects.create(
        trigger=TrainingSession.Trigger.SCHEDULE,
        status=TrainingSession.Status.SKIPPED,
        reason=reason,
        cause=cause,
        queued_at=(now := database_now()),
        finished_at=now,
    )
