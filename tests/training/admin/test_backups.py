import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.trained import approved_records, trained_version
from tests.training.admin.people import said, staff, superuser, user_of
from training import artifacts, backups, versions
from training.models import Activation, Anomaly, Backup, ModelVersion

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_backup_changelist")
BACK_UP = reverse("admin:training_backup_back_up_now")
PRUNE = reverse("admin:training_backup_prune")
LOOK = "training.view_backup"


def page(backup: Backup, name: str = "change") -> str:
    return reverse(f"admin:training_backup_{name}", args=[backup.pk])


@pytest.fixture
def version() -> ModelVersion:
    approved_records(6)
    return trained_version(is_active=True)


@pytest.fixture
def backup(version: ModelVersion) -> Backup:
    return backups.create_backup(kind=Backup.Kind.MANUAL)


# --- Back up, verify ---------------------------------------------------------------------------


def test_back_up_asks_first_and_then_says_what_was_kept(version: ModelVersion) -> None:
    client = staff(LOOK, "training.add_backup")
    assert client.get(BACK_UP).context["confirmation"].title == "Back up now?"
    assert not Backup.objects.exists()
    response = client.post(BACK_UP)
    backup = Backup.objects.get()
    assert said(response)[0].startswith(f"{backup} is made: 6 records, ")
    assert (backup.kind, backup.created_by, backup.model_version) == ("manual", user_of(client), version)


def test_verify_reads_one_back(backup: Backup) -> None:
    Backup.objects.update(verified_at=None)
    client = staff(LOOK, "training.add_backup")
    assert client.get(page(backup, "verify")).context["confirmation"].title == f"Verify {backup}?"
    response = client.post(page(backup, "verify"))
    assert (said(response), response["Location"]) == ([f"{backup} is sound."], page(backup))
    backup.refresh_from_db()
    assert backup.verified_at is not None
    entry = LogEntry.objects.get()
    assert (entry.user, entry.get_change_message()) == (user_of(client), "Verify")


def test_verify_tells_the_sound_from_the_damaged(backup: Backup) -> None:
    damaged = backups.create_backup(kind=Backup.Kind.MANUAL)
    (artifacts.directory_of(damaged) / "disponibilite.csv").unlink()
    response = staff(LOOK, "training.add_backup").post(
        LIST, {"action": "verify_selected", "_selected_action": [backup.pk, damaged.pk]}
    )
    damaged.refresh_from_db()
    assert damaged.verification_error
    assert sorted(said(response)) == sorted([f"{backup} is sound.", damaged.verification_error])


# --- Restore -----------------------------------------------------------------------------------


@pytest.fixture
def later(backup: Backup) -> ModelVersion:
    """Since the backup: two new records, one score changed, one record rejected, one gone, a new version."""
    ApprovedFactory.create_batch(2)
    Anomaly.objects.filter(anomaly_id="T-000").update(fiability_score=5)
    Anomaly.objects.filter(anomaly_id="T-001").update(status=Anomaly.Status.REJECTED)
    Anomaly.objects.filter(anomaly_id="T-002").delete()
    version = trained_version("version_2")
    versions.set_active(version=version, reason=Activation.Reason.REQUEST)
    return version


def test_the_page_before_a_restore_says_what_will_change(
    backup: Backup, version: ModelVersion, later: ModelVersion
) -> None:
    confirmation = staff(LOOK, "training.restore_backup").get(page(backup, "restore")).context["confirmation"]
    assert confirmation.changes == [
        f"The model that serves changes: {later} → {version}.",
        "2 records go back to the review queue: the backup does not hold them.",
        "1 record gets its earlier scores back.",
        "1 record is approved again.",
        "1 record that is gone is created again.",
    ]
    assert confirmation.way_back.startswith("A backup of the present is made first")
    assert confirmation.table.caption == "5 records that change"
    assert [(str(what), scores) for _report, what, scores in confirmation.table.rows] == [
        ("back to the review queue", "2 · 1 · 3 → 2 · 1 · 3"),
        ("back to the review queue", "2 · 1 · 3 → 2 · 1 · 3"),
        ("earlier scores", "1 · 5 · 5 → 1 · 1 · 5"),
        ("approved again", "2 · 1.5 · 4 → 2 · 1.5 · 4"),
        ("created again", "– → 3 · 2 · 3"),
    ]
    assert confirmation.table.rows[2][0] == "FUITE VAPEUR VANNE DE PURGE 0<br><small>T-000</small>"
    assert ModelVersion.objects.active() == later
    assert Backup.objects.count() == 1


def test_the_page_before_a_restore_says_when_nothing_changes(backup: Backup, version: ModelVersion) -> None:
    confirmation = superuser().get(page(backup, "restore")).context["confirmation"]
    assert confirmation.changes == [
        f"The model stays: {version}.",
        "The records stay as they are.",
    ]
    assert confirmation.table is None


def test_restore_brings_model_and_records_back(
    backup: Backup, version: ModelVersion, later: ModelVersion
) -> None:
    client = staff(LOOK, "training.restore_backup")
    response = client.post(page(backup, "restore"))
    safety = Backup.objects.get(kind=Backup.Kind.BEFORE_RESTORE)
    assert said(response) == [f"Restored from {backup}. The present was kept as {safety}."]
    assert ModelVersion.objects.active() == version
    assert safety.created_by == user_of(client)
    assert sorted(Anomaly.objects.approved().values_list("anomaly_id", flat=True)) == [
        f"T-{n:03d}" for n in range(6)
    ]
    assert Anomaly.objects.pending().count() == 2


