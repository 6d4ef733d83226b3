"""Only the backups directory and the key, a database that knows nothing: back in service."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.factories import ApprovedFactory, VersionFactory
from tests.trained import approved_records, trained_version
from training import artifacts, backups, frames
from training.models import Activation, Anomaly, Backup, ModelVersion, SessionLogEntry, TrainingSession
from training.restoring import restore_backup

pytestmark = pytest.mark.django_db


def lose_the_database() -> None:
    for model in (SessionLogEntry, TrainingSession, Backup, Activation, ModelVersion, Anomaly):
        model.objects.all().delete()


def adopt() -> list[str]:
    out = StringIO()
    call_command("adopt_backups", stdout=out)
    return out.getvalue().splitlines()


@pytest.fixture
def lost() -> tuple[str, list[list[float]]]:
    """The newest backup's name, and what its model said."""
    approved_records()
    trained_version("version_1", is_active=True)
    ModelVersion.objects.update(metrics={"rows": 3})
    version = ModelVersion.objects.get()
    said = artifacts.load_scorer(version).predict(frames.approved_frame())["availability"]
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    artifacts.set_aside(version)
    lose_the_database()
    return backup.name, said.distribution.tolist()


def test_back_in_service(lost: tuple[str, list[list[float]]]) -> None:
    name, said = lost
    number = _number(name)
    assert adopt() == [
        f"{name}: {len(said)} records, version {number}",
        f"Next: python manage.py restore_backup {name}",
    ]
    backup = Backup.objects.get()
    assert (backup.kind, backup.verified_at is not None) == (Backup.Kind.ADOPTED, True)
    restore_backup(backup=backup)
    version = ModelVersion.objects.active()
    assert version is not None
    assert (version.pk, version.metrics, version.pruned_at) == (number, {"rows": 3}, None)
    again = artifacts.load_scorer(version).predict(frames.approved_frame())["availability"]
    assert again.distribution.tolist() == said
    assert VersionFactory.create(name="next").pk > number
    assert adopt() == ["Every backup is known already."]


def _number(name: str) -> int:
    number: int = artifacts.read_back(Backup, name).facts["model"]["id"]
    return number


def test_a_backup_from_before_the_first_model() -> None:
    ApprovedFactory.create()
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    lose_the_database()
    assert adopt()[0] == f"{backup.name}: 1 records, no model"
    assert Backup.objects.get().model_version is None


def test_under_another_key_nothing_is_taken_in(
    lost: tuple[str, list[list[float]]], settings: Settings
) -> None:
    settings.ARTIFACT_SIGNING_KEYS = ["another key"]
    with pytest.raises(CommandError, match="1 left out, 0 taken in"):
        adopt()
    assert not Backup.objects.exists()


def test_a_damaged_one_is_left_out_and_the_others_are_taken_in(
    lost: tuple[str, list[list[float]]], media_root: Path
) -> None:
    name, _said = lost
    ApprovedFactory.create()
    whole = backups.create_backup(kind=Backup.Kind.MANUAL)
    lose_the_database()
    (media_root / "model_backups" / name / "features.pkl").write_bytes(b"x")
    with pytest.raises(CommandError, match="1 left out, 1 taken in"):
        adopt()
    assert Backup.objects.get().name == whole.name


def test_where_something_else_was_trained_its_number_is_taken(lost: tuple[str, list[list[float]]]) -> None:
    VersionFactory.create(pk=_number(lost[0]), name="another")
    with pytest.raises(CommandError, match="1 left out"):
        adopt()
    assert not Backup.objects.exists()
