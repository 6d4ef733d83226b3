"""Files of imports in object storage: received by one node, looked at, confirmed or discarded by another."""

import csv
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.storing import TestBucket
from tests.training.shelves.flaky import FlakyWay
from tests.training.test_file_imports import GOOD, WRONG, receive, root
from training import file_imports
from training.errors import NotAllowedNowError, StorageError
from training.file_imports import discard_import, refused_file, rows_stored, store_import, sweep_imports
from training.importing import import_records
from training.models import Anomaly, FileImport
from training.shelves import drawer_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("bucket")]


def on_another_node(media_root: Path) -> None:
    shutil.rmtree(media_root / "imports")


def test_another_node_stores_what_one_received(bucket: TestBucket, media_root: Path) -> None:
    row = receive(GOOD, WRONG)
    place = f"imports/{row.directory}"
    assert bucket.listing() == [f"{place}/0/a.csv", f"{place}/refused.csv"]
    on_another_node(media_root)

    assert store_import(waiting=row, user=None).status == "stored"

    assert Anomaly.objects.get().anomaly_id == "A-1"
    assert bucket.listing() == [f"{place}/progress", f"{place}/refused.csv"]


def test_another_node_hands_out_the_refused_rows(media_root: Path) -> None:
    row = receive(GOOD, WRONG)
    on_another_node(media_root)

    path = refused_file(row)

    assert path == row.refused_path
    with path.open(encoding="utf-8-sig", newline="") as file:
        assert [line["anomaly_id"] for line in csv.DictReader(file)] == ["A-2"]
    assert refused_file(receive(GOOD)) is None


def test_another_node_discards(bucket: TestBucket, media_root: Path) -> None:
    row = receive(GOOD, WRONG)
    on_another_node(media_root)

    discard_import(waiting=row, user=None)

    assert bucket.listing() == []
    assert refused_file(row) is None


def test_another_node_sees_the_progress(media_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row, seen = receive(*(f"B-{n},Fuite,Pompe,p-1,,,1,2,3" for n in range(1_001))), []
    assert rows_stored(row) == 0
    stored = import_records

    def watched(**options: object) -> object:
        try:
            return stored(**options)  # type: ignore[arg-type]  # passed on as they come
        finally:
            on_another_node(media_root)
            seen.append(rows_stored(row))

    monkeypatch.setattr(file_imports, "import_records", watched)
    store_import(waiting=row, user=None)
    assert seen == [1_000]


def test_what_nobody_confirmed_is_swept_after_a_day(
    bucket: TestBucket, media_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = receive(GOOD, WRONG)
    bucket.write("elsewhere", b"x")
    assert sweep_imports() == []
    monkeypatch.setattr("training.file_imports.KEPT", timedelta(seconds=-5))

    assert sweep_imports() == [row.directory]

    assert (bucket.listing(), root(media_root)) == (["elsewhere"], [])


def test_without_the_storage_nothing_is_received_and_nothing_changes(way: FlakyWay, media_root: Path) -> None:
    row = receive(GOOD, WRONG)
    on_another_node(media_root)
    way.cut_after = 0

    with pytest.raises(
        NotAllowedNowError, match=r"^The object storage does not answer: .* try again later\.$"
    ):
        receive(GOOD)
    with pytest.raises(NotAllowedNowError, match=r"^The object storage does not answer: "):
        store_import(waiting=row, user=None)

    assert (refused_file(row), rows_stored(row)) == (None, 0)
    assert (FileImport.objects.count(), Anomaly.objects.count(), root(media_root)) == (1, 0, [row.directory])
    row.refresh_from_db()
    assert row.status == "waiting"


def test_without_the_storage_for_its_progress_an_import_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    row = receive(GOOD)

    def fail(*_: object) -> None:
        raise StorageError("The object storage does not answer: gone")

    monkeypatch.setattr(type(drawer_of("imports")), "note", fail)

    assert store_import(waiting=row, user=None).status == "stored"
    assert f"The progress of import {row.pk} is not shown" in caplog.text
