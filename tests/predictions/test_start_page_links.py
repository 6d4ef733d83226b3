"""Each number of the start page leads to the list behind it, and that list has as many rows."""

import re
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from predictions.drift_api import PERIOD, REPORT
from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.predictions.published import REPORTS, publish_version, training_frame
from tests.predictions.test_admin import suggest
from tests.training.admin.people import client_of, staff, superuser
from tests.training.roles import user_as
from training.label_quality import report_label_quality
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.models import Anomaly, ModelVersion, QualityReport, TrainingSession

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_model")]
START = reverse("admin:index")
Status = TrainingSession.Status
COUNTED = re.compile(r"(\d[\d,]*)(?= |$)")


class Links(HTMLParser):
    """Of the page's own part: address, text and class of each link."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self._open: dict[str, str] | None = None
        self.feed(html[html.index('class="tp-start"') :])

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._open = {name: value or "" for name, value in attrs} | {"text": ""}

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self._open["text"] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._open is not None:
            link, self._open = self._open, None
            self.found.append((link["href"], link["text"].strip(), link.get("class", "")))


def links(client: Client) -> Iterator[tuple[str, str, str]]:
    html = client.get(START).content.decode()
    return ((url, text, kind) for url, text, kind in Links(html).found if url.startswith("/admin/"))


def rows_of(response: Any) -> int | None:
    """How many rows the list has; None when the page is no list."""
    context = response.context
    if "cl" in context:
        return int(context["cl"].result_count)
    return int(context["page"].paginator.count) if "missing" not in context and "heads" in context else None


@pytest.fixture
def version() -> ModelVersion:
    """A plant in which something of everything happened."""
    version, now = publish_version(is_active=True), timezone.now()
    for row in training_frame(REPORTS.items()).itertuples():
        scores = {column: getattr(row, column) for column in SCORE_COLUMNS}
        ApprovedFactory.create(anomaly_id=row.anomaly_id, detected_at=now - timedelta(days=3), **scores)
    for score in (2, 5):
        ApprovedFactory.create(description="odeur", process_safety_score=score, reviewed_at=now)
    for _ in range(3):
        suggest(AnomalyFactory.create(detected_at=now - timedelta(days=8)), version, 5, 1, 5)
    Prediction.objects.update(distributions=dict.fromkeys(TARGETS, [0.2] * 5))
    AnomalyFactory.create(status=Anomaly.Status.REJECTED, detected_at=now)
    for status in (Status.SUCCEEDED, Status.FAILED, Status.CANCELLED, Status.SKIPPED):
        SessionFactory.create(
            status=status,
            queued_at=now,
            started_at=now,
            finished_at=now,
            model_version=version if status == Status.SUCCEEDED else None,
        )
    SessionFactory.create(status=Status.FAILED, queued_at=now - timedelta(days=900))
    BackupFactory.create(created_at=now, verified_at=now)
    BackupFactory.create(created_at=now, pruned_at=now)
    QualityReport.objects.create(
        kind=QualityReport.Kind.DRIFT, record_count=9, seconds=1, content=REPORT | {"periods": [PERIOD]}
    )
    report_label_quality()
    return version


@pytest.mark.parametrize("role", ["owner", "viewer", "reviewer", "trainer"])
def test_each_number_is_a_link_to_as_many_rows(role: str, version: ModelVersion) -> None:
    client = superuser() if role == "owner" else client_of(user_as(role))
    counted = {}
    for url, text, kind in links(client):
        response = client.get(url)
        assert response.status_code == 200, (url, text)
        number, rows = COUNTED.match(text), rows_of(response)
        if number and rows is not None and not {"tp-card", "tp-value"} & set(kind.split()):
            counted[url] = (int(number[1].replace(",", "")), rows)
    assert {url: found for url, found in counted.items() if found[0] != found[1]} == {}
    assert sum("/held-out/" in url for url in counted) >= 4
    assert sum("/anomaly/?" in url for url in counted) >= 16
    assert sum("/trainingsession/?" in url for url in counted) == 3
    assert sum("/backup/?" in url for url in counted) == 2
    assert sum("/labelfinding/" in url for url in counted) >= 2


def test_the_errors_lead_to_what_they_were_measured_on(version: ModelVersion) -> None:
    urls = [str(score["url"]) for score in superuser().get(START).context["scores"]]
    page = reverse("admin:training_modelversion_held_out", args=[version.pk])
    assert urls == [f"{page}?score={target}" for target in TARGETS]
    ModelVersion.objects.update(name="older")
    older = reverse("admin:training_modelversion_change", args=[version.pk])
    client = staff("training.view_modelversion")
    assert {score["url"] for score in client.get(START).context["scores"]} == {older}


def test_the_figures_of_a_year_and_of_what_is_kept(version: ModelVersion) -> None:
    client = superuser()
    found = {figure.title: client.get(figure.url) for figure in client.get(START).context["figures"]}
    assert rows_of(found["Training frequency"]) == 3
    assert rows_of(found["Training time"]) == 1
    assert rows_of(found["Backup storage"]) == 1


def test_the_pages_of_version_and_session_lead_there_too(version: ModelVersion) -> None:
    client, session = client_of(user_as("viewer")), TrainingSession.objects.get(status=Status.SUCCEEDED)
    for page in (
        reverse("admin:training_modelversion_change", args=[version.pk]),
        reverse("admin:training_trainingsession_change", args=[session.pk]),
    ):
        html = client.get(page).content.decode()
        urls = re.findall(r'<a[^>]* href="([^"]*/held-out/[^"]*)" aria-label="(\d+) reports?', html)
        assert len(urls) >= 12
        for url, count in urls:
            assert rows_of(client.get(url.replace("&amp;", "&"))) == int(count)


def test_without_the_records_there_are_numbers_alone(version: ModelVersion) -> None:
    html = staff("training.view_modelversion").get(START).content.decode()
    assert "tp-confusion" in html
    assert "held-out/" not in html
    ModelVersion.objects.update(name="older")
    html = superuser().get(START).content.decode()
    assert "tp-confusion" in html
    assert "held-out/" not in html


def test_a_viewer_of_an_empty_installation_is_led_where_they_may_go() -> None:
    client = client_of(user_as("viewer"))
    assert [bool(step.url) for step in client.get(START).context["steps"]] == [False, False, True]
    for url, _text, _kind in links(client):
        assert client.get(url).status_code == 200


def test_one_class_only() -> None:
    version = publish_version(reports=dict.fromkeys(REPORTS, (1.0, 1.0, 1.0)), is_active=True)
    response = superuser().get(START)
    found = response.context["confusions"]
    assert {each.finding for each in found} == {
        "100 % exact, 100 % within one point; of the scores of 4 and 5, – are found."
    }
    counts = [cell.text for _score, cells in found[0].rows for cell in cells]
    assert counts == [str(version.metrics["rows"]), *["0"] * 24]


def test_nothing_was_held_out() -> None:
    unmeasured = {target: {"mae": None, "rows": 0} for target in TARGETS}
    VersionFactory.create(is_active=True, metrics={"rows": 0, "model": unmeasured, "dummy": unmeasured})
    response = superuser().get(START)
    assert response.context["confusions"] == []
    html = response.content.decode()
    assert "No version was measured on held-out records yet." in html
    assert "Too few records to hold some out: nothing was measured." in html


def test_no_model_yet() -> None:
    VersionFactory.create()
    html = superuser().get(START).content.decode()
    assert "Nothing is suggested until a version is active." in html
    assert "No version was measured on held-out records yet." in html
    assert "tp-confusion" not in html
    assert "<canvas" not in html
