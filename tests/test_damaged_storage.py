"""What only shows goes on showing, whatever became of the files: every route that is read × every damage."""

import os
import shutil
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from anomalyproject.env import env_storage
from predictions import predictor
from tests.predictions.published import publish_version
from tests.routes import address, one_of_each, routes
from tests.storing import TestBucket
from tests.training.admin.people import superuser
from tests.training.admin.test_held_out import measured_version
from training import artifacts, backups
from training.ml.held_out import HELD_OUT
from training.models import Backup, ModelVersion

pytestmark = pytest.mark.django_db

Damage = Callable[[artifacts.Stored, pytest.MonkeyPatch], None]
TOUCHING = (
    *("admin/training/modelversion/", "admin/training/backup/", "admin/training/activation/"),
    *("admin/training/fileimport/", "admin/predictions/", "models/", "train/", "health", "metrics", "livez"),
    *("api/v1/^model-versions/", "api/v1/^backups/", "api/v1/^predictions/", "api/v1/drift/"),
)


def linked_elsewhere(stored: artifacts.Stored, _patch: pytest.MonkeyPatch) -> None:
    directory = artifacts.directory_of(stored)
    moved = directory.with_name(f"{directory.name}-moved")
    directory.rename(moved)
    directory.symlink_to(moved)


def file_in_its_place(stored: artifacts.Stored, _patch: pytest.MonkeyPatch) -> None:
    directory = artifacts.directory_of(stored)
    shutil.rmtree(directory)
    directory.write_text("not a directory")


def gone(stored: artifacts.Stored, _patch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(artifacts.directory_of(stored))


def cut_off(stored: artifacts.Stored, _patch: pytest.MonkeyPatch) -> None:
    for file in artifacts.directory_of(stored).iterdir():
        file.write_bytes(file.read_bytes()[:-7])


def unreadable(_stored: artifacts.Stored, patch: pytest.MonkeyPatch) -> None:
    """As for a process without the right to it; root has every right."""
    is_ours, scandir, opened, lstat = "model_", os.scandir, os.open, os.lstat

    def refused(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any = ".", *args: Any, **kwargs: Any) -> Any:
            if is_ours in str(path):
                raise PermissionError(13, "Permission denied", str(path))
            return real(path, *args, **kwargs)

        return call

    patch.setattr(os, "scandir", refused(scandir))
    patch.setattr(os, "open", refused(opened))
    patch.setattr(os, "lstat", refused(lstat))


DAMAGES: dict[str, Damage] = {
    damage.__name__: damage for damage in (linked_elsewhere, file_in_its_place, gone, cut_off, unreadable)
}


def stored_rows() -> tuple[ModelVersion, Backup, dict[str, Any]]:
    """A version that serves and knows its held-out records, a backup, and a row of everything else."""
    rows = one_of_each()
    ModelVersion.objects.update(is_active=False)
    version = publish_version(is_active=True)
    predictor.current()  # what serves was loaded before its files went
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    versions = dict.fromkeys(("modelversion", "model-versions"), version.pk)
    return (
        version,
        backup,
        rows | versions | {"backup": backup.pk, "backups": backup.name, "restore": backup.name},
    )


def statuses(client: Client, rows: Mapping[str, Any]) -> dict[str, int]:
    paths = [address(route, rows) for route in routes() if route.startswith(TOUCHING)]
    return {path: status_of(client, path) for path in ["/admin/", *paths]}


def status_of(client: Client, path: str) -> int:
    response = client.get(path)
    if response.streaming:
        response.getvalue()
    status: int = response.status_code
    return status


def server_errors(client: Client, rows: Mapping[str, Any]) -> dict[str, int]:
    found = statuses(client, rows)
    assert len(found) > 60
    return {path: status for path, status in found.items() if status >= 500}


@pytest.mark.parametrize("name", DAMAGES)
def test_every_page_is_shown_without_the_files(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    version, backup, rows = stored_rows()
    for stored in (version, backup):
        DAMAGES[name](stored, monkeypatch)
    assert server_errors(superuser(), rows) == {}


def test_every_page_is_shown_without_the_object_storage(bucket: TestBucket, settings: Settings) -> None:
    _version, _backup, rows = stored_rows()
    closed = pytest.MonkeyPatch()
    closed.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    settings.STORAGES = settings.STORAGES | {"artifacts": env_storage("ARTIFACT_STORAGE", timeout=1)}
    closed.undo()
    assert server_errors(superuser(), rows) == {}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_list_of_held_out_records_says_why_it_is_empty(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, client = measured_version(), superuser()
    DAMAGES[name](version, monkeypatch)
    page = client.get(f"/admin/training/modelversion/{version.pk}/held-out/")
    assert page.status_code == 200
    assert "The held-out records cannot be read:" in page.content.decode()


def test_a_held_out_file_that_is_no_table_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    version = measured_version()
    (artifacts.directory_of(version) / HELD_OUT).write_bytes(b"\x1f\x8b not a table")
    page = superuser().get(f"/admin/training/modelversion/{version.pk}/held-out/")
    assert page.status_code == 200
    assert "The held-out records cannot be read:" in page.content.decode()


@pytest.mark.parametrize("name", ["linked_elsewhere", "unreadable"])
def test_models_metrics_tell_that_the_files_cannot_be_read(
    name: str, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.ANONYMOUS_READ = True
    version, _backup, _rows = stored_rows()
    DAMAGES[name](version, monkeypatch)
    files = Client().get("/models/metrics").json()["model_files"]
    for target, file in files.items():
        assert file["problem"].startswith("The files cannot be read now: "), target
        assert (file["exists"], file["size_mb"], file["last_modified"]) == (False, 0.0, None)


def test_a_damaged_backup_is_not_offered_and_restores_nothing(settings: Settings) -> None:
    settings.ANONYMOUS_READ = True
    version, backup, _rows = stored_rows()
    Backup.objects.exclude(pk=backup.pk).update(verification_error="x")
    cut_off(backup, pytest.MonkeyPatch())
    client = superuser()
    page = f"/admin/training/backup/{backup.pk}/change/"
    assert "/restore" in client.get(page).content.decode()
    assert [each["name"] for each in client.get("/train/backups").json()["backups"]] == [backup.name]

    refused = client.post(f"/api/v1/backups/{backup.name}/restore/")
    assert refused.status_code == 409
    backup.refresh_from_db()
    assert backup.verification_error
    assert refused.json()["error"] == backup.verification_error
    assert client.get("/train/backups").json() == {"backups": [], "count": 0}
    assert client.get("/train/status").json()["available_backups"] == 0
    html = client.get(page).content.decode()
    assert "Restore" not in html.replace("Restored", "")
    assert "Verify" in html
    again = client.post(f"/train/restore/{backup.name}")
    assert (again.status_code, again.json()) == (500, {"success": False, "error": backup.verification_error})
    assert Backup.objects.filter(kind=Backup.Kind.BEFORE_RESTORE).count() == 0
    assert ModelVersion.objects.active() == version
