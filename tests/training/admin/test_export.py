import csv
import io
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import said, staff, superuser
from training.admin import export
from training.admin.export import neutral
from training.datafiles import read_files
from training.importing import import_records
from training.records import RecordCounts

pytestmark = pytest.mark.django_db
EXPORT = reverse("admin:training_anomaly_export")
CSV, XLSX = "0", "1"
FIELDS = [
    "anomaly_id",
    "description",
    "equipment_id",
    "equipment_name",
    "system",
    "section",
    "detected_at",
    "availability_score",
    "fiability_score",
    "process_safety_score",
    "criticality",
    "status",
    "source",
    "reviewed_at",
]


def exported(query: str = "") -> list[dict[str, str]]:
    response: Any = staff("training.view_anomaly").post(f"{EXPORT}{query}", {"format": CSV, "resource": ""})
    assert (response.status_code, response.streaming) == (200, True)
    return list(csv.DictReader(io.StringIO(response.getvalue().decode(), newline="")))


def test_the_file_holds_the_reports_and_their_scores() -> None:
    ApprovedFactory.create(anomaly_id="X-1", description="fuite vapeur", section="MECA")
    (row,) = exported()
    assert list(row) == FIELDS
    assert (row["anomaly_id"], row["description"], row["section"]) == ("X-1", "fuite vapeur", "MECA")
    assert (row["fiability_score"], row["criticality"], row["status"]) == ("1.0", "6.0", "approved")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_what_a_spreadsheet_would_run_is_plain_text(start: str) -> None:
    AnomalyFactory.create(description=f"{start}cmd|' /C calc'!A0", equipment_name="Vanne =2")
    (row,) = exported()
    assert row["description"] == f"'{start}cmd|' /C calc'!A0"
    assert row["equipment_name"] == "Vanne =2"


def test_numbers_stay_numbers() -> None:
    assert (neutral(-1.5), neutral(None), neutral("a=b")) == (-1.5, None, "a=b")


def test_the_filter_of_the_list_is_the_filter_of_the_file() -> None:
    ApprovedFactory.create(anomaly_id="X-1")
    AnomalyFactory.create(anomaly_id="X-2")
    assert [row["anomaly_id"] for row in exported("?status__exact=pending")] == ["X-2"]


def test_the_search_of_the_list_is_the_search_of_the_file() -> None:
    AnomalyFactory.create(anomaly_id="X-1", description="palier chaud")
    AnomalyFactory.create(anomaly_id="X-2", equipment_id="fan-2")
    assert [row["anomaly_id"] for row in exported("?q=palier")] == ["X-1"]
    assert [row["anomaly_id"] for row in exported("?equipment=fan-2&o=1")] == ["X-2"]
    assert exported("?q=palier&equipment=fan-2") == []


def test_what_was_exported_is_imported_unchanged(tmp_path: Path) -> None:
    texts = ("=1+1", "'=1+1", "''-x", "- fuite", 'd\'eau, "x"\r\n; y', "\ttab")
    for number, text in enumerate(texts):
        ApprovedFactory.create(
            description=text, section=text, detected_at=datetime(2026, 1, number + 1, tzinfo=UTC)
        )
    client = staff("training.view_anomaly")
    response: Any = client.post(EXPORT, {"format": CSV, "resource": ""}, headers={"accept-language": "fr"})
    path = tmp_path / "exported.csv"
    path.write_bytes(response.getvalue())
    records = read_files([path])
    assert import_records(records=records, user=None) == RecordCounts(unchanged=len(texts))


@pytest.mark.parametrize("count", [1, 3])
def test_the_file_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    ApprovedFactory.create_batch(count)
    client = superuser()
    with django_assert_num_queries(6):
        rows = client.post(EXPORT, {"format": CSV, "resource": ""}).getvalue().splitlines()
    assert len(rows) == count + 1


def test_a_workbook_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "MOST_IN_WORKBOOK", 2)
    ApprovedFactory.create_batch(3)
    client = staff("training.view_anomaly")
    response = client.post(EXPORT, {"format": XLSX, "resource": ""})
    assert said(response) == ["More than 2 rows: choose CSV, or narrow the list."]
    narrowed = client.post(f"{EXPORT}?status__exact=rejected", {"format": XLSX, "resource": ""})
    assert narrowed["Content-Type"].endswith("spreadsheetml.sheet")
    narrowed.close()


def test_excel_gets_text_and_numbers() -> None:
    ApprovedFactory.create(
        description="=1+1", system="a\x0bb", detected_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    )
    response: Any = staff("training.view_anomaly").post(EXPORT, {"format": XLSX, "resource": ""})
    (row,) = pd.read_excel(io.BytesIO(response.getvalue())).to_dict("records")
    response.close()
    assert list(row) == FIELDS
    assert row["description"] == "'=1+1"
    assert (row["availability_score"], row["criticality"]) == (2, 6)
    assert (row["system"], row["detected_at"]) == ("a\ufffdb", pd.Timestamp(2026, 1, 2, 3, 4))


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_not_see_anomalies_takes_none_away(method: str) -> None:
    assert getattr(staff("training.view_backup"), method)(EXPORT, {"format": CSV}).status_code == 403
