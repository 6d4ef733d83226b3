"""Each trouble: provoked, noticed, mended where that is safe, and gone."""

import dataclasses
import logging
import os
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import psycopg
import pytest
from django.db import OperationalError, connection
from django.utils import timezone, translation
from django_q.models import OrmQ, Schedule
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import (
    ApprovedFactory,
    BackupFactory,
    QueueNodeFactory,
    SessionFactory,
    VersionFactory,
    WebhookFactory,
    WebNodeFactory,
)
from tests.queue_processes import wait_until
from training import (
    dependencies,
    gate,
    nodes,
    notices,
    outages,
    schedules,
    troubles,
    versions,
    watchdog,
)
from training.errors import StorageError
from training.findings import Code, Trouble, trouble_of
from training.ml import libraries
from training.models import (
    Activation,
    Anomaly,
    Backup,
    Delivery,
    Finding,
    ModelVersion,
    QueueNode,
    TrainingPolicy,
    TrainingSession,
)
from training.policy import change_policy
from training.watchdog import CHECKS, Watchdog, look, watch_until

pytestmark = pytest.mark.django_db
Status = TrainingSession.Status
ONE = timedelta(minutes=1)


def check(code: Finding.Code) -> watchdog.Check:
    (found,) = [check for check in CHECKS if code in check.codes]
    return found


def run(code: Finding.Code) -> list[tuple[str, str]]:
    """Look for it once; what is wrong then."""
    watchdog.run(check(code))
    return [(row.code, row.subject) for row in Finding.objects.current()]


def ended() -> list[tuple[str, bool]]:
    return list(Finding.objects.exclude(ended_at=None).order_by("pk").values_list("code", "is_mended"))


@pytest.fixture(autouse=True)
def _nothing_wrong(settings: Settings) -> None:
    settings.DISK_FREE_MIB = 0
    schedules.ensure_schedule()
    nodes.beat()


def test_every_finding_of_the_watch_has_one_check() -> None:
    looked_for = [code for check in CHECKS for code in check.codes]
    seen_elsewhere = {Code.VERSION_NOT_LOADED, Code.DATABASE_SILENT, Code.CHECK_FAILING}
    others = {Code.VERSION_NOT_COMPARED, Code.NODE_INCOMPATIBLE, Code.FILES_UNKNOWN, Code.STORAGE_FOREIGN}
    assert len(looked_for) == len(set(looked_for))
    assert set(Code) - set(looked_for) - others == seen_elsewhere


def test_where_nothing_is_wrong_nothing_is_found() -> None:
    look({})
    assert not Finding.objects.exists()


def test_an_unclaimed_session(settings: Settings) -> None:
    session = SessionFactory.create(queued_at=timezone.now() - timedelta(seconds=30))
    assert run(Code.SESSION_UNCLAIMED) == [("session_unclaimed", str(session.pk))]
    TrainingSession.objects.update(queued_at=timezone.now() - timedelta(seconds=61))
    assert run(Code.SESSION_UNCLAIMED) == []
    session.refresh_from_db()
    assert (session.status, ended()) == (Status.FAILED, [("session_unclaimed", True)])


def test_an_expired_lease() -> None:
    long_ago = timezone.now() - ONE
    session = SessionFactory.create(status=Status.RUNNING, attempts=1, heartbeat_at=long_ago)
    assert run(Code.LEASE_EXPIRED) == []
    session.refresh_from_db()
    assert (session.status, OrmQ.objects.count()) == (Status.QUEUED, 1)
    assert ended() == [("lease_expired", True)]


def test_a_foreign_schedule_is_switched_off() -> None:
    Schedule.objects.create(name="planted", func="os.system", args="'true'")
    assert run(Code.SCHEDULE_WRONG) == []
    assert Schedule.objects.get(name="planted").repeats == schedules.DISABLED
    assert ended() == [("schedule_wrong", True)]


def test_ours_turned_into_something_else_is_told_by_name_and_put_back() -> None:
    Schedule.objects.update(func="os.system")
    assert run(Code.SCHEDULE_WRONG) == []
    told = [trouble_of(row).sentence for row in Finding.objects.order_by("pk")]
    assert "Scheduled training calls os.system" in told[0]
    with translation.override("fr"):
        assert trouble_of(Finding.objects.latest("pk")).sentence.endswith(" : elle manque.")
    assert Schedule.objects.exclude(repeats=schedules.DISABLED).get().func == schedules.TRAIN_ON_SCHEDULE


