"""From local disk into a bucket: verified on both sides, and again after an interruption."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from pytest_django import Settings

from tests.storing import TestBucket, content_of, current_bucket, names_in
from tests.training.test_artifacts import FILES, publish, stored_version
from training import artifacts
from training.models import Backup, ModelVersion

pytestmark = pytest.mark.django_db


@pytest.fixture
def local(bucket: TestBucket, settings: Settings) -> list[artifacts.Stored]:
    """A version and a backup on local disk; then the bucket is configured."""
    configured = settings.STORAGES
    settings.STORAGES = configured | {"artifacts": {"BACKEND": "django.core.files.storage.FileSystemStorage"}}
    rows: list[artifacts.Stored] = [stored_version("version_1"), stored_version("version_2")]
    publish("backup_1", Backup)
    manifest = artifacts.read_back(Backup, "backup_1")
    rows.append(
        Backup.objects.create(
            name="backup_1",
            kind=Backup.Kind.MANUAL,
            created_at=rows[0].created_at,
            digest=manifest.digest,
            size_bytes=manifest.size_bytes,
            record_count=0,
        )
    )
    settings.STORAGES = configured
    assert current_bucket() == bucket
    return rows


def move() -> list[str]:
    out = StringIO()
    call_command("move_artifacts", stdout=out)
    return out.getvalue().splitlines()


def test_everything_is_copied_once_and_stays_here(local: list[artifacts.Stored], media_root: Path) -> None:
    assert move() == [f"{row.path} copied" for row in local]
    assert move() == [f"{row.path} was there already" for row in local]

    for row in local:
        manifest = artifacts.verify(row)
        assert {name: manifest.read(name) for name in manifest.files} == FILES
        assert (media_root / row.path / "features.pkl").read_bytes() == FILES["features.pkl"]


def test_what_an_interruption_left_is_set_aside(local: list[artifacts.Stored], bucket: TestBucket) -> None:
    bucket.write("model_versions/version_1/features.pkl", b"half")

    assert move()[0] == "model_versions/version_1 copied"

    aside = names_in("model_versions")[0]
    assert aside.startswith(".damaged-version_1-")
    assert content_of("model_versions", aside, "features.pkl") == b"half"


def test_what_does_not_verify_is_named_and_the_rest_is_copied(
    local: list[artifacts.Stored], media_root: Path
) -> None:
    (media_root / "model_versions/version_1/features.pkl").write_bytes(b"damaged")
    (media_root / "model_versions/version_2").rename(media_root / "elsewhere")
    out, err = StringIO(), StringIO()

    with pytest.raises(CommandError, match=r"^1 could not be copied\.$"):
        call_command("move_artifacts", stdout=out, stderr=err)

    assert out.getvalue().splitlines() == [
        "model_versions/version_2 is not on this machine",
        "model_backups/backup_1 copied",
    ]
    assert "model_versions/version_1: 'features.pkl' in version_1 is truncated" in err.getvalue()
    assert names_in("model_versions") == []
    assert not ModelVersion.objects.exclude(verification_error="").exists()


def test_without_object_storage_there_is_nowhere_to_copy_to() -> None:
    with pytest.raises(CommandError, match=r"^ARTIFACT_STORAGE is not set"):
        call_command("move_artifacts")
