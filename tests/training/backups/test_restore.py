"""A restore brings models and training set back together, and loses nothing."""

import errno
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connections
from pytest_django import Settings

from tests.factories import (
    ApprovedFactory,
    SessionFactory,
    UserFactory,
    WebhookFactory,
    report,
)
from tests.storing import content_of, file_of, names_in, rename
from tests.trained import approved_records, identical, predictions, trained_version
from tests.training.backups.state import training_set, whole_state
from training import artifacts, backups, frames, restoring, sessions, versions
from training.errors import BackupError, SessionActiveError, UnwritableBackupError
from training.models import Activation, Anomaly, Backup, Delivery, ModelVersion, TrainingSession
from training.records import reports_from_frame
from training.restoring import RestorePreview

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_storage")]
MANUAL = Backup.Kind.MANUAL
Status = Anomaly.Status


# --- What comes back ---------------------------------------------------------------------------


def test_predictions_come_back_bit_for_bit_and_the_training_set_exactly(version: ModelVersion) -> None:
    present, fingerprint = training_set(), frames.fingerprint(frames.approved_frame())
    suggestions = predictions(version)
    backup = backups.create_backup(kind=MANUAL)
    Anomaly.objects.all().delete()
    ApprovedFactory.create_batch(3)
    newer = trained_version("version_2")
    versions.set_active(version=newer, reason=Activation.Reason.RELOAD)
    assert not identical(predictions(newer), suggestions)

    restoring.restore_backup(backup=backup)

    active = ModelVersion.objects.active()
    assert active == version
    assert active is not None
    assert identical(predictions(active), suggestions)
    assert training_set() == present
    assert frames.fingerprint(frames.approved_frame()) == fingerprint


def test_the_backup_of_a_training_takes_its_batch_back_too(version: ModelVersion) -> None:
    known = reports_from_frame(frames.approved_frame())[0]
    before = training_set()
    session = sessions.accept_batch(reports=[replace(known, fiability_score=5.0), report(1)])
    backup = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING, before=session)
    sessions.cancel_session(session=session)

    result = restoring.restore_backup(backup=backup)

    assert (result.records_to_pending, result.records_changed) == (1, 1)
    assert training_set() == before
    assert Anomaly.objects.get(anomaly_id="R-1").status == Status.PENDING


def test_the_preview_says_what_the_restore_then_does(
    backup: Backup, version: ModelVersion, second: ModelVersion
) -> None:
    before = whole_state()

    preview = restoring.preview_restore(backup=backup)

    assert preview == RestorePreview(
        version_from=second,
        version_to=version,
        records_to_pending=2,
        records_reapproved=2,
        records_recreated=1,
        scores_changed=3,
        texts_changed=3,
        records_in_backup=12,
        examples=preview.examples,
    )
    told = [(change.anomaly_id, change.kind.value, change.old, change.new) for change in preview.examples]
    assert told == [
        ("new-2", "to_pending", (2, 1, 3), None),
        ("new-1", "to_pending", (2, 1, 3), None),
        ("T-000", "scores", (5, 5, 5), (1, 1, 5)),
        ("T-001", "scores", (2, 1.5, 1.5), (2, 1.5, 4)),
        ("T-002", "scores", (None, 2, 3), (3, 2, 3)),
        ("T-003", "texts", (4, 1, 2), (4, 1, 2)),
        ("T-004", "texts", (5, 1.5, 5), (5, 1.5, 5)),
        ("T-005", "recreated", None, (1, 2, 4)),
        ("T-010", "texts", (1, 1.5, 3), (1, 1.5, 3)),
    ]
    assert whole_state() == before
    result = restoring.restore_backup(backup=backup)
    assert (result.backup, result.version) == (backup, version)
    assert (result.records_to_pending, result.records_recreated) == (2, 1)
    assert (result.records_changed, result.records_unchanged) == (6, 5)
    after = restoring.preview_restore(backup=backup)
    assert after == RestorePreview(
        version_from=version,
        version_to=version,
        records_to_pending=0,
        records_reapproved=0,
        records_recreated=0,
        scores_changed=0,
        texts_changed=0,
        records_in_backup=12,
    )


def test_a_preview_lists_some_of_many(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "EXAMPLES", 3)
    newest = ApprovedFactory.create_batch(5)[:1:-1]
    Anomaly.objects.filter(anomaly_id__startswith="T-").update(availability_score=5)
    preview = restoring.preview_restore(backup=backup)
    assert (preview.records_to_pending, preview.scores_changed) == (5, 10)
    assert [change.anomaly_id for change in preview.examples] == [anomaly.anomaly_id for anomaly in newest]