@pytest.mark.parametrize("harm", [lambda ours: ours.delete(), lambda ours: ours.update(repeats=0)])
def test_a_schedule_that_somebody_removed_or_stopped_is_put_back(harm: Callable[..., object]) -> None:
    harm(Schedule.objects.all())
    assert run(Code.SCHEDULE_WRONG) == []
    assert Schedule.objects.get().repeats == schedules.FOREVER
    assert ended() == [("schedule_wrong", True)]


def test_an_overdue_schedule_is_started_once() -> None:
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=11))
    assert run(Code.SCHEDULE_OVERDUE) == []
    assert run(Code.SCHEDULE_OVERDUE) == []
    assert Schedule.objects.get().next_run > timezone.now()
    assert [message.func() for message in OrmQ.objects.all()] == [schedules.TRAIN_ON_SCHEDULE]
    assert ended() == [("schedule_overdue", True)]


def test_a_schedule_that_a_person_switched_off_stays_off() -> None:
    schedules.plan_training(user=None, changes={"enabled": False})
    Schedule.objects.update(next_run=timezone.now() - timedelta(days=1))
    assert run(Code.SCHEDULE_OFF) == [("schedule_off", "")]
    assert not OrmQ.objects.exists()
    schedules.plan_training(user=None, changes={"enabled": True})
    assert run(Code.SCHEDULE_OFF) == []
    assert ended() == [("schedule_off", False)]


def test_a_silent_node_among_others_is_forgotten_after_a_day() -> None:
    node = QueueNode.objects.create(host="far", pid=7, seen_at=timezone.now() - ONE)
    assert run(Code.NODE_SILENT) == [("node_silent", "far:7")]
    QueueNode.objects.filter(pk=node.pk).update(seen_at=timezone.now() - timedelta(days=2))
    assert run(Code.NODE_SILENT) == []
    assert list(QueueNode.objects.values_list("host", flat=True)) == [socket.gethostname()]
    assert ended() == [("node_silent", True)]


def test_no_node_at_all_is_seen_by_whoever_looks() -> None:
    QueueNode.objects.update(seen_at=timezone.now() - ONE)
    assert [trouble.code for trouble in troubles.current()] == [Code.QUEUE_SILENT]
    QueueNode.objects.all().delete()
    assert [trouble.code for trouble in troubles.current()] == [Code.QUEUE_SILENT]
    nodes.beat()
    assert troubles.current() == []


def test_a_database_that_is_back_lets_who_lives_say_so_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody could write a heartbeat while it was away, whoever looks."""
    QueueNode.objects.update(seen_at=timezone.now() - ONE)
    SessionFactory.create(status=TrainingSession.Status.RUNNING, heartbeat_at=timezone.now() - ONE)
    outages.note(OperationalError("server closed the connection unexpectedly"))
    assert troubles.current() == []
    monkeypatch.setattr(outages._Outage, "seen_at", time.monotonic() - troubles.HEARD_AGAIN)
    assert {trouble.code for trouble in troubles.current()} == {Code.QUEUE_SILENT, Code.LEASE_EXPIRED}


READ_ONLY = "cannot execute UPDATE in a read-only transaction"


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The database answers and takes nothing, until the patch is undone."""
    with monkeypatch.context() as patch:
        patch.setattr(dependencies, "_attempts", {})
        patch.setattr(dependencies, "holds_lock", lambda: False)
        patch.setattr(dependencies, "try_to_write", lambda *_: (_ for _ in ()).throw(OSError(30, READ_ONLY)))
        yield patch


