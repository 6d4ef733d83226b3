"""One attempt at a training session, told from the backup to the published version.

It runs in a process of its own that may be killed at any moment. What it leaves then is a backup, or a
directory without a row, never a version that is half there: the last transaction makes the row, checks that
this attempt still holds the session, and closes it.
"""

import logging
import os
import threading
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pandas as pd
from django.db import InterfaceError, OperationalError, connection, transaction

from training import artifacts, backups, frames, gate, nodes, sessions, versions
from training.database import database_now
from training.errors import (
    BackupError,
    IncompatibleVersionError,
    LeaseLostError,
    StorageError,
    TrainingError,
    UnservableVersionError,
    UnwritableBackupError,
)
from training.ml import bundle, libraries
from training.ml.errors import MLError
from training.ml.failpoints import failpoint
from training.ml.fitting import TrainedModel, fit_and_measure
from training.ml.manifest import Manifest
from training.ml.scorer import AnomalyScorer
from training.ml.statistics import training_statistics
from training.models import Activation, Backup, ModelVersion, TrainingPolicy, TrainingSession
from training.outages import FailureLog
from training.policy import frozen_sentence, locked_policy
from training.session_log import note_event

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

Step = TrainingSession.Step

LOOK = 1.0  # seconds between looks at the lease
LOST = 3  # exit code
LEASE_UNSEEN = "The lease could not be looked at"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Which attempt at which session; every write is fenced by both numbers."""

    session_id: int
    number: int

    def advance(self, step: TrainingSession.Step, progress: int) -> None:
        """Say where the training is. Raises LeaseLostError."""
        sessions.advance(self.session_id, self.number, step, progress)
        logger.info("Training session %d: %s, %d %%", self.session_id, step.value, progress)


@dataclass(frozen=True, kw_only=True)
class Champion:
    """What the candidate is compared with; `unknown`: why it cannot be, unless it is the first ever."""

    version: ModelVersion | None
    twin: AnomalyScorer | None = None
    unknown: gate.Reason | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """The approved records, and the moment before they were read."""

    frame: pd.DataFrame
    read_at: datetime


def run_attempt(session_id: int, number: int) -> None:
    """Train and close the session, unless another attempt holds it by then.

    An error that would come again fails the session with its reason. Any other one passes through: the
    supervisor decides about another attempt.
    """
    try:
        _train(Attempt(session_id=session_id, number=number))
    except LeaseLostError as error:
        logger.warning("%s", error)
    except (UnwritableBackupError, StorageError) as error:
        sessions.fail(session_id, number, reason=str(error), cause=TrainingSession.Cause.DISK)
    except (TrainingError, MLError) as error:
        sessions.fail(session_id, number, reason=str(error))
    except OSError as error:
        reason = f"The disk refused: {error.strerror or error}."
        sessions.fail(session_id, number, reason=reason, cause=TrainingSession.Cause.DISK)


def leave_when_lost(session_id: int, number: int) -> None:
    """End this process, whatever it does, soon after its attempt lost the session.

    The fence keeps such an attempt from publishing; this keeps it from working beside its successor.
    """
    threading.Thread(target=_watch_lease, args=(session_id, number), daemon=True).start()


def _watch_lease(session_id: int, number: int) -> None:
    while True:
        time.sleep(LOOK)
        failpoint("lease.look")
        try:
            if not sessions.holds(session_id, number) and not sessions.has_ended(session_id, number):
                logger.error("Attempt %d lost training session %d: leaving", number, session_id)
                os._exit(LOST)
            failures.succeeded(LEASE_UNSEEN)
        except (OperationalError, InterfaceError) as error:
            failures.failed(LEASE_UNSEEN, error)
            connection.close()


def _train(attempt: Attempt) -> None:
    session = TrainingSession.objects.select_related("backup").get(pk=attempt.session_id)
    serving = ModelVersion.objects.active()
    failpoint("training.started")
    attempt.advance(Step.BACKUP, 1)
    _back_up(session, attempt)
    failpoint("training.backed_up")
    attempt.advance(Step.LOAD, 10)
    training_set = TrainingSet(read_at=database_now(), frame=frames.approved_frame())
    failpoint("training.loaded")
    attempt.advance(Step.EVALUATE, 15)
    champion = _champion(serving)
    trained = _fit(training_set, champion, attempt)
    failpoint("training.fitted")
    attempt.advance(Step.WRITE, 85)
    manifest = _write(trained, f"version_{training_set.read_at:%Y%m%d_%H%M%S}_{session.pk}_{attempt.number}")
    failpoint("training.written")
    attempt.advance(Step.PUBLISH, 97)
    failpoint("training.publishing")
    version = _version(trained, training_set, manifest, champion)
    _publish(version, session, champion, attempt)


def _back_up(session: TrainingSession, attempt: Attempt) -> None:
    """What was before the session; a second attempt keeps the first one's backup if it is sound."""
    if session.backup is not None:
        try:
            artifacts.verify(session.backup)
        except BackupError as error:
            logger.warning("%s The present is backed up again.", error)
        else:
            return
    backup = backups.create_backup(
        kind=Backup.Kind.BEFORE_TRAINING, user=session.requested_by, before=session
    )
    sessions.keep_backup(attempt.session_id, attempt.number, backup)


