"""Which model version serves: activation, the gate of the candidate against the champion, retention."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from training import artifacts, gate, notices
from training.errors import FrozenError, GateRefusedError, NotAllowedNowError, UnservableVersionError
from training.ml.failpoints import failpoint
from training.ml.records import TARGETS
from training.models import Activation, ModelVersion
from training.policy import current_policy, locked_policy, refuse_frozen
from training.retention import Reason, versions_to_keep

# A candidate may be this much worse, MAE in score points, and still count as "not worse": about
# one standard error of the mean of three held-out MAEs on the customer's data.
MEAN_TOLERANCE = 0.005
TARGET_TOLERANCE = 0.02

# What a freeze stops, when another version serves: not the first one, and not the ways back.
STOPPED = {
    Activation.Reason.REQUEST,
    Activation.Reason.OVERRIDE,
    Activation.Reason.RELOAD,
    Activation.Reason.GATE,
}


def set_active(
    *, version: ModelVersion | None, reason: Activation.Reason, user: User | None = None, note: str = ""
) -> None:
    """Move the pointer that every web process follows, and log it. The version was loaded before.

    None: nothing serves. Raises NotAllowedNowError when the version's files were removed meanwhile, and
    FrozenError when somebody froze what serves while it was loaded: whoever freezes waits for this, or this
    sees the freeze.
    """
    with transaction.atomic():
        policy = locked_policy()
        # All rows in one order: two activations at once wait for each other instead of colliding.
        list(ModelVersion.objects.select_for_update().order_by("pk").values_list("pk"))
        before = ModelVersion.objects.active()
        if before is not None and reason in STOPPED:
            refuse_frozen(policy)
        ModelVersion.objects.filter(is_active=True).update(is_active=False)
        if version is not None:
            row = ModelVersion.objects.filter(pk=version.pk, pruned_at=None)
            moved = row.update(is_active=True, declined_at=None, declined_by=None)
            if not moved:
                raise NotAllowedNowError(f"The files of {version} were removed.")
        activation = Activation.objects.create(
            version=version,
            reason=reason,
            activated_by=user,
            note=note,
            newest_version=ModelVersion.objects.first(),
        )
        if version is not None:
            notices.version_activated(activation=activation, before=before)
        failpoint("activate.moved")


def activate_version(
    *,
    version: ModelVersion,
    reason: Activation.Reason = Activation.Reason.REQUEST,
    user: User | None = None,
    note: str = "",
) -> ModelVersion:
    """Verify, load and try the version, then let it serve; the fresh row.

    In the place of another one by request: never while it is frozen, and against the gate only with a
    note that says why, kept as an override.
    Raises FrozenError, GateRefusedError or UnservableVersionError, and what served keeps serving.
    """
    note = note.strip()
    if version.pruned_at is not None:
        raise UnservableVersionError(f"The files of {version} were removed on {version.pruned_at:%Y-%m-%d}.")
    champion = ModelVersion.objects.active()
    if reason == Activation.Reason.REQUEST and champion not in {None, version}:
        refuse_frozen(current_policy())
        if version.is_refused:
            _refuse_without(note, version)
            reason = Activation.Reason.OVERRIDE
    artifacts.load_scorer(version)
    failpoint("activate.loaded")
    if champion != version:
        set_active(version=version, reason=reason, user=user, note=note)
    failpoint("activate.committed")
    version.refresh_from_db()
    return version


def _refuse_without(note: str, version: ModelVersion) -> None:
    if not note:
        sentence = version.comparison.get("sentence", "")
        raise GateRefusedError(
            f"The gate refused {version}. {sentence} To activate it all the same, give a reason."
        )


def version_before(champion: ModelVersion | None = None) -> ModelVersion | None:
    """What served before the version that serves, and can serve again: where a roll back leads.

    A roll back is a step back, not another activation: after it, the way leads further back.
    """
    champion = champion or ModelVersion.objects.active()
    if champion is None:
        return None
    activations = Activation.objects.exclude(version=None)
    since = activations.filter(version=champion).exclude(reason=Activation.Reason.ROLLBACK).first()
    if since is None:
        return None
    earlier = activations.filter(pk__lt=since.pk).exclude(version=champion)
    usable = earlier.filter(version__pruned_at=None, version__verification_error="")
    found = usable.select_related("version").first()
    return found.version if found else None


def roll_back(*, version: ModelVersion, user: User | None = None) -> ModelVersion:
    """Let the version that served before serve again: always open, even when frozen or against the gate.

    Raises NotAllowedNowError when `version` is not that one (any more), or UnservableVersionError.
    """
    if version != version_before():
        raise NotAllowedNowError(f"{version} is not the version that served before.")
    return activate_version(version=version, reason=Activation.Reason.ROLLBACK, user=user)


def keep_champion(*, candidate: ModelVersion, user: User | None = None) -> None:
    """Somebody looked at the candidate and lets the champion go on serving; it can still be activated.

    Raises NotAllowedNowError when the candidate serves, or that was said before.
    """
    undecided = ModelVersion.objects.filter(pk=candidate.pk, is_active=False, declined_at=None)
    if not undecided.update(declined_at=timezone.now(), declined_by=user):
        raise NotAllowedNowError(f"{candidate} serves, or it was decided already that it shall not.")


def newest_version() -> ModelVersion | None:
    """What a reload activates: the newest since the last restore; after a restore alone, the one that serves.

    What a restore turned its back on is not brought back by a client's habit to reload: it can be
    activated by name. While it is frozen, what serves goes on serving.
    """
    champion = ModelVersion.objects.active()
    if champion is not None and current_policy().is_frozen:
        return champion
    restored = Activation.objects.filter(reason=Activation.Reason.RESTORE).first()
    versions = ModelVersion.objects.filter(pruned_at=None)
    if restored is None:
        return versions.first()
    if restored.newest_version_id is not None:
        return versions.filter(pk__gt=restored.newest_version_id).first() or champion
    # Noted before the newest version was; or there was none.
    return versions.filter(created_at__gt=restored.activated_at).first() or champion


def reload_newest(*, user: User | None = None) -> ModelVersion:
    """Activate the newest version; UnservableVersionError when there is none or it is broken."""
    version = newest_version()
    if version is None:
        raise UnservableVersionError("No model has been trained yet.")
    try:
        return activate_version(version=version, reason=Activation.Reason.RELOAD, user=user)
    except FrozenError:  # while the version was loaded: what serves goes on serving
        return newest_version() or version


def compare(
    candidate: Mapping[str, Any],
    champion: Mapping[str, Any] | None,
    unknown: gate.Reason | None = None,
) -> dict[str, Any]:
    """The gate: {"outcome", "passed", "sentence", "candidate", "champion"}, from the same held-out rows.

    Candidate and champion are {target: metrics}. Passed when the mean MAE is not worse by more than
    MEAN_TOLERANCE and no target's by more than TARGET_TOLERANCE. `unknown` says why there are no metrics of
    a champion although a version had been trained before; without it, None is the first version ever.
    What cannot be compared has not passed, and waits for a person (`gate.WAITS`).
    """
    candidate_mae, champion_mae = _mae(candidate), _mae(champion)
    verdict: dict[str, Any] = {"candidate": candidate_mae, "champion": champion_mae}
    if why := _not_comparable(candidate_mae, champion_mae if champion is not None else None, unknown):
        sentence = gate.describe_in_english(why)
        refusal = {"passed": False, "sentence": sentence, gate.WAITS: why}
        return verdict | {"outcome": gate.Outcome.NOT_COMPARED.value} | refusal
    if champion is None:
        sentence = "There was no champion to compare with."
        return verdict | {"outcome": gate.Outcome.FIRST.value, "passed": True, "sentence": sentence}
    verdict["outcome"] = gate.Outcome.COMPARED.value
    worse = {target: candidate_mae[target] - champion_mae[target] for target in TARGETS}
    mean = sum(worse.values()) / len(worse)
    worst = max(worse, key=lambda target: worse[target])
    if worse[worst] > TARGET_TOLERANCE:
        passed, finding = (
            False,
            f"Worse on {worst}: MAE {candidate_mae[worst]:.3f}, not {champion_mae[worst]:.3f}",
        )
    else:
        passed = mean <= MEAN_TOLERANCE
        finding = f"{'Not worse' if passed else 'Worse'} than the champion: mean MAE {mean:+.3f}"
    return verdict | {"passed": passed, "sentence": f"{finding} on the same held-out records."}


def _not_comparable(
    candidate: Mapping[str, float], champion: Mapping[str, float] | None, unknown: gate.Reason | None
) -> gate.Reason | None:
    """Why nothing can be said, or None."""
    if not candidate:
        return gate.reason(gate.Code.NOTHING_HELD_OUT)
    if unknown is not None:
        return unknown
    for measured in (candidate, champion):
        missing = [target for target in TARGETS if measured is not None and target not in measured]
        if missing:
            return gate.reason(gate.Code.TARGET_UNMEASURED, score=missing[0])
    return None


def _mae(metrics: Mapping[str, Any] | None) -> dict[str, float]:
    """The MAE of each target that was measured."""
    maes = {target: (metrics or {}).get(target, {}).get("mae") for target in TARGETS}
    return {target: mae for target, mae in maes.items() if mae is not None and isfinite(mae)}


def retention_of_versions(*, keep: int | None = None) -> dict[ModelVersion, Reason | None]:
    """Return the usable versions, newest first, and why each is kept; None: retention removes it.

    `keep` of the newest that differ, instead of what the training policy says. What serves and what served
    before it are always kept. What is quarantined is neither counted nor removed: a person looks at it first.
    """
    keep = current_policy().versions_kept if keep is None else keep
    usable = list(ModelVersion.objects.usable())
    active = next((version for version in usable if version.is_active), None)
    in_use = [active, version_before(active)] if active else []
    reasons = versions_to_keep(usable, recent=keep, in_use=in_use)
    return {version: reasons.get(version) for version in usable}


def prunable_versions(*, keep: int | None = None) -> list[ModelVersion]:
    """Return the versions that retention does not keep; `keep` as in `retention_of_versions`."""
    return [version for version, reason in retention_of_versions(keep=keep).items() if reason is None]


def prune_versions(*, keep: int | None = None) -> list[str]:
    """Remove the files of the versions that retention does not keep; their names."""
    pruned = prunable_versions(keep=keep)
    for version in pruned:
        artifacts.remove(version)
    return [version.name for version in pruned]