def test_a_database_that_takes_nothing_makes_nobody_silent(
    unwritable: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who lives cannot write so; and when it can be written again, has some seconds to do it."""
    QueueNode.objects.update(seen_at=timezone.now() - ONE)
    SessionFactory.create(status=TrainingSession.Status.RUNNING, heartbeat_at=timezone.now() - ONE)
    assert [trouble.code for trouble in troubles.current()] == [Code.DATABASE_READ_ONLY]
    unwritable.undo()
    assert troubles.current() == []
    monkeypatch.setattr(outages._Outage, "seen_at", time.monotonic() - troubles.HEARD_AGAIN)
    assert {trouble.code for trouble in troubles.current()} == {Code.QUEUE_SILENT, Code.LEASE_EXPIRED}


def test_while_nobody_knows_whether_it_can_be_written_nobody_is_silent(
    unwritable: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    unwritable.setattr(dependencies, "try_to_write", lambda *_: released.wait(30))
    unwritable.setattr(dependencies, "PATIENCE", 0.1)
    QueueNode.objects.update(seen_at=timezone.now() - ONE)
    assert troubles.current() == []
    released.set()


def test_a_sign_of_life_that_cannot_be_written_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """By each process for itself: it need not have been asked while the database took nothing."""

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError from psycopg.errors.ReadOnlySqlTransaction(READ_ONLY)

    QueueNode.objects.update(seen_at=timezone.now() - ONE)
    assert [trouble.code for trouble in troubles.current()] == [Code.QUEUE_SILENT]
    with monkeypatch.context() as patch:
        patch.setattr(nodes, "_write_beat", refuse)
        with pytest.raises(OperationalError):
            nodes.beat_web()
    assert troubles.current() == []


def test_what_waited_for_the_database_is_not_late_at_once() -> None:
    user = SimpleNamespace(get_username=lambda: "ines")
    notices.send_test(listener=WebhookFactory.create(), user=user)  # type: ignore[arg-type]
    Delivery.objects.update(created_at=timezone.now() - 90 * ONE)
    Schedule.objects.update(next_run=timezone.now() - 90 * ONE)
    outages.note_unavailable()
    assert [*troubles.notices_pile_up(), *troubles.schedule_troubles()] == []
    outages._Outage.seen_at = time.monotonic() - troubles.CAUGHT_UP
    found = [*troubles.notices_pile_up(), *troubles.schedule_troubles()]
    assert [trouble.code for trouble in found] == [Code.NOTICES_PILE_UP, Code.SCHEDULE_OVERDUE]


def test_an_answer_that_was_long_in_coming_makes_nobody_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are compared with the moment at which they were asked for, not with that of the answer."""
    moment, read = [timezone.now()], QueueNode.objects.all

    def late() -> list[QueueNode]:
        rows = list(read())
        moment[0] += ONE
        return rows

    monkeypatch.setattr(QueueNode.objects, "all", late)
    monkeypatch.setattr(troubles, "database_now", lambda: moment[0])
    monkeypatch.setattr(troubles, "_is_too_early", lambda: False)
    assert list(troubles.queue_silent()) == []
    moment[0] += ONE
    assert [trouble.code for trouble in troubles.queue_silent()] == [Code.QUEUE_SILENT]


def old_directory(path: Path, *files: str) -> Path:
    path.mkdir(parents=True)
    for name in files:
        (path / name).write_text("x")
    long_ago = time.time() - 7_200
    os.utime(path, (long_ago, long_ago))
    return path


def test_orphaned_files_are_swept(media_root: Path) -> None:
    orphan = old_directory(media_root / "model_versions" / "version_9", "features.pkl")
    assert run(Code.FILES_ORPHANED) == []
    assert not orphan.exists()
    assert ended() == [("files_orphaned", True)]


def test_whole_backups_without_a_row_are_left_to_a_person(media_root: Path) -> None:
    """On a new machine they are all there is."""
    backup = old_directory(media_root / "model_backups" / "backup_20260101_000000", "manifest.json")
    assert run(Code.BACKUPS_UNKNOWN) == [("backups_unknown", "model_backups")]
    assert backup.exists()
    shutil.rmtree(backup)
    assert run(Code.BACKUPS_UNKNOWN) == []
    assert ended() == [("backups_unknown", False)]


def test_rows_without_files(media_root: Path) -> None:
    active = VersionFactory.create(is_active=True)
    VersionFactory.create(pruned_at=timezone.now())
    older, newest = BackupFactory.create_batch(2)
    assert run(Code.FILES_MISSING) == [
        ("files_missing", active.path),
        ("files_missing", newest.path),
        ("files_missing", older.path),
    ]
    assert Finding.objects.get(subject=older.path).severity == Finding.Severity.WARNING
    for row in (active, older, newest):
        old_directory(media_root / row.path, "manifest.json")
    assert run(Code.FILES_MISSING) == []


def test_files_are_missed_where_the_look_can_be_made(media_root: Path) -> None:
    """The backups cannot be looked at: of the versions it is known all the same, and nothing is closed."""
    lost = VersionFactory.create()
    path = BackupFactory.create().path
    assert set(run(Code.FILES_MISSING)) == {("files_missing", lost.path), ("files_missing", path)}
    (media_root / Backup.DIRECTORY).write_text("x")
    VersionFactory.create(name="later")
    with pytest.raises(StorageError):
        watchdog.run(check(Code.FILES_MISSING))
    subjects = set(Finding.objects.current().values_list("subject", flat=True))
    assert subjects == {lost.path, path, "model_versions/later"}


@pytest.mark.parametrize(
    "instead", [lambda place: place.symlink_to(place.parent), lambda place: place.touch()]
)
def test_what_is_no_directory_is_missing(instead: Callable[[Path], None], media_root: Path) -> None:
    version = VersionFactory.create()
    (media_root / ModelVersion.DIRECTORY).mkdir()
    instead(media_root / version.path)
    assert run(Code.FILES_MISSING) == [("files_missing", version.path)]


@pytest.mark.parametrize(
    ("model_class", "make", "code"),
    [
        (ModelVersion, lambda: VersionFactory.create(is_active=True), Code.VERSION_DAMAGED),
        (Backup, BackupFactory.create, Code.BACKUP_DAMAGED),
    ],
)
def test_a_failed_verification(
    model_class: type[ModelVersion | Backup], make: Callable[[], ModelVersion | Backup], code: Finding.Code
) -> None:
    row = make()
    assert run(code) == []
    model_class.objects.update(verification_error="features.pkl was altered.")
    assert run(code) == [(code.value, row.name)]
    (trouble,) = troubles.current()
    assert trouble.sentence.endswith("features.pkl was altered.")
    model_class.objects.update(verification_error="")
    assert run(code) == []


def test_backups_that_grow_old_and_are_not_read(settings: Settings) -> None:
    settings.BACKUP_EVERY_DAYS, settings.VERIFY_EVERY_HOURS = 7, 24
    backup = BackupFactory.create(created_at=timezone.now() - timedelta(days=9))
    assert sorted(run(Code.BACKUP_OLD)) == [("backup_old", ""), ("backup_unverified", backup.name)]
    assert Finding.objects.get(code="backup_old").facts == {"days": 9}
    BackupFactory.create(created_at=timezone.now(), verified_at=timezone.now(), name="backup_20270101_000000")
    assert run(Code.BACKUP_OLD) == []


def test_a_new_installation_needs_no_active_version() -> None:
    assert run(Code.NO_ACTIVE_VERSION) == []
    VersionFactory.create(created_at=timezone.now())
    assert run(Code.NO_ACTIVE_VERSION) == []


def test_a_first_version_that_nobody_activates() -> None:
    version = VersionFactory.create(created_at=timezone.now() - timedelta(minutes=11))
    session = SessionFactory.create()
    assert run(Code.NO_ACTIVE_VERSION) == []
    session.delete()
    assert run(Code.NO_ACTIVE_VERSION) == [("no_active_version", "")]
    versions.set_active(version=version, reason=Activation.Reason.FIRST)
    assert run(Code.NO_ACTIVE_VERSION) == []


def test_a_version_that_somebody_deactivated_or_deleted() -> None:
    """At once, as something serious, with the newest that could serve."""
    # Ids that differ in their third digit: an id is no measure to be rounded.
    older = VersionFactory.create(pk=1001, created_at=timezone.now())
    served = VersionFactory.create(pk=1002)
    VersionFactory.create(verification_error="damaged")
    versions.set_active(version=served, reason=Activation.Reason.REQUEST)
    assert run(Code.NO_ACTIVE_VERSION) == []
    ModelVersion.objects.update(is_active=False)
    assert run(Code.NO_ACTIVE_VERSION) == [("no_active_version", "")]
    (trouble,) = troubles.current()
    assert (trouble.severity, trouble.facts) == (Finding.Severity.SERIOUS, {"version": served.pk})
    assert trouble.sentence.endswith(f"The newest that can be used: {served.pk}.")
    ModelVersion.objects.filter(pk=served.pk).update(pruned_at=timezone.now())
    run(Code.NO_ACTIVE_VERSION)
    assert troubles.current()[0].facts == {"version": older.pk}
    ModelVersion.objects.update(pruned_at=timezone.now())
    run(Code.NO_ACTIVE_VERSION)
    assert troubles.current()[0].sentence.endswith("The newest that can be used: –.")


def test_notices_that_pile_up() -> None:
    notices.send_test(listener=WebhookFactory.create(), user=SimpleNamespace(get_username=lambda: "ines"))  # type: ignore[arg-type]
    assert run(Code.NOTICES_PILE_UP) == []
    Delivery.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert run(Code.NOTICES_PILE_UP) == [("notices_pile_up", "")]
    Delivery.objects.all().delete()
    assert run(Code.NOTICES_PILE_UP) == []


def test_a_disk_that_fills(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DISK_FREE_MIB = 1024
    monkeypatch.setattr(troubles, "_disks", lambda: iter([("", settings.MEDIA_ROOT, 1024)]))
    free = iter([900, 896, 700, 100, 5000])
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=next(free) * 1024 * 1024))
    found = []
    for _ in range(4):
        assert run(Code.DISK_LOW) == [("disk_low", socket.gethostname())]
        row = Finding.objects.get()
        found.append((row.facts["free"], row.severity))
    warning, serious = Finding.Severity.WARNING, Finding.Severity.SERIOUS
    assert found == [(900, warning), (900, warning), (700, warning), (100, serious)]  # 896 is about 900
    assert run(Code.DISK_LOW) == []


