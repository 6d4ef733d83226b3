"""What stays, however often somebody trains; and which backup is the newest, whatever the clocks say."""

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tests.factories import (
    ApprovedFactory,
    BackupFactory,
    SessionFactory,
    VersionFactory,
    report,
)
from tests.trained import approved_records, trained_version
from training import artifacts, backups, nodes, restoring, runner, sessions, troubles, upkeep, versions
from training.database import database_now
from training.errors import BackupError, NotAllowedNowError
from training.findings import Code
from training.models import Activation, Backup, ModelVersion, TrainingSession
from training.retention import Reason

pytestmark = pytest.mark.django_db
Kind = Backup.Kind
DAY = timedelta(days=1)


def set_clock(monkeypatch: pytest.MonkeyPatch, ahead: timedelta) -> None:
    """This machine's clock, which is also SQLite's."""
    real = timezone.now
    monkeypatch.setattr("django.utils.timezone.now", lambda: real() + ahead)


def names() -> list[str]:
    return [backup.name for backup in Backup.objects.available()]


# --- Retention ---------------------------------------------------------------------------------


def test_what_is_kept_and_why(settings: Settings) -> None:
    settings.KEEP_BACKUPS, settings.KEEP_DAILY_BACKUPS, settings.KEEP_WEEKLY_BACKUPS = 2, 3, 3
    active = VersionFactory.create(is_active=True)
    now = datetime(2026, 11, 20, 12, tzinfo=UTC)  # a Friday
    made = [
        BackupFactory.create(created_at=now - days * DAY, kind=kind, model_version=version)
        for days, kind, version in (
            (40, Kind.BEFORE_TRAINING, None),
            (20, Kind.MANUAL, None),
            (19, Kind.BEFORE_TRAINING, active),
            (18, Kind.BEFORE_TRAINING, None),
            (9, Kind.BEFORE_TRAINING, None),
            (8, Kind.BEFORE_TRAINING, None),
            (2, Kind.BEFORE_TRAINING, None),
            (1, Kind.BEFORE_TRAINING, None),
            (1, Kind.BEFORE_RESTORE, None),
            (0, Kind.BEFORE_TRAINING, None),
            (0, Kind.SCHEDULED, None),
        )
    ]
    reasons = list(backups.retention_of_backups().values())
    assert reasons[::-1] == [
        None, Reason.BY_HAND, Reason.IN_USE, Reason.WEEK, None, Reason.WEEK, Reason.DAY, None, Reason.DAY,
        Reason.RECENT, Reason.NEWEST,
    ]  # fmt: skip
    assert backups.prunable_backups() == [made[n] for n in (7, 4, 0)]


def test_21_trainings_that_learn_nothing_leave_what_there_was(settings: Settings) -> None:
    settings.KEEP_BACKUPS = 3
    approved_records()
    now = database_now()
    older = []
    for days in (9, 6, 5, 4, 3, 2, 1):
        ApprovedFactory.create()
        older.append(backups.create_backup(kind=Kind.BEFORE_TRAINING))
        Backup.objects.filter(pk=older[-1].pk).update(created_at=now - days * DAY)
        time.sleep(1)
    by_hand = [backups.create_backup(kind=Kind.MANUAL) for _ in range(2)]
    for n in range(21):
        Backup.objects.create(
            name=f"backup_20991231_{n:06d}",
            kind=Kind.BEFORE_TRAINING,
            created_at=now,
            digest=str(n),
            content_digest="the same",
            size_bytes=1,
            record_count=1,
        )
        backups.prune_backups()
    kept = set(Backup.objects.available())
    assert {*older[1:], *by_hand} <= kept
    assert len(kept) <= len(older) + len(by_hand) + 2


def test_trainings_of_the_same_records_make_equal_backups_and_versions(settings: Settings) -> None:
    """One record sent again and again: nothing to learn."""
    settings.KEEP_BACKUPS = settings.KEEP_MODEL_VERSIONS = 2
    settings.KEEP_DAILY_BACKUPS = settings.KEEP_WEEKLY_BACKUPS = 0
    settings.KEEP_DAILY_MODEL_VERSIONS = settings.KEEP_WEEKLY_MODEL_VERSIONS = 0
    approved_records()
    before = [backups.create_backup(kind=Kind.BEFORE_TRAINING), trained_version("version_before")]
    sent = [report(1)]
    for _ in range(4):
        session = sessions.accept_batch(reports=sent)
        attempt = sessions.claim(session.pk)
        assert attempt == 1
        runner.run_attempt(session.pk, attempt)
        session.refresh_from_db()
        assert session.status == TrainingSession.Status.SUCCEEDED
    assert len(set(Backup.objects.values_list("content_digest", flat=True))) == 2
    assert len(set(ModelVersion.objects.values_list("dataset_fingerprint", flat=True))) == 2
    backups.prune_backups()
    versions.prune_versions()
    for row in before:
        row.refresh_from_db()
        # The backup before the first of them held the same; its own successor stands for it.
        assert row.pruned_at is None
    assert Backup.objects.available().count() == 3
    assert ModelVersion.objects.usable().count() == 3


