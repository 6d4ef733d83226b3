"""The time line: what was trained, activated, restored, kept back, frozen and decided, when and by whom."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from heapq import merge
from itertools import islice
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Model

from training.models import Activation, ModelVersion, TrainingPolicy, TrainingSession

PLANNED = ("enabled", "cron", "minimum_new", "activation", "keep_backups", "keep_versions")


class Kind(StrEnum):
    TRAINED = "trained"
    ACTIVATED = "activated"
    RESTORED = "restored"
    DECLINED = "declined"
    FROZEN = "frozen"
    LIFTED = "lifted"
    PLANNED = "planned"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One thing that happened; `subject` is the session, activation or version that tells more."""

    at: datetime
    kind: Kind
    who: User | None = None
    version: ModelVersion | None = None
    note: str = ""
    changed: tuple[str, ...] = ()  # fields of the training policy
    subject: Model | None = None


def events(
    *, limit: int, before: datetime | None = None, kinds: frozenset[Kind] = frozenset()
) -> list[Event]:
    """The newest `limit` events, earlier than `before`; of these kinds, or of all."""
    sources: list[tuple[frozenset[Kind], Callable[[int, datetime | None], Iterator[Event]]]] = [
        (frozenset({Kind.TRAINED}), _trained),
        (frozenset({Kind.ACTIVATED}), _activated),
        (frozenset({Kind.RESTORED}), _restored),
        (frozenset({Kind.DECLINED}), _declined),
        (frozenset({Kind.FROZEN, Kind.LIFTED, Kind.PLANNED}), _policy_changes),
    ]
    chosen = [read(limit, before) for told, read in sources if not kinds or told & kinds]
    found = merge(*chosen, key=lambda event: event.at, reverse=True)
    return list(islice((event for event in found if not kinds or event.kind in kinds), limit))


def _trained(limit: int, before: datetime | None) -> Iterator[Event]:
    rows = TrainingSession.objects.succeeded().select_related("model_version", "requested_by")
    rows = rows.filter(finished_at__lt=before) if before else rows.exclude(finished_at=None)
    for session in rows.order_by("-finished_at")[:limit]:
        assert session.finished_at is not None  # noqa: S101  # filtered; narrows the type
        yield Event(
            at=session.finished_at,
            kind=Kind.TRAINED,
            who=session.requested_by,
            version=session.model_version,
            note=str(session.get_trigger_display()),
            subject=session,
        )


def _activated(limit: int, before: datetime | None) -> Iterator[Event]:
    return _activations(limit, before, Kind.ACTIVATED)


def _restored(limit: int, before: datetime | None) -> Iterator[Event]:
    return _activations(limit, before, Kind.RESTORED)


def _activations(limit: int, before: datetime | None, kind: Kind) -> Iterator[Event]:
    rows = Activation.objects.select_related("version", "activated_by")
    rows = (rows.filter if kind == Kind.RESTORED else rows.exclude)(reason=Activation.Reason.RESTORE)
    if before:
        rows = rows.filter(activated_at__lt=before)
    for activation in rows.order_by("-id")[:limit]:
        yield Event(
            at=activation.activated_at,
            kind=kind,
            who=activation.activated_by,
            version=activation.version,
            note=activation.note,
            subject=activation,
        )


def _declined(limit: int, before: datetime | None) -> Iterator[Event]:
    rows = ModelVersion.objects.exclude(declined_at=None).select_related("declined_by")
    if before:
        rows = rows.filter(declined_at__lt=before)
    for version in rows.order_by("-declined_at")[:limit]:
        assert version.declined_at is not None  # noqa: S101  # filtered; narrows the type
        at, who = version.declined_at, version.declined_by
        yield Event(at=at, kind=Kind.DECLINED, who=who, version=version, subject=version)


def _policy_changes(limit: int, before: datetime | None) -> Iterator[Event]:
    """Each row of the policy's history beside the one before it."""
    rows = TrainingPolicy.history.select_related("history_user").order_by("-history_date", "-history_id")
    if before:
        rows = rows.filter(history_date__lt=before)
    found = list(rows[: limit + 1])
    for row, earlier in zip(found[:limit], [*found[1:], None], strict=False):
        if earlier is None and row.history_type == "+" and row.frozen_at is None:
            continue  # the row as it is made: nothing was chosen yet
        frozen_before = earlier.frozen_at if earlier else None
        kind = Kind.PLANNED
        if row.frozen_at != frozen_before:
            kind = Kind.FROZEN if row.frozen_at else Kind.LIFTED
        yield Event(
            at=row.history_date,
            kind=kind,
            who=row.history_user,
            note=row.freeze_reason if kind == Kind.FROZEN else "",
            changed=_changed(row, earlier) if kind == Kind.PLANNED else (),
        )


def _changed(row: Any, earlier: Any) -> tuple[str, ...]:
    before = earlier or TrainingPolicy()
    return tuple(name for name in PLANNED if getattr(row, name) != getattr(before, name))