def test_the_disks_of_the_database_and_of_temporary_files(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, media_root: Path
) -> None:
    settings.DISK_FREE_MIB = 1024
    parts = [(part, needed) for part, _, needed in troubles._disks()]
    database = [("database", 1024)] if connection.vendor == "sqlite" else []
    assert parts == [("", 1024), *database, ("temporary", 256)]

    disks = [("", media_root, 1), ("database", Path("/dev/shm"), 2), ("temporary", media_root, 9)]  # noqa: S108  # another disk
    monkeypatch.setattr(troubles, "_disks", lambda: iter(disks))
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: SimpleNamespace(free=0))
    host = socket.gethostname()
    assert [each.subject for each in troubles.disk_low()] == [host, f"{host} database"]
    assert "0 MiB free in /dev/shm; 2 are needed" in list(troubles.disk_low())[1].sentence


def test_a_clock_that_goes_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    assert abs(troubles.clock_difference()) < troubles.CLOCK_TOLERANCE
    off = iter([3.0, -60.0, 0.1])
    monkeypatch.setattr(troubles, "clock_difference", lambda: next(off))
    assert run(Code.CLOCK_OFF) == [("clock_off", socket.gethostname())]
    assert Finding.objects.get().severity == Finding.Severity.WARNING
    assert run(Code.CLOCK_OFF) == [("clock_off", socket.gethostname())]
    assert Finding.objects.get().severity == Finding.Severity.SERIOUS
    assert run(Code.CLOCK_OFF) == []