def test_versions_the_active_one_and_the_one_before_stay(settings: Settings) -> None:
    settings.KEEP_MODEL_VERSIONS = 1
    settings.KEEP_DAILY_MODEL_VERSIONS, settings.KEEP_WEEKLY_MODEL_VERSIONS = 2, 0
    now = database_now()
    made = [VersionFactory.create(created_at=now - days * DAY) for days in (9, 8, 7, 6, 1, 0, 0)]
    for version in made[:2]:
        versions.set_active(version=version, reason=Activation.Reason.REQUEST)
    reasons = list(versions.retention_of_versions().values())[::-1]
    assert reasons == [
        Reason.IN_USE, Reason.IN_USE, None, None, Reason.DAY, None, Reason.NEWEST,
    ]  # fmt: skip
    assert versions.prunable_versions() == [made[5], made[3], made[2]]


def test_by_hand_is_removed_by_hand() -> None:
    ApprovedFactory.create()
    first, second = (backups.create_backup(kind=Kind.MANUAL) for _ in range(2))
    call_command("prune_backups", keep=1)
    assert names() == [second.name, first.name]
    with pytest.raises(CommandError, match=r"There is no backup 'x'\. Nothing was removed\."):
        call_command("prune_backups", first.name, "x")
    call_command("prune_backups", first.name, dry_run=True)
    assert names() == [second.name, first.name]
    call_command("prune_backups", first.name)
    assert names() == [second.name]
    with pytest.raises(CommandError, match="is the newest backup: make another one first"):
        call_command("prune_backups", second.name)


def test_the_backup_of_a_training_that_goes_on_is_not_removed() -> None:
    ApprovedFactory.create()
    backup, _newer = (backups.create_backup(kind=Kind.MANUAL) for _ in range(2))
    SessionFactory.create(backup=backup)
    with pytest.raises(NotAllowedNowError, match="a training that has not ended"):
        backups.remove_backup(backup=backup)


# --- Clocks ------------------------------------------------------------------------------------


def test_two_within_a_second_are_named_and_listed_in_the_order_made(client: Client) -> None:
    ApprovedFactory.create()
    made = [backups.create_backup(kind=Kind.MANUAL) for _ in range(3)]
    for backup in made:
        assert backup.name == f"backup_{backup.created_at:%Y%m%d_%H%M%S}"
        assert backup.created_at <= database_now()
    assert all(first.name < second.name for first, second in pairwise(made))
    listed = client.get("/train/backups").json()["backups"]
    assert [each["name"] for each in listed] == [backup.name for backup in reversed(made)]


def test_names_that_stay_taken_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr("training.artifacts._reserve", lambda *_: False)
    with pytest.raises(BackupError, match="took the name of each of the last seconds: try again"):
        backups.create_backup(kind=Kind.MANUAL)
    assert len(waits) == backups.MOST_SECONDS_TAKEN
    assert all(0 < seconds <= 1 for seconds in waits)


@pytest.fixture
def jumped(monkeypatch: pytest.MonkeyPatch) -> list[Backup]:
    """One made, one while the clock was an hour ahead, one after it was put right: in that order."""
    nodes.beat()
    approved_records()
    made = [backups.create_backup(kind=Kind.BEFORE_TRAINING)]
    with monkeypatch.context() as patch:
        set_clock(patch, timedelta(hours=1))
        made.append(backups.create_backup(kind=Kind.BEFORE_TRAINING))
    ApprovedFactory.create()
    made.append(backups.create_backup(kind=Kind.BEFORE_TRAINING))
    return made


def test_after_a_jump_the_newest_is_the_last_one_made(jumped: list[Backup], client: Client) -> None:
    listed = client.get("/train/backups").json()["backups"]
    assert [each["name"] for each in listed] == [backup.name for backup in reversed(jumped)]
    assert upkeep.newest_backup() == jumped[2]
    assert next(iter(backups.retention_of_backups(keep=1))) == jumped[2]
    backups.prune_backups(keep=1)
    assert Backup.objects.available().first() == jumped[2]
    assert restoring.restore_backup(backup=jumped[2]).records_to_pending == 0


def test_names_of_the_database_s_clock_do_not_run_ahead(jumped: list[Backup]) -> None:
    if connection.vendor == "postgresql":
        assert sorted(backup.name for backup in jumped) == [backup.name for backup in jumped]
        assert max(backup.created_at for backup in jumped) <= database_now()