@pytest.mark.parametrize("method", ["get", "post"])
def test_a_damaged_backup_is_refused_in_a_message(backup: Backup, later: ModelVersion, method: str) -> None:
    (artifacts.directory_of(backup) / "fiabilite.csv").write_bytes(b"")
    response = getattr(superuser(), method)(page(backup, "restore"))
    backup.refresh_from_db()
    assert (response.status_code, said(response)) == (302, [backup.verification_error])
    assert backup.verification_error
    assert ModelVersion.objects.active() == later


def test_a_restore_during_a_training_is_refused_in_a_message(backup: Backup, later: ModelVersion) -> None:
    SessionFactory.create()
    response = superuser().post(page(backup, "restore"))
    assert said(response) == ["A training session is queued or running. Wait for its end, or cancel it."]
    assert ModelVersion.objects.active() == later


# --- Retention ---------------------------------------------------------------------------------


def test_pruning_names_what_goes_and_takes_only_that(backup: Backup, settings: Settings) -> None:
    newest = backups.create_backup(kind=Backup.Kind.MANUAL)
    Backup.objects.update(kind=Backup.Kind.BEFORE_TRAINING)
    settings.KEEP_BACKUPS, settings.KEEP_DAILY_BACKUPS, settings.KEEP_WEEKLY_BACKUPS = 1, 0, 0
    Backup.objects.filter(pk=newest.pk).update(content_digest="another")
    client = staff(LOOK, "training.delete_backup")
    confirmation = client.get(PRUNE).context["confirmation"]
    kept, *removed = confirmation.changes
    assert kept.startswith("Kept are the newest 1 that differ from the one before, the newest of each of the")
    assert [change.partition(" (")[0] for change in removed] == [f"The files of {backup}"]
    assert said(client.post(PRUNE)) == ["The files of 1 backup are removed."]
    backup.refresh_from_db()
    newest.refresh_from_db()
    assert backup.pruned_at is not None
    assert newest.pruned_at is None
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (user_of(client), str(backup))


def test_pruning_with_nothing_to_remove_offers_no_button(backup: Backup) -> None:
    response = superuser().get(PRUNE)
    confirmation = response.context["confirmation"]
    assert confirmation.changes[1:] == ["Nothing to remove: all that there are are kept."]
    assert [[str(cell) for cell in row] for row in confirmation.table.rows] == [
        [backup.name, "manual", "made by hand: it stays until somebody removes it"]
    ]


def test_one_made_by_hand_is_removed_on_its_page(backup: Backup) -> None:
    backups.create_backup(kind=Backup.Kind.MANUAL)
    client = staff(LOOK, "training.delete_backup")
    page = reverse("admin:training_backup_remove", args=[backup.pk])
    assert client.get(page).context["confirmation"].title == f"Remove {backup}?"
    assert said(client.post(page)) == [f"The files of {backup} are removed."]
    backup.refresh_from_db()
    assert backup.pruned_at is not None


def test_the_page_of_removing_says_when_there_is_no_more(backup: Backup) -> None:
    response = superuser().get(PRUNE)
    form = response.content.decode().partition('class="tp-confirm"')[2].partition("</form>")[0]
    assert "<a href" in form
    assert "<button" not in form


# --- Who may what ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_only_look_does_nothing_else(backup: Backup, method: str) -> None:
    client = staff(LOOK)
    paths = [BACK_UP, PRUNE, page(backup, "verify"), page(backup, "restore")]
    assert [getattr(client, method)(path).status_code for path in paths] == [403] * 4
    assert Backup.objects.get().pruned_at is None
    assert client.get(LIST).context["actions_list"] == []
    assert client.get(page(backup)).context["actions_detail"] == []


def test_a_permission_opens_its_own_action_only(backup: Backup) -> None:
    client = staff(LOOK, "training.add_backup")
    assert [action["title"] for action in client.get(LIST).context["actions_list"]] == ["Back up now"]
    assert [action["title"] for action in client.get(page(backup)).context["actions_detail"]] == ["Verify"]
    assert client.post(page(backup, "restore")).status_code == 403


def test_a_pruned_backup_offers_nothing() -> None:
    backup = BackupFactory.create(pruned_at=timezone.now())
    assert superuser().get(page(backup)).context["actions_detail"] == []


def test_the_state_is_a_word_and_the_size_readable() -> None:
    BackupFactory.create(verified_at=timezone.now(), size_bytes=4_400_000, record_count=6343)
    BackupFactory.create()
    BackupFactory.create(verification_error="fiabilite.csv is truncated")
    BackupFactory.create(pruned_at=timezone.now())
    html = superuser().get(LIST).content.decode()
    for words in ("verified just now", "not verified", "damaged", "files removed"):
        assert f"\n{words}\n" in html
    assert "4.2\xa0MB" in html
    assert "6,343" in html


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for _ in range(count):
        BackupFactory.create(model_version=VersionFactory.create())
    with django_assert_num_queries(6):
        client.get(LIST)