def test_another_nodes_clock_is_its_own_business(monkeypatch: pytest.MonkeyPatch) -> None:
    Finding.objects.create(code=Code.CLOCK_OFF, subject="far", severity=1)
    assert run(Code.CLOCK_OFF) == [("clock_off", "far")]


def test_what_is_found_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    WebhookFactory.create()
    version = VersionFactory.create(is_active=True, verification_error="truncated.")
    with caplog.at_level(logging.INFO, logger="training.watchdog"):
        for _ in range(3):
            run(Code.VERSION_DAMAGED)
        ModelVersion.objects.update(verification_error="")
        for _ in range(2):
            run(Code.VERSION_DAMAGED)
    sentence = f"The files of {version.name} do not verify: truncated."
    assert [record.getMessage().partition(" Look")[0] for record in caplog.records] == [
        f"Found: {sentence}",
        f"Gone: {sentence}",
    ]
    delivery = Delivery.objects.get()
    assert (delivery.event, delivery.payload["data"]["code"]) == ("health.alert", "version_damaged")
    assert delivery.payload["text"].startswith(sentence)


def test_a_warning_is_no_alert() -> None:
    WebhookFactory.create()
    change_policy(user=None, changes={"enabled": False})
    assert TrainingPolicy.objects.get().enabled is False
    run(Code.SCHEDULE_OFF)
    assert not Delivery.objects.exists()