def test_restoring_loses_nothing(backup: Backup, second: ModelVersion) -> None:
    present, suggestions = training_set(), predictions(second)

    result = restoring.restore_backup(backup=backup)

    assert set(Anomaly.objects.pending().values_list("anomaly_id", flat=True)) == {
        "new-1",
        "new-2",
        "waiting",
    }
    kept = Anomaly.objects.get(anomaly_id="new-1")
    assert (kept.scores, kept.reviewed_by, kept.reviewed_at) == (
        {"availability_score": 2.0, "fiability_score": 1.0, "process_safety_score": 3.0},
        None,
        None,
    )
    safety = result.safety_backup
    assert (safety.kind, safety.model_version) == (Backup.Kind.BEFORE_RESTORE, second)
    restoring.restore_backup(backup=safety)
    assert training_set() == present
    assert ModelVersion.objects.active() == second
    assert identical(predictions(second), suggestions)


def test_every_change_is_in_the_history_with_who_and_why(backup: Backup, second: ModelVersion) -> None:
    user: User = UserFactory.create()
    Anomaly.history.all().delete()

    restoring.restore_backup(backup=backup, user=user)

    changes = Anomaly.history.values_list(
        "anomaly_id", "history_type", "status", "source", "history_user", "history_change_reason"
    )
    why = (user.pk, f"Restored from {backup.name}")
    assert set(changes) == {
        *((f"T-{n:03d}", "~", "approved", "admin", *why) for n in range(5)),
        ("T-005", "+", "approved", "restore", *why),
        ("T-010", "~", "approved", "admin", *why),
        ("new-1", "~", "pending", "admin", *why),
        ("new-2", "~", "pending", "admin", *why),
    }
    assert len(changes) == 9
    reviewed = Anomaly.objects.filter(reviewed_by=user).values_list("anomaly_id", flat=True)
    assert set(reviewed) == {f"T-{n:03d}" for n in (*range(6), 10)}


def test_the_activation_is_logged(backup: Backup, version: ModelVersion, second: ModelVersion) -> None:
    user: User = UserFactory.create()

    restoring.restore_backup(backup=backup, user=user)

    newest = Activation.objects.first()
    assert newest is not None
    assert (newest.version, newest.reason, newest.activated_by) == (version, "restore", user)
    assert list(ModelVersion.objects.filter(is_active=True)) == [version]


def test_it_is_told(backup: Backup, version: ModelVersion, second: ModelVersion) -> None:
    WebhookFactory.create()
    result = restoring.restore_backup(backup=backup, user=UserFactory.create(username="ines"))
    activated, restored = Delivery.objects.order_by("pk")
    assert (activated.event, restored.event) == ("version.activated", "backup.restored")
    assert restored.payload["data"] == {
        "backup": backup.name,
        "safety_backup": result.safety_backup.name,
        "version": version.pk,
        "records": {"to_pending": 2, "recreated": 1, "changed": 6},
        "user": "ines",
    }


def test_a_backup_from_before_the_first_model_leaves_none_active() -> None:
    approved_records()
    backup = backups.create_backup(kind=MANUAL)
    trained_version(is_active=True)

    result = restoring.restore_backup(backup=backup)

    assert result.version is None
    assert ModelVersion.objects.active() is None
    newest = Activation.objects.first()
    assert newest is not None
    assert (newest.version, newest.reason) == (None, "restore")


def test_an_empty_training_set_is_restored_too() -> None:
    backup = backups.create_backup(kind=MANUAL)
    ApprovedFactory.create_batch(3)

    result = restoring.restore_backup(backup=backup)

    assert (result.records_to_pending, Anomaly.objects.approved().count()) == (3, 0)


# --- The version's files -----------------------------------------------------------------------


def test_removed_files_are_written_anew(backup: Backup, version: ModelVersion, second: ModelVersion) -> None:
    version.refresh_from_db()
    suggestions = predictions(version)
    artifacts.remove(version)

    restoring.restore_backup(backup=backup)

    version.refresh_from_db()
    assert (version.is_active, version.pruned_at) == (True, None)
    assert identical(predictions(version), suggestions)
    assert names_in("model_versions") == ["version_1", "version_2"]


def test_damaged_files_are_kept_aside_and_written_anew(
    backup: Backup, version: ModelVersion, second: ModelVersion
) -> None:
    suggestions = predictions(version)
    file_of(version, "features.pkl").write_bytes(b"damaged")
    with pytest.raises(Exception, match="truncated"):
        artifacts.verify(version)

    restoring.restore_backup(backup=backup)

    version.refresh_from_db()
    assert (version.is_active, version.verification_error) == (True, "")
    assert identical(predictions(version), suggestions)
    (aside, *_) = names_in("model_versions")
    assert aside.startswith(".damaged-version_1-")
    assert content_of("model_versions", aside, "features.pkl") == b"damaged"


def test_genuine_files_of_another_model_do_not_pass_for_the_version(
    backup: Backup, version: ModelVersion, second: ModelVersion
) -> None:
    suggestions = predictions(version)
    artifacts.set_aside(version)
    rename(second, version)

    restoring.restore_backup(backup=backup)

    version.refresh_from_db()
    assert identical(predictions(version), suggestions)


