import csv
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier

import pandas as pd
import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import Settings

from tests.factories import AnomalyFactory, UserFactory
from tests.training.datafiles.files import FAN, PUMP, write_customer
from training import file_imports
from training.datafiles import DataFileError, read_files, tables
from training.errors import NotAllowedNowError
from training.file_imports import (
    discard_import,
    receive_files,
    rows_stored,
    store_import,
    sweep_imports,
)
from training.importing import import_records
from training.models import Anomaly, FileImport

pytestmark = pytest.mark.django_db
Status = Anomaly.Status
HEADER = (
    "anomaly_id,description,equipment_name,equipment_id,detected_at,note,"
    "availability_score,fiability_score,process_safety_score"
)
GOOD, WRONG = "A-1,Fuite,Pompe,p-1,2024-01-02,x,1,2,3", "A-2,=2+3,Pompe,p-1,,y,9,2,"


@pytest.fixture
def user() -> User:
    user: User = UserFactory.create()
    return user


def upload(*rows: str, name: str = "a.csv") -> "ContentFile[bytes]":
    return ContentFile("\n".join([HEADER, *rows]).encode(), name=name)


def receive(*rows: str, user: User | None = None, status: Status = Status.APPROVED) -> FileImport:
    return receive_files(files=[upload(*rows)], status=status, user=user)


def root(media_root: Path) -> list[str]:
    return sorted(place.name for place in (media_root / "imports").glob("*"))


def counts(row: FileImport) -> tuple[int, ...]:
    return (
        row.rows_read,
        row.rows_created,
        row.rows_updated,
        row.rows_unchanged,
        row.rows_duplicate,
        row.rows_refused,
    )


def test_a_look_counts_and_stores_no_anomaly(user: User) -> None:
    AnomalyFactory.create(anomaly_id="A-3")
    changed = "A-3,Fuite,Pompe,p-1,,,1,2,3"
    row = receive(GOOD, GOOD, WRONG, changed, user=user)
    assert counts(row) == (4, 1, 1, 0, 1, 1)
    assert (row.status, row.created_by, str(row), row.rows_good) == ("waiting", user, "a.csv", 2)
    assert row.problems == [
        ["a.csv", 4, "Missing required fields: ['process_safety_score']"],
        ["a.csv", 4, "availability_score must be between 1 and 5, got 9"],
    ]
    ((name, titles),) = row.columns
    assert (name, titles[4:6]) == ("a.csv", [["detected_at", "detected_at"], ["note", ""]])
    assert row.first_rows[0] == {
        "anomaly_id": "A-1",
        "description": "Fuite",
        "equipment_name": "Pompe",
        "equipment_id": "p-1",
        "system": "",
        "section": "",
        "detected_at": "2024-01-02 00:00:00",
        "availability_score": 1.0,
        "fiability_score": 2.0,
        "process_safety_score": 3.0,
    }
    assert Anomaly.objects.count() == 1


def test_a_look_and_a_confirmation_read_the_file_once_each(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    rows = tables._rows

    def note(path: Path) -> Iterator[tuple[int, list[str]]]:
        opened.append(path.name)
        return rows(path)

    monkeypatch.setattr(tables, "_rows", note)
    row = receive(GOOD, GOOD, WRONG, GOOD.replace("1,2,3", "1,2,4"))
    assert (row.rows_refused, opened) == (2, ["a.csv"])
    store_import(waiting=row, user=None)
    assert opened == ["a.csv", "a.csv"]


def test_the_file_of_refused_rows_can_be_mended_and_imported() -> None:
    path = receive(GOOD, WRONG).refused_path
    with path.open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["description"], row["line"], row["availability_score"]) == ("'=2+3", "3", "9")
    assert row["reason"] == (
        "Missing required fields: ['process_safety_score']; availability_score must be between 1 and 5, got 9"
    )
    mended = path.read_text(encoding="utf-8-sig").replace(",9,2,,", ",4,2,5,")
    records = read_files([_written(path.with_name("mended.csv"), mended)])
    (good,) = records.frame.to_dict("records")
    assert (good["anomaly_id"], good["description"], good["availability_score"]) == ("A-2", "=2+3", 4)


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_confirmed_is_stored_with_who_and_why(user: User, media_root: Path) -> None:
    row = store_import(waiting=receive(GOOD, WRONG), user=user)
    assert (row.status, row.decided_by, counts(row)) == ("stored", user, (2, 1, 0, 0, 0, 1))
    anomaly = Anomaly.objects.get()
    assert (anomaly.anomaly_id, anomaly.status, anomaly.source) == ("A-1", "approved", "import")
    entry = anomaly.history.get()
    assert (entry.history_user, entry.history_change_reason) == (user, "Imported from a.csv")
    assert sorted(path.name for path in row.place.iterdir()) == ["progress", "refused.csv"]