def test_what_is_gone_is_kept_for_a_month() -> None:
    gone = timezone.now() - timedelta(days=31)
    Finding.objects.create(code=Code.DISK_LOW, severity=1, ended_at=gone)
    VersionFactory.create(verification_error="truncated.")
    run(Code.VERSION_DAMAGED)
    ModelVersion.objects.update(verification_error="")
    run(Code.VERSION_DAMAGED)
    assert ended() == [("version_damaged", False)]


def test_only_the_first_node_keeps_house() -> None:
    QueueNode.objects.update(pid=1, identity=uuid4())
    nodes.beat()
    VersionFactory.create(verification_error="truncated.")
    look({})
    assert not Finding.objects.filter(code=Code.VERSION_DAMAGED).exists()
    QueueNode.objects.filter(pid=1).delete()
    look({})
    assert Finding.objects.filter(code=Code.VERSION_DAMAGED).exists()


def test_two_nodes_on_one_machine_do_not_close_each_other_s(settings: Settings) -> None:
    """Their disks may be two; each closes what it found itself, and what a node found goes with it."""
    other = QueueNodeFactory.create(host=nodes.host())
    settings.DISK_FREE_MIB = 10**9
    assert run(Code.DISK_LOW) == [("disk_low", nodes.host())]
    Finding.objects.update(node=str(other.identity))
    settings.DISK_FREE_MIB = 0
    assert run(Code.DISK_LOW) == [("disk_low", nodes.host())]
    settings.DISK_FREE_MIB = 10**9
    assert run(Code.DISK_LOW) == [("disk_low", nodes.host())] * 2
    assert [trouble.code for trouble in troubles.current()].count(Code.DISK_LOW) == 1
    settings.DISK_FREE_MIB = 0
    assert run(Code.DISK_LOW) == [("disk_low", nodes.host())]
    assert Finding.objects.current().get().node == str(other.identity)
    other.delete()
    watchdog.close_left_behind()
    assert not Finding.objects.current().exists()


def test_a_node_with_other_libraries_until_it_is_gone_or_can_load_it() -> None:
    own = libraries.installed()
    version = VersionFactory.create(is_active=True, libraries=own)
    QueueNode.objects.update(libraries=own)
    web = WebNodeFactory.create(host="web-1", pid=7, libraries=own | {"scikit-learn": "1.0.0"})
    queue = QueueNodeFactory.create(host="queue-1", pid=7, libraries=own | {"numpy": "1.0.0"})
    assert run(Code.NODE_INCOMPATIBLE) == [
        ("node_incompatible", "web-1:7"),
        ("node_incompatible", "queue-1:7"),
    ]
    serious, warning = Finding.objects.current()
    assert trouble_of(serious).sentence == (
        f"web-1:7 has other libraries than the active version: scikit-learn 1.0.0, not {own['scikit-learn']}"
    )
    assert (serious.severity, warning.severity) == (Finding.Severity.SERIOUS, Finding.Severity.WARNING)
    assert ModelVersion.objects.get().verification_error == ""
    web.loaded_version = version.pk
    web.save()
    queue.delete()
    assert run(Code.NODE_INCOMPATIBLE) == []


def test_a_version_that_was_not_compared_until_somebody_looks() -> None:
    why = gate.reason(gate.Code.CHAMPION_DAMAGED, version=3, error="'twin.pkl' is truncated")
    version = VersionFactory.create(comparison={gate.WAITS: why, "outcome": "not_compared", "passed": False})
    assert run(Code.VERSION_NOT_COMPARED) == [("version_not_compared", str(version.pk))]
    told = trouble_of(Finding.objects.get())
    assert told.sentence == (
        f"Version {version.pk} was not activated by itself: It could not be compared with version 3, whose "
        "files cannot be used: 'twin.pkl' is truncated"
    )
    with translation.override("fr"):
        assert "n'a pas pu être comparée à la version 3" in told.sentence
    versions.set_active(version=VersionFactory.create(), reason=Activation.Reason.GATE)
    assert run(Code.VERSION_NOT_COMPARED) == []


