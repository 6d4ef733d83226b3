from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.datafiles.files import FAN, PUMP, TEXTS, TITLES, write_customer
from training.datafiles import CUSTOMER_FILES, read_files
from training.frames import approved_frame
from training.models import Anomaly

pytestmark = pytest.mark.django_db


def test_what_was_imported_is_exported_byte_for_byte(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    call_command("import_anomalies", *paths)
    capsys.readouterr()
    call_command("export_training_data", tmp_path / "new" / "out")
    captured = capsys.readouterr()
    assert captured.out == f"2 anomalies written to {tmp_path / 'new' / 'out'}\n"
    assert captured.err == "Writing: 2 of 2 records\n"
    for path in paths:
        assert (tmp_path / "new" / "out" / path.name).read_bytes() == path.read_bytes()


def test_what_was_exported_is_imported_as_it_was(tmp_path: Path) -> None:
    ApprovedFactory.create(anomaly_id="=A", description="=1+1", system="'-x", fiability_score=2.25)
    ApprovedFactory.create(anomaly_id="B", description='a\r\nb, "c" ', equipment_name=" ", section="@é")
    AnomalyFactory.create(description="pending")
    before = approved_frame()
    call_command("export_training_data", tmp_path)
    assert (tmp_path / "fiabilite.csv").read_text().splitlines()[:2] == [
        f"{TEXTS},{TITLES[1]},anomaly_id",
        "eq-1,''-x,'=1+1,,Vanne de purge,,2.25,'=A",
    ]
    Anomaly.objects.all().delete()
    call_command("import_anomalies", *(tmp_path / name for name in CUSTOMER_FILES.values()))
    assert approved_frame().equals(before)


def test_the_sample_is_exported_in_the_customers_columns(tmp_path: Path) -> None:
    call_command("load_sample")
    call_command("export_training_data", tmp_path)
    paths = [tmp_path / name for name in CUSTOMER_FILES.values()]
    assert [path.read_text().splitlines()[0] for path in paths] == [f"{TEXTS},{title}" for title in TITLES]
    assert read_files(paths).frame.equals(approved_frame())


def test_files_are_replaced_only_by_force(tmp_path: Path) -> None:
    ApprovedFactory.create()
    (tmp_path / "fiabilite.csv").write_text("mine")
    with pytest.raises(CommandError, match=r"already holds fiabilite.csv. --force replaces them"):
        call_command("export_training_data", tmp_path)
    assert [path.name for path in tmp_path.glob("*.csv")] == ["fiabilite.csv"]
    call_command("export_training_data", tmp_path, force=True)
    assert len(read_files([tmp_path / name for name in CUSTOMER_FILES.values()]).frame) == 1


def test_nothing_approved_is_an_error(tmp_path: Path) -> None:
    AnomalyFactory.create()
    with pytest.raises(CommandError, match="There is no approved anomaly to export"):
        call_command("export_training_data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    ApprovedFactory.create()
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match=r"file/out cannot be written: Not a directory"):
        call_command("export_training_data", tmp_path / "file" / "out")
