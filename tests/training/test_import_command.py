import csv
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from tests.training.datafiles.files import FAN, PUMP, write_customer, write_single
from training import records
from training.importing import import_records
from training.management.commands import import_anomalies
from training.models import Anomaly

pytestmark = pytest.mark.django_db


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    call_command("import_anomalies", *map(str, arguments))
    return capsys.readouterr().out.splitlines()


def summary(*counts: int, dry_run: bool = False) -> list[str]:
    labels = ("Rows read", "New", "Changed", "Identical", "Duplicates", "Refused")
    said = ["Dry run: nothing was changed. An import would give:"] if dry_run else []
    return said + [f"{label:<12}{count:>9,}" for label, count in zip(labels, counts, strict=True)]


def test_the_customers_files_are_imported_and_summed_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, third = write_customer(tmp_path, PUMP, PUMP, FAN, "p-1,Eau, ,,Pompe,MEC 1/2/3")
    listed = [
        f"{third}:5: refused: description must not be blank",
        f"{third}:3: duplicate: The same report as line 2",
    ]
    assert run(capsys, third, first, second) == listed + summary(4, 2, 0, 0, 1, 1)
    assert Anomaly.objects.approved().count() == 2
    reason = Anomaly.history.values_list("history_change_reason", flat=True).distinct().get()
    assert reason is not None
    assert reason.startswith(
        "Imported from process_safty.csv, disponibilite.csv, fiabilite.csv, by the system account "
    )
    assert run(capsys, third, first, second) == listed + summary(4, 0, 0, 2, 1, 1)


def test_a_dry_run_says_what_it_would_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, *write_customer(tmp_path, PUMP, FAN), "--dry-run") == summary(
        2, 2, 0, 0, 0, 0, dry_run=True
    )
    assert not Anomaly.objects.exists()


def test_records_are_imported_for_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, *write_customer(tmp_path, PUMP), "--status", "pending") == summary(1, 1, 0, 0, 0, 0)
    assert Anomaly.objects.get().status == "pending"


def test_twenty_rows_are_listed_and_all_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = [f"A-{n},,,p-1,,,,1,2,3" for n in range(25)]
    path = write_single(tmp_path / "x.csv", "A,Fuite,,p-1,,,,1,2,3", *bad, "A,Fuite,,p-1,,,,1,2,3")
    report = tmp_path / "report.csv"
    lines = run(capsys, path, "--report", report)
    assert lines[:20] == [f"{path}:{line}: refused: description must not be blank" for line in range(3, 23)]
    assert lines[20:22] == [
        "… and 5 more of this kind; --report FILE writes them all.",
        f"{path}:28: duplicate: The same report as line 2",
    ]
    with report.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["file", "line", "kind", "reason"],
            *([str(path), str(line), "refused", "description must not be blank"] for line in range(3, 28)),
            [str(path), "28", "duplicate", "The same report as line 2"],
        ]


def test_a_report_that_cannot_be_written_stops_before_anything_is_stored(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP)
    with pytest.raises(CommandError, match=r"cannot be written to .*: Is a directory. Nothing was imported"):
        call_command("import_anomalies", *paths, report=tmp_path)
    assert not Anomaly.objects.exists()


def test_nothing_to_import_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_single(tmp_path / "x.csv", "A-1,,,p-1,,,,1,2,3")
    with pytest.raises(CommandError, match="None of the 1 rows can be imported"):
        run(capsys, path)
    assert capsys.readouterr().out == f"{path}:2: refused: description must not be blank\n"


def test_files_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_anomalies", tmp_path / "x.csv")


def test_what_was_checked_is_imported_whatever_becomes_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)

    def change_and_import(**options: Any) -> records.RecordCounts:
        paths[0].write_text(paths[0].read_text().replace(",5\n", ",4.5\n"))
        return import_records(**options)

    monkeypatch.setattr(import_anomalies, "import_records", change_and_import)
    call_command("import_anomalies", *paths)
    scores = Anomaly.objects.order_by("availability_score").values_list("availability_score", flat=True)
    assert list(scores) == [1, 5]


def test_nothing_is_half_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"A-{n},Fuite,,p-1,,,,1,2,3" for n in range(3)]
    path = write_single(tmp_path / "x.csv", *rows)
    upsert = records._upsert

    def fail_at_the_last(created: list[Anomaly], *rest: object) -> None:
        upsert(created, *rest)  # type: ignore[arg-type]  # passed through
        if created[0].anomaly_id == "A-2":
            raise DatabaseError("disk full")

    monkeypatch.setattr(records, "CHUNK", 1)
    monkeypatch.setattr(records, "_upsert", fail_at_the_last)
    with pytest.raises(DatabaseError, match="disk full"):
        call_command("import_anomalies", path)
    assert not Anomaly.objects.exists()
    assert not Anomaly.history.exists()