def test_each_check_keeps_its_own_time(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    due: watchdog.Due = {}
    look(due)
    assert {check for check in due if isinstance(check, watchdog.Check)} == set(CHECKS)
    with django_assert_num_queries(1):  # who keeps house
        look(due)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("Input/output error")])
def test_a_check_that_fails_is_told_and_stops_no_other(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_path: Path) -> None:
        raise error

    VersionFactory.create(verification_error="truncated.")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", fail)
        due: watchdog.Due = {}
        look(due)
    codes = [row.code for row in Finding.objects.current()]
    assert codes.count("check_failing") == codes.count("version_damaged") == 1
    (failing,) = [each for each in troubles.current() if each.code == Code.CHECK_FAILING]
    host = socket.gethostname()
    assert failing.sentence == f"{host} cannot look for disk_low: Input/output error"
    due.pop(check(Code.DISK_LOW))
    look(due)
    assert not Finding.objects.current().filter(code=Code.CHECK_FAILING).exists()


def test_a_check_of_files_adds_nothing_to_a_storage_out_of_reach(media_root: Path) -> None:
    def fail() -> list[Trouble]:
        raise OSError(5, "Input/output error")

    broken = dataclasses.replace(check(Code.FILES_MISSING), find=fail)
    media_root.rmdir()
    look({}, [broken, check(Code.STORAGE_UNREACHABLE)])
    assert [row.code for row in Finding.objects.current()] == ["storage_unreachable"]
    media_root.mkdir()
    look({}, [check(Code.STORAGE_UNREACHABLE), broken])
    assert [row.code for row in Finding.objects.current()] == ["check_failing"]


def test_what_a_node_said_of_itself_ends_with_the_node() -> None:
    far, here = QueueNodeFactory.create(host="far"), str(nodes.identity())
    found_by = {"far": str(far.identity), "here": here, "gone": str(uuid4()), "unnamed": ""}
    for subject, node in found_by.items():
        Finding.objects.create(code=Code.DISK_LOW, subject=subject, node=node, severity=2)
    Finding.objects.create(code=Code.SCHEDULE_OFF, severity=2)
    nodes.beat()
    watchdog.close_left_behind()
    assert troubles.current()[0].sentence == "disk nearly full"  # rows without facts have words all the same
    left = Finding.objects.current().values_list("subject", flat=True)
    assert sorted(left) == ["", "far", "here"]


# --- Trainings and backups ---------------------------------------------------------------------


def end_session(status: Status, reason: str = "") -> None:
    version = VersionFactory.create() if status == Status.SUCCEEDED else None
    SessionFactory.create(status=status, reason=reason, finished_at=timezone.now(), model_version=version)


def test_trainings_that_fail_one_after_the_other() -> None:
    end_session(Status.SUCCEEDED)
    for status in (Status.FAILED, Status.FAILED, Status.SKIPPED, Status.CANCELLED):
        end_session(status, "old")
    assert run(Code.TRAININGS_FAILING) == []
    end_session(Status.FAILED, "No room.\nTraceback")
    assert run(Code.TRAININGS_FAILING) == [("trainings_failing", "")]
    (trouble,) = troubles.current()
    assert trouble.sentence == "The last 3 trainings failed: No room."
    end_session(Status.FAILED, "Still no room.")
    run(Code.TRAININGS_FAILING)
    assert troubles.current()[0].sentence == "The last 4 trainings failed: Still no room."
    end_session(Status.SUCCEEDED)
    assert run(Code.TRAININGS_FAILING) == []


def test_records_that_were_never_backed_up(settings: Settings) -> None:
    settings.BACKUP_EVERY_DAYS = 7
    anomaly = ApprovedFactory.create(reviewed_at=timezone.now())
    assert run(Code.BACKUP_NEVER) == []
    Anomaly.objects.filter(pk=anomaly.pk).update(reviewed_at=timezone.now() - timedelta(hours=25))
    assert run(Code.BACKUP_NEVER) == [("backup_never", "")]
    assert run(Code.BACKUP_OLD) == [("backup_never", "")]
    BackupFactory.create()
    assert run(Code.BACKUP_NEVER) == []


def test_a_sample_needs_no_backup() -> None:
    Anomaly.objects.filter(pk=ApprovedFactory.create().pk).update(reviewed_at=None)
    assert run(Code.BACKUP_NEVER) == []