def test_a_version_is_written_anew_under_the_key_of_the_day(
    backup: Backup, version: ModelVersion, second: ModelVersion, settings: Settings
) -> None:
    suggestions, old = predictions(version), settings.ARTIFACT_SIGNING_KEYS[0]
    artifacts.set_aside(version)
    settings.ARTIFACT_SIGNING_KEYS = ["newer", old]

    restoring.restore_backup(backup=backup)

    settings.ARTIFACT_SIGNING_KEYS = ["newer"]
    version.refresh_from_db()
    assert identical(predictions(version), suggestions)


def test_files_that_are_removed_meanwhile_stop_the_restore(
    backup: Backup, version: ModelVersion, second: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    version.refresh_from_db()
    real = restoring._shut_out_writers

    def pruned_meanwhile() -> None:
        artifacts.remove(version)
        real()

    monkeypatch.setattr(restoring, "_shut_out_writers", pruned_meanwhile)
    WebhookFactory.create()
    with pytest.raises(BackupError, match=r"^The files of version_1 were removed meanwhile"):
        restoring.restore_backup(backup=backup)
    assert not Delivery.objects.exists()  # what did not happen is not told


def test_a_backup_whose_model_was_damaged_activates_it_once_it_verifies_again(version: ModelVersion) -> None:
    path = file_of(version, "features.pkl")
    genuine = path.read_bytes()
    path.write_bytes(b"damaged")
    backup = backups.create_backup(kind=MANUAL)
    ApprovedFactory.create(anomaly_id="new")
    before = whole_state()

    with pytest.raises(BackupError, match=rf"^{backup.name} holds the records, but no model: 'feat"):
        restoring.preview_restore(backup=backup)
    with pytest.raises(BackupError, match="but no model"):
        restoring.restore_backup(backup=backup)
    assert whole_state() == before
    assert Backup.objects.count() == 1

    path.write_bytes(genuine)
    result = restoring.restore_backup(backup=backup)
    assert (result.version, result.records_to_pending) == (version, 1)
    assert ModelVersion.objects.active() == version


# --- Sessions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [TrainingSession.Status.QUEUED, TrainingSession.Status.RUNNING])
def test_a_training_refuses_the_restore(backup: Backup, second: ModelVersion, status: str) -> None:
    SessionFactory.create(status=status)
    before = whole_state()

    with pytest.raises(SessionActiveError):
        restoring.restore_backup(backup=backup)

    assert whole_state() == before
    assert Backup.objects.count() == 1


def test_a_training_that_starts_meanwhile_refuses_the_restore(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = backups.create_backup

    def create(**kwargs: Any) -> Backup:
        made = real(**kwargs)
        SessionFactory.create()
        return made

    monkeypatch.setattr(backups, "create_backup", create)
    before = whole_state() | {"sessions": None}

    with pytest.raises(SessionActiveError):
        restoring.restore_backup(backup=backup)

    assert whole_state() | {"sessions": None} == before


@pytest.mark.django_db(transaction=True)
def test_no_session_starts_and_no_record_changes_while_a_restore_switches(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    started = [threading.Event(), threading.Event()]

    def writer(number: int, write: Callable[[], object]) -> threading.Thread:
        def run() -> None:
            started[number].set()
            write()
            ended.append("writer")
            connections.close_all()

        return threading.Thread(target=run)

    writers = [
        writer(0, SessionFactory.create),
        writer(1, lambda: ApprovedFactory.create(anomaly_id="later")),
    ]
    real = versions.set_active

    def with_writers_waiting(**kwargs: Any) -> None:
        for thread, event in zip(writers, started, strict=True):
            thread.start()
            event.wait(5)
        writers[0].join(0.3)
        real(**kwargs)
        ended.append("restore")

    monkeypatch.setattr("training.restoring.versions.set_active", with_writers_waiting)
    restoring.restore_backup(backup=backup)
    for thread in writers:
        thread.join(10)

    assert ended == ["restore", "writer", "writer"]
    assert TrainingSession.objects.active().count() == 1
    assert Anomaly.objects.get(anomaly_id="later").status == Status.APPROVED


@pytest.mark.django_db(transaction=True)
def test_readers_go_on_while_a_restore_switches(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    real = versions.set_active

    def read() -> None:
        seen.append(ModelVersion.objects.active())
        seen.append(Anomaly.objects.approved().count())
        connections.close_all()

    def with_reader(**kwargs: Any) -> None:
        real(**kwargs)
        reader = threading.Thread(target=read)
        reader.start()
        reader.join(5)

    monkeypatch.setattr("training.restoring.versions.set_active", with_reader)
    restoring.restore_backup(backup=backup)

    assert seen == [second, 11]


@pytest.mark.parametrize("point", ["restore.verified", "restore.copied", "restore.locked", "restore.stored"])
def test_a_disk_that_refuses_anywhere_is_told_and_changes_nothing(
    backup: Backup, second: ModelVersion, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    def refuse(passed: str) -> None:
        if passed == point:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(restoring, "failpoint", refuse)
    before = list(Anomaly.objects.order_by("pk").values())
    with pytest.raises(UnwritableBackupError, match=r"^The disk refused: No space left on device\.$"):
        restoring.restore_backup(backup=backup)
    assert ModelVersion.objects.active() == second
    assert list(Anomaly.objects.order_by("pk").values()) == before