def _fit(training_set: TrainingSet, champion: Champion, attempt: Attempt) -> TrainedModel:
    def on_progress(done: int, total: int, _label: str) -> None:
        step = Step.FIT if done * 2 > total else Step.EVALUATE
        attempt.advance(step, 15 + 70 * done // total)
        failpoint("training.fitting")

    return fit_and_measure(training_set.frame, champion_twin=champion.twin, on_progress=on_progress)


def _champion(version: ModelVersion | None) -> Champion:
    """One that cannot be read does not stop its successor's training, only that it serves by itself."""
    code, error = gate.Code.CHAMPION_UNMEASURED, ""
    if version is None:
        is_first = not ModelVersion.objects.exists()
        return Champion(version=None, unknown=None if is_first else gate.reason(gate.Code.NO_CHAMPION))
    try:
        if twin := artifacts.load_twin(version):
            return Champion(version=version, twin=twin)
    except IncompatibleVersionError as incompatible:
        code, error = gate.Code.CHAMPION_INCOMPATIBLE, str(incompatible)
    except UnservableVersionError as damage:
        code, error = gate.Code.CHAMPION_DAMAGED, str(damage)
    unknown = gate.reason(code, version=version.pk, error=error)
    logger.warning("%s", gate.describe_in_english(unknown))
    return Champion(version=version, unknown=unknown)


def _write(trained: TrainedModel, name: str) -> Manifest:
    """The files under that name, read back and tried: a version whose row exists can be loaded."""
    facts: dict[str, Any] = {}
    with artifacts.publish(ModelVersion, name, facts=facts) as directory:
        facts |= bundle.write_bundle(
            directory,
            scorer=trained.scorer,
            twin=trained.twin,
            neighbours=trained.neighbours,
            held_out=trained.held_out,
        )
    manifest = artifacts.read_back(ModelVersion, name)
    bundle.read_scorer(manifest)
    return manifest


def _version(
    trained: TrainedModel, training_set: TrainingSet, manifest: Manifest, champion: Champion
) -> ModelVersion:
    """The row, not saved yet."""
    now = database_now()
    compared_with, unknown = champion.version and champion.version.pk, champion.unknown
    if compared_with and trained.champion_metrics is None:
        unknown = unknown or gate.reason(gate.Code.CHAMPION_UNMEASURED, version=compared_with)
    comparison = versions.compare(trained.metrics["model"], trained.champion_metrics, unknown)
    return ModelVersion(
        name=manifest.path.name,
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        created_at=now,
        verified_at=now,
        dataset_rows=len(training_set.frame),
        dataset_fingerprint=frames.fingerprint(training_set.frame),
        dataset_read_at=training_set.read_at,
        libraries={name: manifest.facts[name] for name in libraries.NAMES},
        metrics=trained.metrics,
        statistics=training_statistics(training_set.frame),
        comparison=comparison
        | {"champion_version": compared_with, "champion_metrics": trained.champion_metrics},
    )


def _publish(version: ModelVersion, session: TrainingSession, champion: Champion, attempt: Attempt) -> None:
    """Version, activation and the session's end together, or nothing. Raises LeaseLostError.

    What a scheduled training does not activate by itself, it says why in its log; what could not be compared,
    every training.
    """
    with transaction.atomic():
        version.save(force_insert=True)
        failpoint("training.saved")
        if session.trigger == TrainingSession.Trigger.SCHEDULE:
            if kept := _why_not_activated(version, champion.version):
                note_event(attempt.session_id, attempt.number, f"Not activated by itself: {kept}")
            else:
                reason = Activation.Reason.GATE if champion.version else Activation.Reason.FIRST
                versions.set_active(version=version, reason=reason)
        elif not version.was_compared:
            note_event(attempt.session_id, attempt.number, str(version.comparison["sentence"]))
        sessions.finish(attempt.session_id, attempt.number, version=version)
        failpoint("training.finished")
    failpoint("training.published")
    logger.info("Training session %d published %s", session.pk, version)


def _why_not_activated(version: ModelVersion, champion: ModelVersion | None) -> str:
    """The gate, the policy, a freeze, another champion or a web node; empty when nothing is in the way."""
    policy = locked_policy()
    if policy.is_frozen:
        return frozen_sentence(policy)
    if policy.activation == TrainingPolicy.Activation.NEVER:
        return "the training policy leaves that to a person."
    if version.comparison["passed"] is not True:
        return str(version.comparison["sentence"])
    return _what_changed(version, champion)


def _what_changed(version: ModelVersion, champion: ModelVersion | None) -> str:
    """Why a version that passed the gate waits for a person all the same; empty when it need not."""
    if ModelVersion.objects.active() != champion:
        return _leave_to_person(version, gate.reason(gate.Code.CHAMPION_CHANGED))
    if champion is None and ModelVersion.objects.exclude(pk=version.pk).exists():
        return _leave_to_person(version, gate.reason(gate.Code.NO_CHAMPION))
    if unable := nodes.web_nodes_without(version.libraries):
        return _leave_to_person(version, gate.reason(gate.Code.NODES_CANNOT_LOAD, nodes="; ".join(unable)))
    return ""


def _leave_to_person(version: ModelVersion, why: gate.Reason) -> str:
    """Keep why the version waits, though it passed the gate; the sentence."""
    version.comparison[gate.WAITS] = why
    version.save(update_fields=["comparison"])
    return gate.describe_in_english(why)