# --- While the database takes no row -----------------------------------------------------------


@pytest.fixture
def away(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The database does not answer, until the patch is undone."""
    with monkeypatch.context() as patch:
        patch.setattr(watchdog, "database_answers", lambda: False)
        yield patch


def test_what_is_seen_while_the_database_is_away_is_written_when_it_is_back(
    away: pytest.MonkeyPatch, media_root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    notebook = watchdog.Notebook()
    media_root.rmdir()
    for _ in range(3):
        notebook.note(OperationalError("gone"))
    assert not Finding.objects.exists()
    away.undo()
    notebook.write()
    run(Code.STORAGE_UNREACHABLE)
    here = socket.gethostname()
    rows = [(row.code, row.subject, row.ended_at is None) for row in Finding.objects.order_by("code")]
    assert rows == [("database_silent", here, False), ("storage_unreachable", here, True)]
    said = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert said == ["Found", "Found", "Gone"]
    silent = Finding.objects.get(code=Code.DATABASE_SILENT)
    assert silent.ended_at is not None
    assert silent.since < silent.ended_at


def test_what_came_and_went_while_the_database_was_away_is_known_later(
    away: pytest.MonkeyPatch, media_root: Path
) -> None:
    notebook = watchdog.Notebook()
    media_root.rmdir()
    notebook.note(OperationalError("gone"))
    media_root.mkdir()
    notebook._due = 0
    notebook.note(OperationalError("gone"))
    away.undo()
    notebook.write()
    assert not Finding.objects.current().exists()
    assert [row.code for row in Finding.objects.order_by("code")] == [
        "database_silent",
        "storage_unreachable",
    ]


def test_a_database_that_takes_nothing_is_logged_once_and_written_down_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    full = [Trouble(code=Code.DATABASE_READ_ONLY, facts={"reason": "database or disk is full"})]
    notebook = watchdog.Notebook()
    with monkeypatch.context() as patch:
        patch.setattr(dependencies, "database_read_only", lambda: full)
        patch.setattr(watchdog, "WITHOUT_ROWS", (lambda: full,))
        for _ in range(3):
            notebook.note(OperationalError("database or disk is full"))
            notebook.write()  # reading went well in between
        assert not Finding.objects.exists()
    notebook.write()
    notebook.write()
    row = Finding.objects.get()
    assert (row.code, row.ended_at is None) == ("database_read_only", False)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["Found", "Gone"]


def test_a_busy_database_is_no_finding(caplog: pytest.LogCaptureFixture) -> None:
    notebook = watchdog.Notebook()
    cause = sqlite3.OperationalError("database is locked")
    cause.sqlite_errorcode = sqlite3.SQLITE_BUSY
    error = OperationalError("database is locked")
    error.__cause__ = cause
    for _ in range(3):
        notebook.note(error)
    notebook.write()
    assert not Finding.objects.exists()
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "The database is busy: database is locked"
    ]


class Stop(threading.Event):
    """Lets the watchdog look so many times."""

    looks = 2

    def wait(self, timeout: float | None = None) -> bool:
        self.looks -= 1
        return self.looks < 0


def test_it_outlives_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def fail_first(_due: object, _checks: object) -> None:
        looks.append(1)
        if len(looks) == 1:
            raise OperationalError("gone")

    monkeypatch.setattr(watchdog, "close_old_connections", lambda: None)
    monkeypatch.setattr("training.watchdog.connection.close", lambda: None)
    monkeypatch.setattr(watchdog, "look", fail_first)
    watch_until(Stop(), watchdog.OF_ROWS)
    assert len(looks) == 2


def test_each_thread_is_started_again_when_it_died(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[threading.Event, object]] = []
    monkeypatch.setattr(watchdog, "watch_until", lambda stop, checks: started.append((stop, checks)))
    dog = Watchdog()
    for _ in range(2):
        dog.keep()
        wait_until(lambda: not any(thread.is_alive() for thread in dog._threads.values()))
    assert len(started) == 4
    checks = [checks for _, checks in started]
    assert checks.count(watchdog.OF_FILES) == checks.count(watchdog.OF_ROWS) == 2
    dog.stop()
    assert started[3][0].is_set()
