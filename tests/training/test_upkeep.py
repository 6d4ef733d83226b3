"""Backups that are made, and files that are read back, without anybody asking."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from tests.factories import ApprovedFactory, SessionFactory
from tests.trained import approved_records, trained_version
from training import backups, nodes, upkeep
from training.errors import BackupError
from training.models import Backup, ModelVersion

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=8)


@pytest.fixture(autouse=True)
def _own_turn(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    monkeypatch.setattr(upkeep.Turn, "last", -upkeep.PAUSE)
    settings.BACKUP_EVERY_DAYS, settings.VERIFY_EVERY_HOURS = 7, 24
    nodes.beat()


def test_nothing_is_due_on_an_empty_installation() -> None:
    assert not upkeep.is_due()


def test_what_was_approved_long_ago_and_is_in_no_backup_is_due() -> None:
    ApprovedFactory.create()
    assert upkeep.is_due()
    call_command("keep_files")
    backup = Backup.objects.get()
    assert (backup.kind, backup.record_count) == (Backup.Kind.SCHEDULED, 1)
    assert upkeep.backup_due_since() is None


def test_it_is_due_once_in_ten_minutes_on_one_node_and_not_beside_a_training(settings: Settings) -> None:
    ApprovedFactory.create()
    session = SessionFactory.create()
    assert not upkeep.is_due()
    session.delete()
    nodes.leave()
    assert not upkeep.is_due()
    nodes.beat()
    settings.BACKUP_EVERY_DAYS = 0
    assert not upkeep.is_due()
    settings.BACKUP_EVERY_DAYS = 7
    assert upkeep.is_due()
    assert not upkeep.is_due()


def test_a_young_backup_is_enough() -> None:
    ApprovedFactory.create()
    backups.create_backup(kind=Backup.Kind.MANUAL)
    assert not upkeep.is_due()
    upkeep.keep_up()
    assert Backup.objects.count() == 1


@pytest.fixture
def unread() -> tuple[ModelVersion, Backup]:
    approved_records()
    version = trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    long_ago = timezone.now() - timedelta(hours=25)
    ModelVersion.objects.update(verified_at=long_ago)
    Backup.objects.update(verified_at=long_ago)
    return version, backup


def test_what_was_not_read_lately_is_read_back(unread: tuple[ModelVersion, Backup]) -> None:
    assert upkeep.is_due()
    upkeep.keep_up()
    assert upkeep._unread() == []
    for row in unread:
        row.refresh_from_db()
        assert (row.verification_error, row.verified_at is not None) == ("", True)


def test_what_does_not_verify_says_so_and_is_not_read_for_ever(
    unread: tuple[ModelVersion, Backup], media_root: Path
) -> None:
    version, backup = unread
    for row in unread:
        (media_root / row.path / "features.pkl").write_bytes(b"x")
    upkeep.keep_up()
    version.refresh_from_db()
    assert "features.pkl" in version.verification_error
    assert "features.pkl" in Backup.objects.get(pk=backup.pk).verification_error
    assert upkeep._unread() == []


def test_a_disk_that_refuses_ends_the_command_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise BackupError("The backup could not be written: No space left on device.")

    ApprovedFactory.create()
    monkeypatch.setattr(backups, "create_backup", fail)
    with pytest.raises(CommandError, match="No space left"):
        call_command("keep_files")