def test_it_can_be_stored_for_review() -> None:
    store_import(waiting=receive(GOOD, status=Status.PENDING), user=None)
    assert Anomaly.objects.get().status == "pending"


def test_the_counts_are_those_of_what_was_stored() -> None:
    waiting = receive(GOOD)
    store_import(waiting=receive(GOOD), user=None)
    assert counts(waiting) == (1, 1, 0, 0, 0, 0)
    assert counts(store_import(waiting=waiting, user=None)) == (1, 0, 0, 1, 0, 0)


def test_the_customers_three_files(tmp_path: Path) -> None:
    paths = write_customer(tmp_path, PUMP, FAN)
    files = [ContentFile(path.read_bytes(), name=path.name) for path in paths]
    row = receive_files(files=files, status=Status.APPROVED, user=None)
    assert row.file_names == ["disponibilite.csv", "fiabilite.csv", "process_safty.csv"]
    assert len(row.columns) == 3
    assert counts(store_import(waiting=row, user=None)) == (2, 2, 0, 0, 0, 0)


def test_an_excel_file_is_read_as_it_came(tmp_path: Path) -> None:
    cells = [line.split(",") for line in (HEADER, GOOD, WRONG)]
    pd.DataFrame(cells[1:], columns=cells[0]).to_excel(tmp_path / "a.xlsx", index=False)
    file = ContentFile((tmp_path / "a.xlsx").read_bytes(), name="a.xlsx")
    row = receive_files(files=[file], status=Status.APPROVED, user=None)
    assert row.paths[0].read_bytes() == (tmp_path / "a.xlsx").read_bytes()
    assert (counts(row), row.problems[0][:2]) == ((2, 1, 0, 0, 0, 1), ["a.xlsx", 3])
    assert row.columns[0][1][0] == ["anomaly_id", "anomaly_id"]
    store_import(waiting=row, user=None)
    assert Anomaly.objects.get().scores == {
        "availability_score": 1.0,
        "fiability_score": 2.0,
        "process_safety_score": 3.0,
    }


def test_an_import_is_decided_once(user: User) -> None:
    row = receive(GOOD)
    store_import(waiting=row, user=user)
    for decide in (store_import, discard_import):
        with pytest.raises(NotAllowedNowError, match="does not wait"):
            decide(waiting=FileImport.objects.get(pk=row.pk), user=user)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_confirm_at_once_one_stores(user: User) -> None:
    row, start = receive(*(f"B-{n},Fuite,Pompe,p-1,,,1,2,3" for n in range(200))), Barrier(2, timeout=60)

    def confirm(_number: int) -> str:
        start.wait()
        try:
            return store_import(waiting=FileImport.objects.get(pk=row.pk), user=user).status
        except NotAllowedNowError as error:
            return str(error)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(confirm, range(2)))
    assert answers == ["This import does not wait to be confirmed any more.", "stored"]
    assert (Anomaly.objects.count(), Anomaly.history.count()) == (200, 200)


def test_a_discarded_import_leaves_its_row(user: User, media_root: Path) -> None:
    row = receive(GOOD)
    discard_import(waiting=row, user=user)
    row.refresh_from_db()
    assert (row.status, row.decided_by, root(media_root)) == ("discarded", user, [])
    assert not Anomaly.objects.exists()