def test_a_backup_from_the_future_is_none_that_is_young(settings: Settings) -> None:
    settings.BACKUP_EVERY_DAYS = 7
    ApprovedFactory.create()
    BackupFactory.create(created_at=database_now() + 30 * DAY, verified_at=database_now() + 30 * DAY)
    due = upkeep.backup_due_since()
    assert due is not None
    assert due <= database_now()
    assert list(troubles.backup_due()) == []
    backups.create_backup(kind=Kind.SCHEDULED)
    assert upkeep.backup_due_since() is None


@pytest.mark.parametrize("hours", [-1, 1])
def test_another_node_s_clock_ends_no_session(monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    """The node that looks differs from the one that wrote, by an hour either way."""
    if connection.vendor != "postgresql":
        pytest.skip("SQLite's clock is the machine's, and there is one machine")
    session = sessions.accept_batch(reports=[report(1)])
    set_clock(monkeypatch, timedelta(hours=hours))
    assert sessions.recover_sessions() == 0
    attempt = sessions.claim(session.pk)
    assert attempt == 1
    assert sessions.beat(session.pk, attempt) is False
    monkeypatch.undo()
    assert sessions.recover_sessions() == 0
    assert sessions.holds(session.pk, attempt)
    nodes.beat()
    set_clock(monkeypatch, timedelta(hours=hours))
    assert nodes.alive().count() == 1
    assert list(troubles.session_stuck()) == []
    assert [trouble.code for trouble in troubles.queue_silent()] == []


def test_a_reload_finds_what_was_trained_after_a_restore_by_a_clock_that_jumped_back(
    jumped: list[Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    older = trained_version("version_1", is_active=True)
    with monkeypatch.context() as patch:
        set_clock(patch, timedelta(hours=1))
        versions.set_active(version=older, reason=Activation.Reason.RESTORE)
    newer = trained_version("version_2", created_at=database_now())
    assert versions.newest_version() == newer


def test_what_is_taken_in_is_not_the_newest(client: Client) -> None:
    """Of another machine or another time, it must not come before what was made here."""
    ApprovedFactory.create()
    old = backups.create_backup(kind=Kind.MANUAL)
    old.delete()
    made = backups.create_backup(kind=Kind.MANUAL)
    call_command("adopt_backups")
    assert names() == [made.name, old.name]
    assert upkeep.newest_backup() == made
    assert [each["name"] for each in client.get("/train/backups").json()["backups"]] == names()
    call_command("restore_backup", newest=True, yes=True)
    assert Activation.objects.get().note == f"Restored from {made.name}"


# --- False alarms ------------------------------------------------------------------------------


def test_what_is_pruned_during_the_look_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    ApprovedFactory.create()
    older, newer = (backups.create_backup(kind=Kind.BEFORE_TRAINING) for _ in range(2))
    look = artifacts.is_there

    def pruned_meanwhile(stored: artifacts.Stored) -> bool:
        if stored == newer and not Backup.objects.get(pk=older.pk).pruned_at:
            artifacts.remove(Backup.objects.get(pk=older.pk))
        return look(stored)

    monkeypatch.setattr(artifacts, "is_there", pruned_meanwhile)
    assert list(troubles.files_missing()) == []
    monkeypatch.undo()
    artifacts.set_aside(newer)
    assert [trouble.code for trouble in troubles.files_missing()] == [Code.FILES_MISSING]


def test_a_backup_that_is_just_made_is_not_unknown() -> None:
    ApprovedFactory.create()
    backup = backups.create_backup(kind=Kind.MANUAL)
    backup.delete()  # as if its row were still to come
    assert list(troubles.files_orphaned()) == []
    assert artifacts.unknown_backups() == [backup.name]


# --- Restores through every door ---------------------------------------------------------------


def by_command(backup: Backup, _client: Client) -> None:
    call_command("restore_backup", backup.name, yes=True)


def by_the_guide(backup: Backup, client: Client) -> None:
    assert client.post(f"/train/restore/{backup.name}").status_code == 200


def by_the_verb(backup: Backup, _client: Client) -> None:
    restoring.restore_backup(backup=backup)


@pytest.mark.parametrize("door", [by_command, by_the_guide, by_the_verb])
def test_a_session_whose_worker_died_is_in_nobody_s_way(
    admin_client: Client, door: Callable[[Backup, Client], None]
) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Kind.MANUAL)
    dead = SessionFactory.create(
        status=TrainingSession.Status.RUNNING, attempts=2, heartbeat_at=database_now() - DAY
    )
    door(backup, admin_client)
    dead.refresh_from_db()
    assert (dead.status, re.search("died", dead.reason) is not None) == (TrainingSession.Status.FAILED, True)
