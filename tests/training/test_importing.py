from pathlib import Path

import pytest

from tests.factories import AnomalyFactory, UserFactory
from tests.training.datafiles.files import FAN, PUMP, write_customer, write_single
from training.datafiles import read_files
from training.errors import NotAllowedNowError
from training.frames import approved_frame
from training.importing import import_records, load_sample
from training.models import Anomaly
from training.records import RecordCounts
from training.sample import sample_frame

pytestmark = pytest.mark.django_db


def test_imported_records_are_approved_and_told_in_the_history(tmp_path: Path) -> None:
    user = UserFactory.create()
    records = read_files(write_customer(tmp_path, PUMP, FAN))
    counts = import_records(records=records, user=user, reason="Imported from x")
    assert counts == RecordCounts(created=2)
    assert approved_frame().equals(records.frame)
    anomaly = Anomaly.objects.get(equipment_id="f-1")
    assert (anomaly.source, anomaly.reviewed_by) == ("import", user)
    assert anomaly.history.values_list("history_type", "history_change_reason", "history_user").get() == (
        "+",
        "Imported from x",
        user.pk,
    )


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP, FAN))
    import_records(records=records, user=None)
    before = list(Anomaly.objects.values())
    assert import_records(records=records, user=None) == RecordCounts(unchanged=2)
    assert list(Anomaly.objects.values()) == before
    assert Anomaly.history.count() == 2


def test_a_changed_score_is_updated(tmp_path: Path) -> None:
    import_records(records=read_files(write_customer(tmp_path, PUMP, FAN)), user=None)
    changed = read_files(write_customer(tmp_path, PUMP.replace("1/2/3", "4/2/3"), FAN))
    assert import_records(records=changed, user=None) == RecordCounts(updated=1, unchanged=1)
    assert Anomaly.objects.get(equipment_id="p-1").availability_score == 4


def test_what_the_file_has_no_column_for_is_kept(tmp_path: Path) -> None:
    whole = write_single(tmp_path / "x.csv", "A-1,Fuite,Pompe,p-1,Eau,MEC,2024-01-02,1,2,3")
    import_records(records=read_files([whole]), user=None)
    header = "anomaly_id,description,equipment_name,equipment_id,section,{}_score,{}_score,{}_score"
    header = header.format("availability", "fiability", "process_safety")
    part = write_single(tmp_path / "y.csv", "A-1,Fuite,Pompe,p-1,,1,2,3", header=header)
    assert import_records(records=read_files([part]), user=None) == RecordCounts(updated=1)
    anomaly = Anomaly.objects.get()
    assert (anomaly.system, anomaly.section, str(anomaly.detected_at)) == (
        "Eau",
        "",
        "2024-01-02 00:00:00+00:00",
    )


def test_records_can_be_imported_for_review(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP))
    assert import_records(records=records, user=None, status=Anomaly.Status.PENDING) == RecordCounts(
        created=1
    )
    assert Anomaly.objects.pending().get().scores == {
        "availability_score": 1.0,
        "fiability_score": 2.0,
        "process_safety_score": 3.0,
    }


def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path) -> None:
    AnomalyFactory.create(anomaly_id="A-1")
    before = list(Anomaly.objects.values())
    path = write_single(tmp_path / "x.csv", "A-1,Fuite,,p-1,,,,1,2,3", "A-2,Fuite,,p-1,,,,1,2,3")
    counts = import_records(records=read_files([path]), user=None, dry_run=True)
    assert counts == RecordCounts(created=1, updated=1)
    assert list(Anomaly.objects.values()) == before
    assert Anomaly.history.count() == 1


def test_a_long_reason_is_kept_whole(tmp_path: Path) -> None:
    records = read_files(write_customer(tmp_path, PUMP))
    import_records(records=records, user=None, reason="x" * 300)
    assert Anomaly.history.get().history_change_reason == "x" * 300


def test_the_sample_is_loaded_once() -> None:
    assert load_sample() == (720, 30)
    assert approved_frame().equals(sample_frame())
    pending = Anomaly.objects.pending()
    assert (pending.count(), pending.filter(availability_score=None, source="sample").count()) == (30, 30)
    assert Anomaly.history.filter(history_change_reason="Sample").count() == 750
    with pytest.raises(NotAllowedNowError, match="this one holds 750 anomalies"):
        load_sample()
    assert Anomaly.objects.count() == 750
