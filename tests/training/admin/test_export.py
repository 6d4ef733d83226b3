import csv
import io

import pandas as pd
import pytest
from django.urls import reverse

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import staff
from training.admin.export import neutral

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
    response = staff("training.view_anomaly").post(f"{EXPORT}{query}", {"format": CSV, "resource": ""})
    assert response.status_code == 200
    return list(csv.DictReader(io.StringIO(response.content.decode())))


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


def test_excel_gets_text_and_numbers() -> None:
    ApprovedFactory.create(description="=1+1")
    response = staff("training.view_anomaly").post(EXPORT, {"format": XLSX, "resource": ""})
    (row,) = pd.read_excel(io.BytesIO(response.content)).to_dict("records")
    assert list(row) == FIELDS
    assert row["description"] == "'=1+1"
    assert (row["availability_score"], row["criticality"]) == (2, 6)


@pytest.mark.parametrize("method", ["get", "post"])
def test_who_may_not_see_anomalies_takes_none_away(method: str) -> None:
    assert getattr(staff("training.view_backup"), method)(EXPORT, {"format": CSV}).status_code == 403
