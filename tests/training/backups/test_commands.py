"""create_backup, verify_backup, restore_backup and prune_backups, as an operator types them."""

import io
import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.factories import ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.storing import file_of
from tests.trained import trained_version
from training import artifacts, backups
from training.models import Activation, Anomaly, Backup, ModelVersion

pytestmark = pytest.mark.django_db
COMMANDS = ("create_backup", "verify_backup", "restore_backup", "prune_backups")


def run(name: str, *arguments: str) -> list[str]:
    """The lines that the command printed."""
    out = io.StringIO()
    call_command(name, *arguments, stdout=out, stderr=io.StringIO())
    return out.getvalue().splitlines()


def damage(stored: artifacts.Stored, name: str = "fiabilite.csv") -> None:
    file_of(stored, name).write_bytes(b"damaged")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_says_more_than_the_usage(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        call_command(command, "--help")

    assert end.value.code == 0
    assert len(capsys.readouterr().out) > 400


# --- create_backup -----------------------------------------------------------------------------


def test_create_backup_prints_what_it_holds(version: ModelVersion) -> None:
    (line,) = run("create_backup")

    backup = Backup.objects.get()
    assert backup.kind == Backup.Kind.MANUAL
    assert re.fullmatch(rf"{backup.name}: 12 records, model version_1, \d+\.\d\sKB", line)


def test_create_backup_before_the_first_model() -> None:
    (line,) = run("create_backup")

    assert "0 records, no model, " in line


def test_create_backup_on_a_full_disk(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CommandError, match=r"^The backup could not be written: No space left on device\.$"):
        run("create_backup")

    assert not Backup.objects.exists()


# --- verify_backup -----------------------------------------------------------------------------


def test_verify_backup_by_name(backup: Backup) -> None:
    assert run("verify_backup", backup.name) == [f"1/1 {backup.name}: sound, 12 records"]


def test_verify_backup_fails_when_one_of_all_does(backup: Backup) -> None:
    damaged = backups.create_backup(kind=Backup.Kind.MANUAL)
    damage(damaged)
    BackupFactory.create(pruned_at=timezone.now())
    out = io.StringIO()

    with pytest.raises(CommandError, match=r"^1 of 2 cannot be used\.$") as refusal:
        call_command("verify_backup", "--all", stdout=out)

    assert refusal.value.returncode == 1
    first, second = out.getvalue().splitlines()
    assert first.startswith(
        f"1/2 {damaged.name}: 'fiabilite.csv' in {damaged.name} is truncated: 7 bytes, not "
    )
    assert second == f"2/2 {backup.name}: sound, 12 records"
    assert Backup.objects.get(pk=damaged.pk).is_usable is False


def test_verify_backup_of_removed_files(backup: Backup) -> None:
    artifacts.remove(backup)

    with pytest.raises(CommandError, match=r"^1 of 1 cannot be used\.$"):
        run("verify_backup", backup.name)


@pytest.mark.parametrize("arguments", [(), ("backup_1", "--all")])
def test_verify_backup_needs_a_name_or_all(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run("verify_backup", *arguments)


def test_verify_backup_without_any() -> None:
    assert run("verify_backup", "--all") == []


# --- restore_backup ----------------------------------------------------------------------------


@pytest.fixture
def later(backup: Backup) -> ModelVersion:
    ApprovedFactory.create(anomaly_id="new")
    Anomaly.objects.filter(anomaly_id="T-000").update(availability_score=5)
    version = trained_version("version_2")
    ModelVersion.objects.update(is_active=False)
    ModelVersion.objects.filter(pk=version.pk).update(is_active=True)
    return version


def test_restore_backup_says_what_changes_and_the_way_back(
    backup: Backup, version: ModelVersion, later: ModelVersion
) -> None:
    lines = run("restore_backup", backup.name, "--yes")

    safety = Backup.objects.get(kind=Backup.Kind.BEFORE_RESTORE)
    assert lines == [
        f"model: version {later.pk} → version {version.pk}",
        "12 records in the backup",
        "1 approved records go back to the review queue",
        "0 records are approved again",
        "0 records are created again",
        "1 records return to earlier scores",
        "0 records return to earlier texts",
        f"Restored from {backup.name}. The way back: python manage.py restore_backup {safety.name}",
    ]
    assert ModelVersion.objects.active() == version
    assert Anomaly.objects.get(anomaly_id="new").status == Anomaly.Status.PENDING


def test_restore_backup_asks_nobody_without_a_terminal(
    backup: Backup, later: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    with pytest.raises(CommandError, match=r"^Nobody to ask: pass --yes\. Nothing was changed\.$"):
        run("restore_backup", backup.name)

    assert ModelVersion.objects.active() == later


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("answer", ["n", "", "perhaps"])
def test_restore_backup_takes_no_for_an_answer(
    backup: Backup, later: ModelVersion, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
        run("restore_backup", backup.name)

    assert ModelVersion.objects.active() == later
    assert Backup.objects.count() == 1


@pytest.mark.parametrize("answer", ["y", "YES "])
def test_restore_backup_asks_on_a_terminal(
    backup: Backup, version: ModelVersion, later: ModelVersion, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))

    run("restore_backup", backup.name)

    assert ModelVersion.objects.active() == version


def test_restore_backup_refuses_in_one_sentence(backup: Backup, later: ModelVersion) -> None:
    with pytest.raises(CommandError, match=r"^There is no backup 'backup_1'\.$"):
        run("restore_backup", "backup_1", "--yes")
    session = SessionFactory.create()
    with pytest.raises(CommandError, match=r"^Training already in progress.* Nothing was changed\.$"):
        run("restore_backup", backup.name, "--yes")
    session.delete()
    damage(backup)
    with pytest.raises(CommandError, match=r"^'fiabilite.csv' in .* is truncated.* Nothing was changed\.$"):
        run("restore_backup", backup.name, "--yes")

    assert ModelVersion.objects.active() == later
    assert not Activation.objects.exists()


# --- prune_backups -----------------------------------------------------------------------------


@pytest.fixture
def old(settings: object) -> list[str]:
    """What retention would take: two backups and one version."""
    settings.KEEP_MODEL_VERSIONS = 2  # type: ignore[attr-defined]  # pytest-django's settings
    removable = [backup.path for backup in BackupFactory.create_batch(3)[1::-1]]
    removable += [VersionFactory.create_batch(3)[0].path]
    return removable


def test_prune_backups_removes_backups_and_versions(old: list[str], media_root: Path) -> None:
    left = media_root / "model_versions" / ".tmp-left"
    left.mkdir(parents=True)

    lines = run("prune_backups", "--keep", "1")

    assert lines == [*(f"Removed {path}" for path in old), "Removed 2 backups and 1 model versions."]
    assert (Backup.objects.available().count(), ModelVersion.objects.usable().count()) == (1, 2)
    assert left.exists(), "younger than the grace period"


def test_prune_backups_removes_what_crashes_left(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (media_root / "model_versions" / ".tmp-left").mkdir(parents=True)
    later = timezone.now() + timedelta(hours=2)
    monkeypatch.setattr("training.shelves.directories._clock_of", lambda _directory: later.timestamp())

    assert run("prune_backups") == [
        "Removed .tmp-left, left by a crash",
        "Removed 0 backups and 0 model versions.",
    ]


def test_prune_backups_dry_run_removes_nothing(old: list[str]) -> None:
    lines = run("prune_backups", "--keep", "1", "--dry-run")

    assert lines == [
        *(f"Would remove {path}" for path in old),
        "Would remove 2 backups and 1 model versions.",
    ]
    assert not Backup.objects.exclude(pruned_at=None).exists()
    assert not ModelVersion.objects.exclude(pruned_at=None).exists()


@pytest.mark.parametrize("keep", ["0", "-1", "x", "1.5", "١x"])
def test_prune_backups_keeps_at_least_one(keep: str) -> None:
    with pytest.raises(CommandError, match=r"a number of 1 or more is needed|expected one argument"):
        run("prune_backups", "--keep", keep)
