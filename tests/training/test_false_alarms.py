"""Hours of ordinary work in simulated time: nothing is found, unless something is wrong."""

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory, SessionFactory, WebhookFactory
from training import (
    artifacts,
    backups,
    database,
    dependencies,
    nodes,
    notices,
    schedules,
    troubles,
    upkeep,
    watchdog,
)
from training.database import database_now
from training.findings import Code
from training.models import Backup, Delivery, Finding, QueueNode, TrainingSession

pytestmark = pytest.mark.django_db
HOUR = 3_600.0
STEP = 3.0  # seconds between looks


class Plant:
    """A queue node whose watch looks every second, on a wall clock that may jump; PostgreSQL's does not."""

    def __init__(self) -> None:
        self.wall, self.monotonic = time.time(), 1_000.0  # files have the time of the real clock
        self.due: watchdog.Due = {}
        self.lives = True

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall, UTC)

    def pass_time(self, seconds: float) -> None:
        """As `guard` and the watch do it: a look, then a beat; and somebody asks /health."""
        for _ in range(int(seconds / STEP)):
            self.wall += STEP
            self.monotonic += STEP
            if self.lives:
                watchdog.look(self.due)
                nodes.beat()
                running = TrainingSession.objects.filter(status=TrainingSession.Status.RUNNING)
                running.update(heartbeat_at=database_now())
            assert [trouble.code for trouble in troubles.current()] == [], self.now()

    def jump(self, seconds: float) -> None:
        self.wall += seconds


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[Plant]:
    settings.DISK_FREE_MIB = 0
    settings.BACKUP_EVERY_DAYS, settings.VERIFY_EVERY_HOURS = 7, 24
    plant, begun = Plant(), database._steady()
    monkeypatch.setattr(database, "_steady", lambda: begun + plant.monotonic - 1_000.0)
    monkeypatch.setattr(timezone, "now", plant.now)
    monkeypatch.setattr(time, "time", lambda: plant.wall)
    monkeypatch.setattr(time, "monotonic", lambda: plant.monotonic)
    monkeypatch.setattr(troubles, "clock", troubles.SteadyClock())
    # What is tried for real takes real time.
    for name in ("media_troubles", "storage_problems", "database_read_only"):
        monkeypatch.setattr(dependencies, name, lambda **_: iter(()))
    checks = [check for check in watchdog.CHECKS if "storage_unreachable" not in check.codes]
    checks = [check for check in checks if not check.codes & {Code.DATABASE_READ_ONLY, Code.CLOCK_OFF}]
    look = watchdog.look
    monkeypatch.setattr(watchdog, "look", lambda due: look(due, checks))
    logging.disable(logging.INFO)
    schedules.ensure_schedule()
    nodes.beat()
    yield plant
    logging.disable(logging.NOTSET)


def found() -> list[str]:
    return [row.code for row in Finding.objects.order_by("pk")]


def test_backups_that_are_made_and_pruned(plant: Plant, settings: Settings) -> None:
    settings.KEEP_BACKUPS, settings.KEEP_DAILY_BACKUPS, settings.KEEP_WEEKLY_BACKUPS = 2, 0, 0
    for _ in range(6):
        ApprovedFactory.create(reviewed_at=plant.now())
        backups.create_backup(kind=Backup.Kind.SCHEDULED)
        backups.prune_backups()
        plant.pass_time(60)
    assert Backup.objects.filter(pruned_at=None).count() == 2
    assert found() == []


@pytest.mark.parametrize(
    "jump", [HOUR, -HOUR, 26 * HOUR, -26 * HOUR], ids=lambda jump: f"{jump / HOUR:+.0f}h"
)
def test_a_clock_that_jumps(plant: Plant, jump: float) -> None:
    """With a session that runs, a notice that waits, files that are being written; and back again."""
    ApprovedFactory.create(reviewed_at=plant.now())
    backups.create_backup(kind=Backup.Kind.MANUAL)
    SessionFactory.create(
        status=TrainingSession.Status.RUNNING, attempts=1, heartbeat_at=database_now(), queued_at=plant.now()
    )
    delivery = _notice()
    plant.pass_time(30)
    plant.jump(jump)
    plant.pass_time(90)
    delivery.delete()
    plant.jump(-jump)
    plant.pass_time(60)
    assert found() == []
    assert QueueNode.objects.count() == 1


def _notice() -> Delivery:
    user = SimpleNamespace(get_username=lambda: "ines")
    notices.send_test(listener=WebhookFactory.create(), user=user)  # type: ignore[arg-type]
    return Delivery.objects.latest("pk")


def test_files_that_are_being_written_when_the_clock_jumps_are_not_swept(plant: Plant) -> None:
    with artifacts.publish(Backup, "backup_20260302_080000", facts={}) as directory:
        (directory / "records.csv").write_text("x")
        plant.jump(2 * HOUR)
        plant.pass_time(330)
        assert directory.is_dir()
    assert found() == []


@pytest.mark.parametrize(
    ("leave", "away"),
    [(nodes.leave, 25), (lambda: None, 25)],
    ids=["stopped in order", "killed"],
)
def test_a_queue_that_is_started_again(plant: Plant, leave: Callable[[], object], away: int) -> None:
    plant.pass_time(60)
    leave()
    plant.lives = False
    plant.pass_time(away)
    plant.lives, plant.due = True, {}
    nodes.beat()
    plant.pass_time(60)
    assert found() == []


def test_a_queue_that_is_not_started_again_is_told_after_half_a_minute(plant: Plant) -> None:
    plant.pass_time(60)
    nodes.leave()
    left = database_now()
    plant.lives = False
    plant.pass_time(27)
    plant.wall, plant.monotonic = plant.wall + 4, plant.monotonic + 4
    (trouble,) = troubles.current()
    assert (trouble.code, trouble.since) == (Code.QUEUE_SILENT, left)


def test_a_node_that_dies_while_the_clock_jumps_is_told_all_the_same(plant: Plant) -> None:
    plant.pass_time(60)
    plant.lives = False
    plant.jump(HOUR)
    plant.pass_time(30)
    plant.wall, plant.monotonic = plant.wall + 4, plant.monotonic + 4
    assert [trouble.code for trouble in troubles.current()] == [Code.QUEUE_SILENT]


def test_a_backup_whose_row_comes_a_moment_later(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    ApprovedFactory.create(reviewed_at=plant.now())
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    Backup.objects.all().delete()
    plant.pass_time(330)
    assert found() == []
    monkeypatch.setattr(artifacts, "GRACE", timedelta(seconds=-1))  # by the storage's clock, which goes on
    with pytest.raises(AssertionError, match="BACKUPS_UNKNOWN"):
        plant.pass_time(330)
    assert Finding.objects.get().facts["example"] == backup.name


def test_a_first_backup_is_made_before_it_is_missed(plant: Plant) -> None:
    ApprovedFactory.create(reviewed_at=plant.now())
    plant.pass_time(60)
    assert upkeep.backup_due_since() is None
    plant.wall, plant.monotonic = plant.wall + HOUR, plant.monotonic + HOUR
    assert upkeep.backup_due_since() is not None
    assert list(troubles.backup_never()) == []
