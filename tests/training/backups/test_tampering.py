"""What was tampered with is refused before anything in it is unpickled, and nothing of it is lost."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
from django.core.management import CommandError, call_command

from tests.factories import VersionFactory
from tests.storing import TestBucket, editing, file_of, files_of
from tests.trained import trained_version
from training import artifacts, backups, restoring, versions
from training.errors import BackupError, UnservableVersionError
from training.ml.manifest import sign_directory
from training.models import Activation, Anomaly, Backup, ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_storage")]

MODELS = ("features.pkl", "availability_model.pkl", "fiability_model.pkl", "process_safety_model.pkl")


@pytest.fixture
def unpickled(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was handed to the unpickler."""
    seen: list[object] = []
    real = joblib.load

    def load(source: Any) -> Any:
        seen.append(source)
        return real(source)

    monkeypatch.setattr("training.ml.bundle.joblib.load", load)
    return seen


class Plant:
    """A pickle that leaves a mark when it is loaded."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def refuse_everything(version: ModelVersion, backup: Backup) -> int:
    """Try every way in which files are loaded; how many refused."""
    refused = 0
    for load in (
        lambda: artifacts.load_scorer(version),
        lambda: artifacts.load_twin(version),
        lambda: artifacts.load_neighbours(version),
        lambda: versions.activate_version(version=version),
        lambda: backups.verify_backup(backup=backup),
        lambda: restoring.preview_restore(backup=backup),
        lambda: restoring.restore_backup(backup=backup),
    ):
        try:
            load()
        except (UnservableVersionError, BackupError):
            refused += 1
    return refused


def test_sound_files_are_loaded(version: ModelVersion, backup: Backup, unpickled: list[object]) -> None:
    assert refuse_everything(version, backup) == 0
    assert len(unpickled) == 4 + 1 + 1 + 4 + 4 + 4


def test_no_flipped_bit_reaches_the_unpickler(
    version: ModelVersion, backup: Backup, unpickled: list[object], each_storage: TestBucket | None
) -> None:
    """200 flips (40 in object storage), each in one file of the model or of the backup, undone after it."""
    chance = random.Random(20260101)
    before = list(Anomaly.objects.order_by("pk").values())
    for flip in range(40 if each_storage else 200):
        stored = (version, backup)[flip % 2]
        path = chance.choice(files_of(stored))
        genuine = path.read_bytes()
        damaged = bytearray(genuine)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)

        if flip % 2:
            with pytest.raises(BackupError):
                restoring.restore_backup(backup=backup)
            with pytest.raises(BackupError):
                backups.verify_backup(backup=backup)
        else:
            with pytest.raises(UnservableVersionError):
                artifacts.load_scorer(version)
            with pytest.raises(UnservableVersionError):
                artifacts.load_twin(version)
        assert path.read_bytes() == damaged, "what is damaged is kept"
        path.write_bytes(genuine)

    assert unpickled == []
    assert list(Anomaly.objects.order_by("pk").values()) == before
    assert Backup.objects.count() == 1
    assert refuse_everything(version, backup) == 0


@pytest.mark.parametrize("name", [*MODELS, "neighbours.pkl", "twin.pkl"])
def test_a_planted_pickle_never_runs(
    version: ModelVersion, backup: Backup, tmp_path: Path, name: str
) -> None:
    plant = pickle.dumps(Plant(tmp_path / "ran"))
    pickle.loads(plant)
    assert (tmp_path / "ran").exists(), "the plant works"
    (tmp_path / "ran").unlink()
    for stored in (version, backup):
        file_of(stored, name).write_bytes(plant)

    assert refuse_everything(version, backup) == 7

    assert not (tmp_path / "ran").exists()


def test_a_plant_under_another_s_signature_never_runs(
    version: ModelVersion, backup: Backup, tmp_path: Path
) -> None:
    for stored in (version, backup):
        facts = dict(artifacts.verify(stored).facts)
        with editing(stored) as directory:
            (directory / "features.pkl").write_bytes(pickle.dumps(Plant(tmp_path / "ran")))
            signed = sign_directory(directory, key="another key", kind=stored.DIRECTORY, facts=facts)
        type(stored).objects.update(digest=signed.digest)
        stored.refresh_from_db()

    assert refuse_everything(version, backup) == 7

    assert not (tmp_path / "ran").exists()


def test_a_plant_put_in_after_verification_never_runs(
    version: ModelVersion, backup: Backup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes that are loaded are those that were hashed, whatever stands on the disk by then."""
    loads: dict[artifacts.Stored, Callable[[], object]] = {
        version: lambda: artifacts.load_scorer(version),
        backup: lambda: backups.verify_backup(backup=backup),
    }
    for stored, load in loads.items():
        manifest = artifacts.verify(stored)
        for name in MODELS:
            path = manifest.path / name
            genuine = path.read_bytes()
            path.write_bytes(pickle.dumps(Plant(tmp_path / "ran")))
            with monkeypatch.context() as patch:
                patch.setattr(artifacts, "verify", lambda _stored, found=manifest, **_options: found)
                with pytest.raises((UnservableVersionError, BackupError), match="was altered"):
                    load()
            path.write_bytes(genuine)

    assert not (tmp_path / "ran").exists()


def test_what_is_quarantined_leaves_the_active_version_serving(version: ModelVersion) -> None:
    broken = trained_version("version_2")
    file_of(broken, "features.pkl").write_bytes(b"broken")

    with pytest.raises(UnservableVersionError):
        versions.reload_newest()

    assert ModelVersion.objects.active() == version
    assert not Activation.objects.exists()
    assert file_of(broken, "features.pkl").read_bytes() == b"broken"


# --- Names -------------------------------------------------------------------------------------

STEMS = ("..", "../..", "../model_versions/version_1", "/etc/passwd", "backup_1/..", ".", "~", "C:\\x", "")
WRAPS = (
    *("{}", "{}/", "./{}", "{}\0", "{}%00", "..\\{}", "%2e%2e/{}", "{}/../../x", "....//{}", "{}\n", " {}"),
    *("..%252f{}", "..%c0%af{}", "file://{}", "{}?", "{}#", "\u2025/{}", "{}\u2215..", "-{}", "{}*", "$({})"),
    *("\uff0e\uff0e/{}", "{};ls", "{}|x"),
)
TRAVERSALS = sorted({wrap.format(stem) for wrap in WRAPS for stem in STEMS})[:200]


def test_no_traversal_leads_outside(version: ModelVersion, media_root: Path) -> None:
    """200 strings, as names of rows that somebody managed to store."""
    assert len(TRAVERSALS) == 200
    refused = 0
    for name in TRAVERSALS:
        for stored in (VersionFactory.build(name=name), Backup(name=name)):
            try:
                directory = artifacts.directory_of(stored)
            except (UnservableVersionError, BackupError):
                refused += 1
            else:
                assert directory.parent == media_root / stored.DIRECTORY, name
    assert refused == 400


@pytest.mark.parametrize("command", ["verify_backup", "restore_backup"])
def test_no_traversal_names_a_backup(backup: Backup, command: str) -> None:
    for name in TRAVERSALS:
        if "\0" not in name:  # no process can be given that
            with pytest.raises(CommandError):
                call_command(command, name)
