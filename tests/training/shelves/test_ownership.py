"""Whose a storage is: who gets the mark by itself, who has to say so, and who is kept out."""

import json
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from tests.factories import BackupFactory, VersionFactory
from tests.installations import become_another_installation, everything_stored
from tests.trained import approved_records, trained_version
from tests.training.admin.people import staff
from tests.training.test_artifacts import publish, stored_version
from training import artifacts, backups
from training.database import database_identity
from training.errors import ForeignStorageError, StorageError
from training.models import Backup, Installation, ModelVersion
from training.shelves import ownership, roots
from training.shelves.ownership import MARK, Mark, mark_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_storage")]
FOREIGN = "not this installation's"


def marks() -> list[Mark | None]:
    return [mark_of(root) for root in roots()]


def unmark() -> None:
    """As releases of before the marks left it."""
    for root in roots():
        if isinstance(root, ownership.DirectoryRoot):
            (root.path / MARK).unlink(missing_ok=True)
        else:
            root._bucket.delete([MARK])  # type: ignore[attr-defined]  # a BucketRoot


def adopt(**options: bool) -> str:
    out = StringIO()
    call_command("adopt_storage", stdout=out, **options)
    return out.getvalue()


def test_an_empty_storage_is_whoever_s_writes_first() -> None:
    publish()
    first = marks()[0]
    assert first is not None
    assert first.installation == str(Installation.objects.get().identifier)
    become_another_installation()
    with pytest.raises(ForeignStorageError, match=f"belongs to installation {first.installation}"):
        publish("version_2")
    assert marks()[0] == first


def test_looking_and_reading_leave_no_mark_and_need_none(media_root: Path) -> None:
    version = stored_version()
    become_another_installation()
    stored = everything_stored()
    assert artifacts.verify(version).digest == version.digest
    assert artifacts.is_there(version)
    assert everything_stored() == stored


def test_an_installation_of_before_the_marks_goes_on_by_itself() -> None:
    stored_version()
    publish("version_2")  # a crash left it: signed with our key, and without a row
    unmark()
    stored = everything_stored()
    assert artifacts.foreign_storages() == {}
    assert everything_stored() == stored
    artifacts.mark_known_storages()  # as the watch does
    assert marks()[0] is not None
    publish("version_3")


def test_so_it_does_when_its_newest_is_damaged() -> None:
    stored_version()
    VersionFactory.create(name="version_2", digest="1" * 64)
    publish("version_2")
    unmark()
    assert artifacts.foreign_storages() == {}


@pytest.mark.parametrize("what", ["nothing known", "another key", "another version of that name"])
def test_what_this_database_does_not_know_is_not_claimed_silently(what: str, settings: Settings) -> None:
    version = stored_version()
    if what == "nothing known":
        ModelVersion.objects.all().delete()
    elif what == "another key":
        ours = settings.ARTIFACT_SIGNING_KEYS
        settings.ARTIFACT_SIGNING_KEYS = ["another" * 6]
        publish("version_2")
        settings.ARTIFACT_SIGNING_KEYS = ours
    else:
        ModelVersion.objects.update(digest="1" * 64)
    unmark()
    stored = everything_stored()
    for change in (artifacts.sweep, publish, lambda: artifacts.remove(version)):
        with pytest.raises(ForeignStorageError, match="has no mark, and this database does not know"):
            change()
    assert everything_stored() == stored
    assert "does not know what stands there" in adopt(yes=True)
    artifacts.sweep()


def test_a_copy_of_the_database_is_another_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "database_identity", lambda: "production")
    stored_version()
    monkeypatch.setattr(ownership, "database_identity", lambda: "staging")
    with pytest.raises(ForeignStorageError, match="belongs to another database of installation"):
        publish("version_2")
    monkeypatch.setattr(ownership, "database_identity", lambda: "")  # may not be read: nothing is known
    publish("version_2")


def test_the_identity_is_this_database_s() -> None:
    if connection.vendor != "postgresql":
        assert database_identity() == ""
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        assert database_identity().startswith("postgresql:")
        assert database_identity().rpartition(":")[2] == str(cursor.fetchone()[0])


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b'{"installation": 3}'])
def test_a_mark_that_makes_no_sense_is_a_stranger_s(content: bytes) -> None:
    publish()
    for root in roots():
        root.replace_mark(content)
    with pytest.raises(ForeignStorageError, match="cannot be read"):
        publish("version_2")
    adopt(yes=True)
    publish("version_2")


def test_the_command_asks_first_and_shows_what_is_there() -> None:
    stored_version()
    publish("version_2")
    become_another_installation()
    before = everything_stored()
    with pytest.raises(CommandError, match="Nobody to ask: pass --yes"):
        adopt()
    assert everything_stored() == before
    shown = adopt(yes=True)
    assert "1 are known to this database: model_versions/version_1" in shown
    assert "1 are not: signed with its keys, damaged, or left by a crash: model_versions/version_2" in shown
    after = everything_stored()
    assert {key for key in before if before[key] != after[key]} <= {MARK, f"s3:{MARK}"}
    assert adopt() == "".join(f"{root.where} is this installation's.\n" for root in roots())


def test_the_mark_says_who_made_it() -> None:
    publish()
    told = json.loads(roots()[0].read_mark() or b"")
    assert told.keys() == {"installation", "database", "marked_by", "marked_at"}


def test_the_api_answers_503_and_the_desk_says_why(client: Client) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    become_another_installation()
    stored = everything_stored()
    for path in (
        f"/train/restore/{backup.name}",
        f"/api/v1/backups/{backup.name}/restore/",
        "/api/v1/backups/",
    ):
        desk = staff("training.restore_backup", "training.add_backup", "training.view_backup")
        answer = desk.post(path)
        assert (answer.status_code, FOREIGN in answer.json()["error"]) == (503, True), path
    page = staff("training.restore_backup", "training.view_backup").post(
        reverse("admin:training_backup_restore", args=[backup.pk]), follow=True
    )
    assert "belongs to another installation" in page.text
    assert everything_stored() == stored


def test_commands_say_so_in_a_sentence() -> None:
    approved_records()
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    BackupFactory.create()
    become_another_installation()
    for name, options in (
        ("create_backup", {}),
        ("keep_files", {}),
        ("prune_backups", {"keep": 1}),
        ("restore_backup", {"name": backup.name, "yes": True}),
    ):
        if name == "keep_files":
            Backup.objects.all().update(created_at="2020-01-01T00:00:00Z")
        arguments = [options.pop("name")] if "name" in options else []
        with pytest.raises((CommandError, StorageError), match=FOREIGN):
            call_command(name, *arguments, **options)
