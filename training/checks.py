"""System checks: a configuration under which the training loop could not keep its promises."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, Error, register
from django.db import DatabaseError, connection
from django.utils import timezone
from django_q.models import Schedule

from training import artifacts, schedules
from training.errors import StorageError, UnservableVersionError
from training.models import ModelVersion
from training.shelves import is_local

KEY_LENGTH = 32  # characters


@register
def check_queue(**_: Any) -> list[CheckMessage]:
    """One worker, and a retry clock that outlasts the longest training."""
    return list(_queue_errors(settings.Q_CLUSTER))


@register
def check_schedule(**_: Any) -> list[CheckMessage]:
    """TRAINING_SCHEDULE and QUALITY_REPORT_SCHEDULE are cron lines that come due."""
    return [*_cron_errors("TRAINING_SCHEDULE"), *_cron_errors("QUALITY_REPORT_SCHEDULE")]


@register
def check_media_root(**_: Any) -> list[CheckMessage]:
    """Models and backups can be written, and no web server hands them out."""
    return list(_media_root_errors(Path(settings.MEDIA_ROOT), Path(settings.STATIC_ROOT)))


@register
def check_shared_keys(**_: Any) -> list[CheckMessage]:
    """Who shares a database with other machines shares the keys too."""
    hint = "Give every node the same keys: what one node signs, the others refuse otherwise."
    return [
        checks.Warning(
            f"{name} is generated on this machine, and PostgreSQL serves several.", hint=hint, id=number
        )
        for name, number in (("SECRET_KEY", "training.W008"), ("ARTIFACT_SIGNING_KEYS", "training.W009"))
        if name in settings.GENERATED_SECRETS and connection.vendor == "postgresql"
    ]


@register(deploy=True)
def check_active_version(**_: Any) -> list[CheckMessage]:
    """This node reads what serves, as the other nodes wrote it; nothing is quarantined."""
    try:
        version = ModelVersion.objects.active()
        if version is None or version.digest in artifacts.read_back(ModelVersion, version.name).digests:
            return []
        reason = "it is not what was stored under that name."
    except DatabaseError:  # not migrated yet: nothing serves
        return []
    except (UnservableVersionError, StorageError) as error:
        reason = str(error)
    place = "MEDIA_ROOT" if is_local() else "ARTIFACT_STORAGE"
    return [
        Error(
            f"The active version {version} cannot be read here: {reason}",
            hint=f"All nodes need the same {place} and the same ARTIFACT_SIGNING_KEYS.",
            id="training.E010",
        )
    ]


@register(deploy=True)
def check_signing_keys(**_: Any) -> list[CheckMessage]:
    """No key that signs models can be guessed."""
    if all(len(key) >= KEY_LENGTH for key in settings.ARTIFACT_SIGNING_KEYS):
        return []
    hint = 'python -c "import secrets; print(secrets.token_urlsafe(48))" makes one.'
    text = f"ARTIFACT_SIGNING_KEYS holds a key of less than {KEY_LENGTH} characters."
    return [checks.Warning(text, hint=hint, id="training.W011")]


@register(deploy=True)
def check_schedule_rows(**_: Any) -> list[CheckMessage]:
    """No schedule in the database calls anything but the product's functions."""
    try:
        rows = list(Schedule.objects.exclude(repeats=schedules.DISABLED))
    except DatabaseError:  # not migrated yet: nothing can be scheduled
        return []
    return [
        Error(f"Schedule {row.name or row.pk} {problem}.", id="training.E007")
        for row in rows
        if (problem := schedules.problem_of(row))
    ]


def _cron_errors(name: str) -> Iterator[CheckMessage]:
    try:
        schedules.next_time(getattr(settings, name), after=timezone.now())  # no database is asked
    except ValueError as error:
        hint = 'Five fields, UTC: "0 2 * * 0" is Sunday 02:00.'
        yield Error(f"{name} is not usable: {error}", hint=hint, id="training.E004")


def _queue_errors(cluster: dict[str, Any]) -> Iterator[CheckMessage]:
    if cluster.get("workers") != 1:
        yield Error("Q_CLUSTER must have one worker: trainings run one at a time.", id="training.E001")
    if cluster["timeout"] >= cluster["retry"]:
        yield Error("Q_CLUSTER: retry must be longer than timeout.", id="training.E002")
    if cluster["timeout"] <= settings.TRAINING_TIMEOUT * settings.TRAINING_MAX_ATTEMPTS:
        yield Error("Q_CLUSTER: timeout must outlast every attempt of a training.", id="training.E003")


def _media_root_errors(media: Path, static: Path) -> Iterator[CheckMessage]:
    existing = next(path for path in (media, *media.parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        yield Error(f"MEDIA_ROOT cannot be written: {existing}", id="training.E005")
    if media.resolve().is_relative_to(static.resolve()):
        yield Error("MEDIA_ROOT stands under STATIC_ROOT, which is served over HTTP.", id="training.E006")
