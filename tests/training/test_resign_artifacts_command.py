"""A signing key is retired: everything goes on being verified, at every moment, whatever interrupts it."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.factories import ApprovedFactory
from tests.trained import approved_records, identical, predictions, trained_version
from training import artifacts, backups, restoring
from training.errors import BackupError, UnservableVersionError
from training.ml import manifest
from training.models import Backup, ModelVersion
from training.shelves import directories

pytestmark = pytest.mark.django_db
OLD, NEW = "old" * 16, "new" * 16


class Crash(BaseException):
    """The process ends here: nothing catches it."""


@pytest.fixture
def stored(settings: Settings) -> tuple[ModelVersion, Backup]:
    """Signed with the old key; then a new one comes before it."""
    settings.ARTIFACT_SIGNING_KEYS = [OLD]
    approved_records()
    version = trained_version(is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    settings.ARTIFACT_SIGNING_KEYS = [NEW, OLD]
    return version, backup


def resign() -> list[str]:
    out = StringIO()
    call_command("resign_artifacts", stdout=out)
    return out.getvalue().splitlines()


def fresh(stored: artifacts.Stored) -> artifacts.Stored:
    stored.refresh_from_db()
    return stored


def test_everything_is_signed_anew_and_the_old_key_can_go(
    stored: tuple[ModelVersion, Backup], settings: Settings
) -> None:
    version, backup = stored
    before, digests = predictions(version), (version.digest, backup.digest)
    assert resign() == [
        f"model_versions/{version.name}: signed",
        f"model_backups/{backup.name}: signed",
        "All 2 are signed with the newest key. The 1 older can be removed from ARTIFACT_SIGNING_KEYS.",
    ]
    settings.ARTIFACT_SIGNING_KEYS = [NEW]
    assert identical(predictions(ModelVersion.objects.get()), before)
    backups.verify_backup(backup=Backup.objects.get())
    restoring.restore_backup(backup=Backup.objects.get(pk=backup.pk))
    assert fresh(version).digest != digests[0]
    assert fresh(backup).digest != digests[1]
    settings.ARTIFACT_SIGNING_KEYS = [OLD]
    with pytest.raises(UnservableVersionError, match="signature"):
        artifacts.verify(version)


def test_doing_it_again_changes_nothing(stored: tuple[ModelVersion, Backup]) -> None:
    resign()
    paths = [artifacts.directory_of(one) / manifest.MANIFEST for one in stored]
    before = [(path.read_bytes(), path.stat().st_ino) for path in paths]
    assert [line.rpartition(": ")[2] for line in resign()[:-1]] == ["signed before"] * 2
    assert [(path.read_bytes(), path.stat().st_ino) for path in paths] == before


def test_one_key_alone_has_nothing_to_retire(settings: Settings) -> None:
    settings.ARTIFACT_SIGNING_KEYS = [NEW]
    assert resign() == ["All 0 are signed with the newest key."]


def crash_at(target: object, name: str, *, after: bool) -> Callable[[pytest.MonkeyPatch], None]:
    def plant(monkeypatch: pytest.MonkeyPatch) -> None:
        genuine = getattr(target, name)

        def crash(*arguments: Any, **keywords: Any) -> Any:
            if after:
                genuine(*arguments, **keywords)
            raise Crash

        monkeypatch.setattr(target, name, crash)

    return plant


CRASHES = {
    "before the manifest is written": crash_at(directories, "write_durably", after=False),
    "after it is written": crash_at(directories, "write_durably", after=True),
    "before it takes its place": crash_at(Path, "replace", after=False),
    "after it took its place": crash_at(Path, "replace", after=True),
    "before the row is told": crash_at(artifacts, "read_back", after=False),
}


@pytest.mark.parametrize("crash", CRASHES.values(), ids=CRASHES)
def test_a_crash_at_any_moment_leaves_what_verifies_and_can_be_ended(
    stored: tuple[ModelVersion, Backup],
    crash: Callable[[pytest.MonkeyPatch], None],
    settings: Settings,
    media_root: Path,
) -> None:
    before = predictions(stored[0])
    for one in stored:
        with pytest.MonkeyPatch.context() as monkeypatch:
            # Reading back is also how the row is verified: let that pass once.
            manifest_of = artifacts.verify(one)
            monkeypatch.setattr(artifacts, "verify", lambda _stored, found=manifest_of: found)
            crash(monkeypatch)
            with pytest.raises(Crash):
                artifacts.resign(one)
        artifacts.verify(fresh(one))
    assert identical(predictions(ModelVersion.objects.get()), before)
    resign()
    settings.ARTIFACT_SIGNING_KEYS = [NEW]
    assert identical(predictions(ModelVersion.objects.get()), before)
    backups.verify_backup(backup=Backup.objects.get())
    assert [path.name for path in media_root.glob("*/.tmp-*")] == []


def test_what_was_altered_is_not_signed(stored: tuple[ModelVersion, Backup], settings: Settings) -> None:
    version, backup = stored
    model = artifacts.directory_of(backup) / "features.pkl"
    model.write_bytes(model.read_bytes()[:-1] + b"\0")
    out = StringIO()
    with pytest.raises(CommandError, match=r"^1 of 2 could not be signed: keep the older keys\.$"):
        call_command("resign_artifacts", stdout=out)
    assert f"model_backups/{backup.name}: 'features.pkl' in {backup.name} was altered." in out.getvalue()
    assert Backup.objects.get().verification_error
    settings.ARTIFACT_SIGNING_KEYS = [NEW]
    artifacts.verify(fresh(version))


def test_a_genuine_directory_in_another_s_place_is_not_signed(stored: tuple[ModelVersion, Backup]) -> None:
    version, _backup = stored
    ApprovedFactory.create()
    other = trained_version("version_2")
    mine, theirs = artifacts.directory_of(version), artifacts.directory_of(other)
    mine.rename(mine.with_name("aside"))
    theirs.rename(mine)
    with pytest.raises(UnservableVersionError, match="not what was stored under that name"):
        artifacts.resign(version)


def test_a_key_that_is_gone_already_loses_nothing(
    stored: tuple[ModelVersion, Backup], settings: Settings
) -> None:
    settings.ARTIFACT_SIGNING_KEYS = [NEW]
    with pytest.raises(CommandError, match="2 of 2"):
        resign()
    settings.ARTIFACT_SIGNING_KEYS = [NEW, OLD]
    assert resign()[-1].startswith("All 2 are signed")


def test_a_disk_that_refuses_keeps_the_old_signature(
    stored: tuple[ModelVersion, Backup], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(directories, "write_durably", full)
        with pytest.raises(CommandError, match="2 of 2"):
            resign()
    for one in stored:
        artifacts.verify(fresh(one))


def test_removed_files_are_passed_over(stored: tuple[ModelVersion, Backup]) -> None:
    artifacts.remove(stored[1])
    assert resign()[-1].startswith("All 1 are signed")


def test_the_error_of_a_row_is_its_own(stored: tuple[ModelVersion, Backup]) -> None:
    (artifacts.directory_of(stored[1]) / manifest.MANIFEST).unlink()
    with pytest.raises(BackupError):
        artifacts.resign(stored[1])