def test_an_import_that_fails_can_be_confirmed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    row = receive(GOOD)
    with monkeypatch.context() as broken:
        broken.setattr(file_imports, "import_records", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            store_import(waiting=row, user=None)
    row.refresh_from_db()
    assert (row.status, row.decided_at) == ("waiting", None)
    assert store_import(waiting=row, user=None).status == "stored"


def test_files_that_went_missing_are_told_without_their_place(media_root: Path) -> None:
    row = receive(GOOD)
    row.paths[0].unlink()
    with pytest.raises(DataFileError) as caught:
        store_import(waiting=row, user=None)
    assert str(caught.value) == "a.csv cannot be read: No such file or directory."


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x,y\n1,2\n", "a.csv holds no anomalies: it has no column for description, equipment_name"),
        (b"PK\x03\x04 nothing", "a.csv is not a readable Excel workbook"),
        (b"\x1e[1\n", "a.csv holds no anomalies"),
        (b"\x1e" + b"[" * 100_000, "a.csv holds no anomalies"),
        (b"", "a.csv holds no anomalies"),
    ],
)
def test_what_cannot_be_used_leaves_nothing(content: bytes, words: str, media_root: Path) -> None:
    with pytest.raises(DataFileError, match=f"^{words}"):
        receive_files(files=[ContentFile(content, name="a.csv")], status=Status.APPROVED, user=None)
    assert (root(media_root), FileImport.objects.count()) == ([], 0)


def test_size_and_number_are_bounded(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, media_root: Path
) -> None:
    with pytest.raises(DataFileError, match="these are 4"):
        receive_files(files=[upload(GOOD)] * 4, status=Status.APPROVED, user=None)
    monkeypatch.setattr(file_imports, "MOST_WAITING", 1)
    receive(GOOD)
    with pytest.raises(NotAllowedNowError, match="1 imports wait"):
        receive(GOOD)
    settings.IMPORT_LIMIT = 1_000
    with pytest.raises(DataFileError, match="more than 0 MiB"):
        receive(GOOD + "x" * 1_000)
    assert len(root(media_root)) == 1


def test_rows_are_bounded(settings: Settings, media_root: Path) -> None:
    settings.IMPORT_ROWS = 1
    receive(GOOD)
    with pytest.raises(DataFileError, match="The files hold more than 1 rows: divide them"):
        receive(GOOD, WRONG)
    assert len(root(media_root)) == FileImport.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("..", "file"),
        (".hidden.csv", "hidden.csv"),
        ('a"b<c>.csv', "a_b_c_.csv"),
        ("Disponibilité (1).csv", "Disponibilité (1).csv"),
        ("x" * 300 + ".csv", "x" * 96 + ".csv"),
    ],
)
def test_a_name_leads_nowhere_else(given: str, kept: str, media_root: Path) -> None:
    file = upload(GOOD)
    file.name = given
    row = receive_files(files=[file], status=Status.APPROVED, user=None)
    assert row.file_names == [kept]
    assert row.paths[0].resolve().is_relative_to(media_root / "imports" / row.directory)


def test_what_nobody_confirmed_is_swept_after_a_day(media_root: Path) -> None:
    old, fresh = receive(GOOD), receive(GOOD)
    FileImport.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=25))
    yesterday = time.time() - 25 * 3_600
    os.utime(old.place, (yesterday, yesterday))
    assert sweep_imports() == [old.directory]
    old.refresh_from_db()
    assert (old.status, old.decided_by, root(media_root)) == ("discarded", None, [fresh.directory])
    assert sweep_imports() == []


def test_progress_is_told_while_the_transaction_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    row, seen = receive(*(f"B-{n},Fuite,Pompe,p-1,,,1,2,3" for n in range(2_001))), []
    assert rows_stored(row) == 0
    stored = import_records

    def watched(**options: object) -> object:
        try:
            return stored(**options)  # type: ignore[arg-type]  # passed on as they come
        finally:
            seen.append(rows_stored(row))

    monkeypatch.setattr(file_imports, "import_records", watched)
    store_import(waiting=row, user=None)
    assert seen == [2_000]


def test_the_database_keeps_decisions_whole() -> None:
    row = receive(GOOD)
    for wrong in ({"status": "stored"}, {"decided_at": timezone.now()}, {"anomaly_status": "rejected"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            FileImport.objects.filter(pk=row.pk).update(**wrong)
