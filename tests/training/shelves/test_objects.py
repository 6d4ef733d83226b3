"""Object storage: what breaks leaves nothing half stored, and what was altered is never used."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from predictions import predictor
from tests.factories import VersionFactory
from tests.storing import TestBucket, forget_copies
from tests.trained import approved_records, identical, predictions, trained_version
from tests.training.shelves.flaky import FlakyWay
from tests.training.test_artifacts import FILES, publish, stored_version
from training import artifacts, backups, restoring, runner, sessions, versions
from training.errors import BackupError, StorageError, UnservableVersionError
from training.ml import bundle
from training.ml.records import TARGETS
from training.models import Activation, Backup, ModelVersion, TrainingSession
from training.shelves import copies, shelf_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]

KEYS = [f"model_versions/version_1/{name}" for name in ("features.pkl", "manifest.json", "twin.pkl")]


def held(media_root: Path) -> list[str]:
    """The files of the copies on this machine."""
    return sorted(path.name for path in (media_root / "cache").rglob("*.*") if path.is_file())


# --- Publishing --------------------------------------------------------------------------------


def test_every_file_is_an_object_and_the_node_keeps_a_copy(bucket: TestBucket, media_root: Path) -> None:
    publish()
    assert bucket.listing() == KEYS
    assert held(media_root) == []

    manifest = artifacts.read_back(ModelVersion, "version_1")

    assert {name: manifest.read(name) for name in manifest.files} == FILES
    assert manifest.path.is_relative_to(media_root / "cache" / "model_versions")
    assert held(media_root) == [".lock", "features.pkl", "manifest.json", "twin.pkl"]
    assert not (media_root / "model_versions").exists()


def test_a_taken_name_is_refused_and_kept(bucket: TestBucket) -> None:
    publish()
    before = {key: bucket.read(key) for key in KEYS}

    with pytest.raises(FileExistsError):
        publish()

    assert {key: bucket.read(key) for key in bucket.listing()} == before


def test_of_many_who_publish_one_name_one_wins_whole(bucket: TestBucket) -> None:
    start = Barrier(6)

    def race(number: int) -> bool:
        start.wait()
        try:
            with artifacts.publish(ModelVersion, "version_1", facts={"n": number}) as directory:
                (directory / "features.pkl").write_bytes(str(number).encode())
        except FileExistsError:
            return False
        finally:
            connection.close()  # of this thread
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(race, range(6)))

    assert won.count(True) == 1
    manifest = artifacts.read_back(ModelVersion, "version_1")
    assert manifest.facts == {"n": won.index(True)}
    assert manifest.read("features.pkl") == str(won.index(True)).encode()


def test_a_name_is_reserved_once(bucket: TestBucket) -> None:
    VersionFactory.create(name="version_1")
    publish("version_2")
    names = [f"version_{n}" for n in range(1, 9)]
    with (
        artifacts.reserved(ModelVersion, names) as first,
        artifacts.reserved(ModelVersion, names) as second,
    ):
        assert (first, second) == ("version_3", "version_4")
        publish(first)

    assert artifacts.read_back(ModelVersion, "version_3").facts == {"rows": 3}
    with artifacts.reserved(ModelVersion, names) as third:
        assert third == "version_4"
    assert {key.split("/")[1] for key in bucket.listing()} == {"version_2", "version_3"}


@pytest.mark.parametrize("sent", [0, 200, 1_500, 3_000])
def test_a_connection_lost_while_storing_leaves_nothing_that_counts(
    bucket: TestBucket, way: FlakyWay, sent: int
) -> None:
    """Nothing has a row; what was half stored is nobody's, and swept when it could not be deleted at once."""
    kept = stored_version("version_0")
    way.cut_after = sent

    with pytest.raises(StorageError, match=r"^The object storage does not answer: "):
        publish("version_1")
    way.cut_after = None

    assert KEYS[1] not in bucket.listing(), "the manifest comes last"
    with pytest.raises(UnservableVersionError, match="No such file"):
        artifacts.read_back(ModelVersion, "version_1")
    artifacts.sweep(grace=timedelta(seconds=-5))
    assert bucket.listing() == [f"model_versions/version_0/{key.rpartition('/')[2]}" for key in KEYS]
    assert artifacts.verify(kept).digest == kept.digest
    publish("version_1")


def test_a_backup_that_cannot_be_stored_is_a_backup_error(bucket: TestBucket, way: FlakyWay) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    before = bucket.listing()
    way.cut_after = 20_000

    with pytest.raises(BackupError, match=r"^The backup could not be written: The object storage does not"):
        backups.create_backup(kind=Backup.Kind.MANUAL)
    way.cut_after = None

    assert not Backup.objects.exists()
    artifacts.sweep(grace=timedelta(seconds=-5))
    assert bucket.listing() == before


