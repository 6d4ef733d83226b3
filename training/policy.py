"""The training policy's row: read by whoever is about to do something by itself; frozen and lifted here."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction

from training.database import database_now
from training.errors import FrozenError, NotAllowedNowError
from training.models import TrainingPolicy
from training.models.policy import ONLY


def current_policy() -> TrainingPolicy:
    """As it stands; what nobody has chosen yet follows the settings."""
    return TrainingPolicy.objects.select_related("frozen_by").first() or TrainingPolicy(pk=ONLY)


def locked_policy() -> TrainingPolicy:
    """The same, and nobody changes it until this transaction ends."""
    TrainingPolicy.objects.get_or_create(pk=ONLY)
    return TrainingPolicy.objects.select_for_update(of=("self",)).select_related("frozen_by").get()


def change_policy(
    *, user: User | None, changes: Mapping[str, Any], reason: str = "", only_when: bool | None = None
) -> TrainingPolicy:
    """Set these fields; an unchanged row leaves no history.

    `only_when`: frozen or not; NotAllowedNowError when somebody was faster.
    """
    with transaction.atomic():
        policy = locked_policy()
        if only_when is not None and policy.is_frozen is not only_when:
            raise NotAllowedNowError(
                "Training is not frozen." if only_when else "Training is frozen already: lift it first."
            )
        different = {name: value for name, value in changes.items() if getattr(policy, name) != value}
        for name, value in different.items():
            setattr(policy, name, value)
        if different:
            policy._history_user = user  # type: ignore[attr-defined]  # noqa: SLF001  # as simple_history asks for it
            policy._change_reason = reason  # type: ignore[attr-defined]  # noqa: SLF001
            policy.save(update_fields=sorted(different))
    return policy


def freeze(*, user: User | None, reason: str, until: datetime | None = None) -> TrainingPolicy:
    """From now on nothing trains or activates by itself, and nothing but a way back changes what serves.

    Raises NotAllowedNowError when it is frozen already, without a reason, or until a moment that has passed.
    """
    if not reason.strip():
        raise NotAllowedNowError("A freeze needs a reason.")
    now = database_now()
    if until is not None and until <= now:
        raise NotAllowedNowError("The end of a freeze must lie ahead.")
    changes = {"frozen_at": now, "frozen_until": until, "frozen_by": user, "freeze_reason": reason.strip()}
    return change_policy(user=user, changes=changes, reason=reason.strip(), only_when=False)


def lift_freeze(*, user: User | None) -> TrainingPolicy:
    """Raises NotAllowedNowError when nothing is frozen."""
    changes = {"frozen_at": None, "frozen_until": None, "frozen_by": None, "freeze_reason": ""}
    return change_policy(user=user, changes=changes, only_when=True)


def refuse_frozen(policy: TrainingPolicy) -> None:
    """Raises FrozenError, which says who froze it, until when and why."""
    if policy.is_frozen:
        raise FrozenError(frozen_sentence(policy))


def frozen_sentence(policy: TrainingPolicy) -> str:
    """In English, for the API and the log."""
    who = f" by {policy.frozen_by.get_username()}" if policy.frozen_by else ""
    until = f"until {policy.frozen_until:%Y-%m-%d %H:%M} UTC" if policy.frozen_until else "until it is lifted"
    return f"Training and activation are frozen{who} {until}: {policy.freeze_reason}"
