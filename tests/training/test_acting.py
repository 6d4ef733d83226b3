"""Commands that write, on somebody's behalf."""

import getpass
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tests.factories import UserFactory
from tests.trained import approved_records, trained_version
from training.models import Activation, Anomaly, Backup, TrainingSession

pytestmark = pytest.mark.django_db
ROWS = (
    "anomaly_id,description,equipment_name,equipment_id,availability_score,fiability_score,process_safety_score\n"
    "A-1,fuite vapeur,Vanne,eq-1,1,2,3\n"
)


@pytest.fixture
def ines(db: None) -> User:
    user: User = UserFactory.create(username="ines")
    return user


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "night.csv"
    path.write_text(ROWS, encoding="utf-8")
    return path


def test_an_import_has_its_author(ines: User, file: Path) -> None:
    call_command("import_anomalies", str(file), user="ines")
    (change,) = Anomaly.objects.get().history.all()
    assert (change.history_user, change.history_change_reason) == (ines, "Imported from night.csv, by ines")
    assert Anomaly.objects.get().reviewed_by == ines


def test_without_one_the_reason_names_the_system_account(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "plant")
    call_command("import_anomalies", str(file))
    (change,) = Anomaly.objects.get().history.all()
    assert change.history_user is None
    assert change.history_change_reason == "Imported from night.csv, by the system account plant"


def test_an_account_without_a_name(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nameless)
    call_command("import_anomalies", str(file))
    reason = Anomaly.objects.get().history.get().history_change_reason
    assert reason == "Imported from night.csv, by the system account unknown"


@pytest.mark.parametrize("name", ["nobody", "left"])
def test_an_unknown_or_inactive_user_stops_it_before_it_begins(db: None, file: Path, name: str) -> None:
    UserFactory.create(username="left", is_active=False)
    with pytest.raises(CommandError, match=f"There is no active user '{name}'"):
        call_command("import_anomalies", str(file), user=name)
    assert not Anomaly.objects.exists()


def test_backups_and_restores(ines: User) -> None:
    approved_records()
    trained_version(is_active=True)
    call_command("create_backup", user="ines")
    backup = Backup.objects.get()
    assert backup.created_by == ines
    call_command("verify_backup", backup.name, user="ines")
    call_command("restore_backup", backup.name, yes=True, user="ines")
    assert Activation.objects.first().activated_by == ines  # type: ignore[union-attr]  # there is one
    call_command("prune_backups", backup.name, user="ines")
    acts = list(LogEntry.objects.order_by("pk").values_list("user__username", "change_message"))
    assert acts[0] == ("ines", "Verify")
    assert set(acts[1:]) == {("ines", "Remove")}


@pytest.mark.django_db(transaction=True)
def test_a_training_and_what_it_activates(queue_mark: str, ines: User) -> None:
    approved_records()
    call_command("train", activate=True, user="ines")
    assert TrainingSession.objects.get().requested_by == ines
    activation = Activation.objects.get()
    assert (activation.activated_by, activation.note) == (ines, "train --activate by ines")