# --- Reading -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "altered",
    [
        (KEYS[0], b"features" * 49, "'features.pkl' in version_1 is truncated: 392 bytes, not 400."),
        (KEYS[0], b"Features" * 50, "'features.pkl' in version_1 was altered."),
        (KEYS[0], b"features" * 51, "'features.pkl' in version_1 is longer than signed: 401 bytes, not 400."),
        (KEYS[0], None, "version_1 lacks 'features.pkl'."),
        (KEYS[1], b"{}", "The manifest of version_1 is damaged."),
        (KEYS[1], None, "'manifest.json' in version_1 cannot be read: No such file or directory."),
        ("model_versions/version_1/more.pkl", b"x", "version_1 holds 'more.pkl', which was not signed."),
        (
            "model_versions/version_1/../../../x.pkl", b"x",
            "'../../../x.pkl' is not a name of a file in version_1.",
        ),
        ("model_versions/version_1/.lock", b"x", "'.lock' is not a name of a file in version_1."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("copied", [True, False], ids=["copied", "unknown here"])
def test_what_was_altered_is_quarantined_and_kept(
    bucket: TestBucket, media_root: Path, altered: tuple[str, bytes | None, str], copied: bool
) -> None:
    key, content, reason = altered
    version = stored_version()
    genuine = bucket.read(key) if key in KEYS else None
    if not copied:
        forget_copies(media_root)
    if content is None:
        bucket.delete(key)
    else:
        bucket.write(key, content)

    with pytest.raises(UnservableVersionError) as refusal:
        artifacts.verify(version)

    assert str(refusal.value) == reason
    assert ModelVersion.objects.get(pk=version.pk).verification_error == reason
    assert content is None or bucket.read(key) == content
    if genuine is None:
        bucket.delete(key)
    else:
        bucket.write(key, genuine)
    artifacts.verify(version)
    assert ModelVersion.objects.get(pk=version.pk).is_usable is True


def test_a_directory_of_too_many_objects_is_refused(bucket: TestBucket) -> None:
    version = stored_version()
    for number in range(100):
        bucket.write(f"model_versions/version_1/f{number}", b"x")

    with pytest.raises(UnservableVersionError, match="holds more than 100 files"):
        artifacts.verify(version)


def test_a_copy_that_was_altered_on_disk_is_not_used_but_fetched_again(media_root: Path) -> None:
    version = stored_version()
    (copy,) = (media_root / "cache" / "model_versions").glob("*/version_1/features.pkl")
    copy.write_bytes(b"Features" * 50)

    manifest = artifacts.verify(version)

    assert manifest.read("features.pkl") == copy.read_bytes() == FILES["features.pkl"]
    assert ModelVersion.objects.get(pk=version.pk).verification_error == ""


def test_a_node_restores_what_it_never_saw(media_root: Path) -> None:
    approved_records()
    version = trained_version("version_1", is_active=True)
    suggestions = predictions(version)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    versions.set_active(version=trained_version("version_2"), reason=Activation.Reason.RELOAD)
    artifacts.remove(version)
    forget_copies(media_root)

    assert restoring.preview_restore(backup=backup).version_to == version
    restoring.restore_backup(backup=backup)

    forget_copies(media_root)
    version.refresh_from_db()
    assert version.is_active is True
    assert identical(predictions(version), suggestions)
    backups.verify_backup(backup=backup)


# --- Out of reach ------------------------------------------------------------------------------


@pytest.mark.usefixtures("own_predictor")
def test_without_the_storage_the_old_model_keeps_serving_and_nothing_is_quarantined(
    way: FlakyWay, media_root: Path
) -> None:
    approved_records()
    first = trained_version("version_1", is_active=True)
    second = trained_version("version_2")
    assert predictor.current().loaded is not None
    forget_copies(media_root)
    way.cut_after = 0

    with pytest.raises(UnservableVersionError, match=r"^The object storage does not answer: "):
        versions.activate_version(version=second)
    versions.set_active(version=second, reason=Activation.Reason.REQUEST)
    state = predictor.current()

    assert state.loaded is not None
    assert state.loaded.version_id == first.pk
    assert state.failure is not None
    assert state.failure.reason.startswith("The object storage does not answer: ")
    assert not ModelVersion.objects.exclude(verification_error="").exists()


@pytest.mark.usefixtures("own_predictor")
def test_without_the_storage_a_sound_copy_serves(way: FlakyWay) -> None:
    approved_records()
    version = trained_version("version_1", is_active=True)
    way.cut_after = 0

    state = predictor.current()

    assert state.loaded is not None
    assert state.loaded.version_id == version.pk
    with pytest.raises(UnservableVersionError, match=r"^The object storage does not answer: "):
        artifacts.verify(version)


@pytest.mark.usefixtures("own_predictor")
def test_without_the_storage_an_altered_copy_does_not_serve(way: FlakyWay, media_root: Path) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    way.cut_after = 0
    for copy in (media_root / "cache").rglob("features.pkl"):
        copy.write_bytes(b"x")

    assert predictor.current().loaded is None


def test_a_training_without_the_storage_fails_with_its_reason_and_the_champion_serves(
    way: FlakyWay, bucket: TestBucket
) -> None:
    approved_records()
    champion = trained_version("version_1", is_active=True)
    before = bucket.listing()
    session = sessions.start_session(trigger=TrainingSession.Trigger.COMMAND, enqueue=False)
    attempt = sessions.claim(session.pk)
    assert attempt == 1
    way.cut_after = 0

    runner.run_attempt(session.pk, attempt)

    session.refresh_from_db()
    assert session.status == TrainingSession.Status.FAILED
    assert session.reason.startswith("The backup could not be written: The object storage does not answer: ")
    assert ModelVersion.objects.active() == champion
    assert (bucket.listing(), Backup.objects.count(), ModelVersion.objects.count()) == (before, 0, 1)


def test_a_version_that_cannot_be_stored_fails_the_training(
    way: FlakyWay, bucket: TestBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The backup got through; then the connection broke."""
    approved_records()
    session = sessions.start_session(trigger=TrainingSession.Trigger.COMMAND, enqueue=False)
    attempt = sessions.claim(session.pk)
    assert attempt == 1
    write = bundle.write_bundle

    def break_after(*args: Any, **values: Any) -> Any:
        facts = write(*args, **values)
        way.cut_after = 5_000
        return facts

    monkeypatch.setattr("training.runner.bundle.write_bundle", break_after)
    runner.run_attempt(session.pk, attempt)
    way.cut_after = None

    session.refresh_from_db()
    assert session.status == TrainingSession.Status.FAILED
    assert session.reason.startswith("The object storage does not answer: ")
    assert not ModelVersion.objects.exists()
    backups.verify_backup(backup=Backup.objects.get())
    artifacts.sweep(grace=timedelta(seconds=-5))
    assert {key.split("/")[0] for key in bucket.listing()} == {"model_backups"}


def test_the_metrics_say_that_the_storage_does_not_answer(way: FlakyWay, client: Client) -> None:
    approved_records()
    version = trained_version("version_1", is_active=True)
    files = client.get("/models/metrics").json()["model_files"]
    assert {name: facts["exists"] for name, facts in files.items()} == dict.fromkeys(TARGETS, True)
    assert predictor._predictor.state.loaded is not None
    way.cut_after = 0

    answer = client.get("/models/metrics")

    assert answer.status_code == 200
    sentence = "The files cannot be read now: The object storage does not answer: "
    for facts in answer.json()["model_files"].values():
        assert (facts["exists"], facts["problem"].startswith(sentence)) == (False, True)
    body = {"description": "fuite", "equipment_id": "p-1"}
    scored = client.post("/predict", body, content_type="application/json")
    assert (scored.status_code, scored.json()["model_version"]) == (200, version.pk)


# --- Keeping house -----------------------------------------------------------------------------


def test_the_sweep_takes_what_has_no_row_and_nothing_else(bucket: TestBucket, media_root: Path) -> None:
    kept = stored_version("version_1")
    publish("version_2")
    assert shelf_of("model_backups").reserve("backup_1") is True
    artifacts.set_aside(stored_version("version_3"))
    bucket.write("elsewhere/file", b"x")
    left = media_root / "cache" / "model_versions" / ".tmp-left"
    left.mkdir()
    os.utime(left, (time.time() - 60,) * 2)

    assert artifacts.sweep() == []
    assert sorted(artifacts.sweep(grace=timedelta(seconds=-5))) == ["backup_1"]

    names = {"/".join(key.split("/")[:2]).rpartition("-")[0] or key for key in bucket.listing()}
    second = {key.replace("version_1", "version_2") for key in KEYS}  # signed: for a person to look at
    assert names == {*KEYS, *second, "model_versions/.damaged-version_3", "elsewhere/file"}
    assert not left.exists()
    assert artifacts.verify(kept).digest == kept.digest


def test_the_copies_are_bounded(
    media_root: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "IN_USE", 0)
    settings.ARTIFACT_CACHE_LIMIT = 2_000
    rows = [stored_version(f"version_{n}") for n in range(4)]

    for row in rows:
        artifacts.verify(row)
    shelf_of("model_versions").tidy(0)

    assert held(media_root).count("manifest.json") == 2


def test_copies_that_somebody_may_still_read_stay(media_root: Path, settings: Settings) -> None:
    settings.ARTIFACT_CACHE_LIMIT = 1
    for n in range(3):
        stored_version(f"version_{n}")

    assert held(media_root).count("manifest.json") == 3
