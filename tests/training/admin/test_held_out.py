"""The list behind a confusion matrix: real versions, and what became of the anomalies since."""

from typing import Any

import pandas as pd
import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import ApprovedFactory, VersionFactory
from tests.training.admin.people import staff, superuser
from training import artifacts
from training.ml.held_out import HELD_OUT, write_held_out
from training.ml.records import TARGETS
from training.models import Anomaly, ModelVersion

pytestmark = pytest.mark.django_db
MAY_LOOK = ("training.view_modelversion", "training.view_anomaly")
# Availability, fiability, process safety: what was given, and what was suggested.
MEASURED = {"A": ((2, 1, 4), (2, 1, 2)), "B": ((2.5, 1, 5), (3, 1, 1)), "C": ((2, 1, 4), (2, 2, 4))}


def measured_version(measured: Any = MEASURED) -> ModelVersion:
    """A version that was measured on these; each is an approved anomaly."""
    rows = []
    for name, (given, suggested) in measured.items():
        scores = {f"{target}_score": score for target, score in zip(TARGETS, given, strict=True)}
        ApprovedFactory.create(anomaly_id=name, **scores)
        said = {f"{target}_suggested": score for target, score in zip(TARGETS, suggested, strict=True)}
        rows.append({"anomaly_id": name, **scores, **said})
    with artifacts.publish(ModelVersion, "measured", facts={}) as directory:
        write_held_out(directory, pd.DataFrame(rows))
    manifest = artifacts.read_back(ModelVersion, "measured")
    version: ModelVersion = VersionFactory.create(
        name="measured", digest=manifest.digest, metrics={"rows": len(rows)}
    )
    return version


def page_of(version: ModelVersion) -> str:
    return reverse("admin:training_modelversion_held_out", args=[version.pk])


def listed(client: Client, version: ModelVersion, **query: str | int) -> list[str]:
    rows = client.get(page_of(version), query).context["rows"]
    return [row.anomaly.anomaly_id for row in rows]


def test_a_cell() -> None:
    version, client = measured_version(), staff(*MAY_LOOK)
    response = client.get(page_of(version), {"score": "process_safety", "actual": "4", "suggested": "2"})
    (row,) = response.context["rows"]
    assert (row.anomaly.anomaly_id, row.pairs, row.status, row.scores) == ("A", [("4", "2")], "", "")
    assert response.context["count"] == "1 of 3 held-out records."
    assert response.context["title"] == f"Held-out records of {version}"
    html = response.content.decode()
    assert f'<a class="tp-link" href="{row.url}">A</a>' in html
    assert "4 → 2" in html
    assert "unchanged" in html
    assert staff(*MAY_LOOK).get(row.url).status_code == 200


def test_everything_is_optional() -> None:
    version, client = measured_version(), superuser()
    assert listed(client, version) == ["B", "A", "C"]
    assert listed(client, version, score="fiability") == ["C", "A", "B"]
    assert listed(client, version, score="availability", actual=3) == ["B"]
    assert listed(client, version, suggested=4) == ["C"]
    assert client.get(page_of(version)).context["rows"][0].pairs == [("2.5", "3"), ("1", "1"), ("5", "1")]


def test_what_is_no_score_is_told() -> None:
    version, client = measured_version(), superuser()
    response = client.get(page_of(version), {"score": "beauty", "actual": "9"})
    assert list(response.context["form"].errors) == ["score", "actual"]
    assert response.context["rows"] == []
    assert "beauty is not one of the available choices" in response.content.decode()


def test_no_record_is_like_that() -> None:
    html = (
        superuser().get(page_of(measured_version()), {"score": "fiability", "actual": "5"}).content.decode()
    )
    assert "0 of 3 held-out records." in html
    assert "No held-out record is like that." in html


def test_what_changed_since() -> None:
    version, client = measured_version(), superuser()
    Anomaly.objects.filter(anomaly_id="A").update(process_safety_score=5)
    Anomaly.objects.filter(anomaly_id="C").update(status=Anomaly.Status.REJECTED)
    found = {row.anomaly.anomaly_id: row for row in client.get(page_of(version)).context["rows"]}
    assert {name: (row.status, row.scores) for name, row in found.items()} == {
        "A": ("", "2 · 1 · 5"),
        "B": ("", ""),
        "C": ("rejected", ""),
    }
    (row,) = client.get(page_of(version), {"score": "availability", "actual": "3"}).context["rows"]
    assert (row.status, row.scores) == ("", "")


def test_what_was_deleted_is_counted() -> None:
    version, client = measured_version(), superuser()
    Anomaly.objects.filter(anomaly_id="B").delete()
    response = client.get(page_of(version))
    assert [row.anomaly.anomaly_id for row in response.context["rows"]] == ["A", "C"]
    assert response.context["count"] == "3 of 3 held-out records. The farthest errors come first."
    assert "1 anomaly of this page was deleted meanwhile." in response.content.decode()


def test_of_the_database_a_page_alone_is_read(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    many = {f"A-{n:02d}": ((1, 1, 1), (1, 1, 5 if n == 28 else 1)) for n in range(30)}
    version, client = measured_version(many), superuser()
    client.get(page_of(version))
    with django_assert_num_queries(5) as queries:  # session, user, version, the menu's count, these
        first = client.get(page_of(version), {"score": "process_safety"})
    assert queries.captured_queries[-1]["sql"].count("A-") == 25
    assert (len(first.context["rows"]), first.context["rows"][0].anomaly.anomaly_id) == (25, "A-28")
    assert 'href="?score=process_safety&amp;page=2"' in first.content.decode()
    assert listed(client, version, score="process_safety", page=2) == [
        "A-24",
        *(f"A-{n}" for n in (25, 26, 27, 29)),
    ]


def test_an_older_version_says_so() -> None:
    version = VersionFactory.create(metrics={"rows": 3})
    directory = artifacts.directory_of(version)
    directory.mkdir(parents=True)
    (directory / "manifest.json").touch()
    html = superuser().get(page_of(version)).content.decode()
    assert "This version does not tell which records it was measured on" in html


def test_too_few_records_to_hold_some_out() -> None:
    html = superuser().get(page_of(VersionFactory.create(metrics={"rows": 0}))).content.decode()
    assert "Too few records to hold some out: nothing was measured." in html


def test_removed_files_are_told() -> None:
    version = VersionFactory.create(metrics={"rows": 3}, pruned_at=timezone.now())
    assert "The files of this version were removed" in superuser().get(page_of(version)).content.decode()


def test_what_was_altered_is_not_shown() -> None:
    version = measured_version()
    (artifacts.directory_of(version) / HELD_OUT).write_bytes(b"altered")
    html = superuser().get(page_of(version)).content.decode()
    assert "The held-out records cannot be read" in html
    assert "A-" not in html


@pytest.mark.parametrize("permission", MAY_LOOK)
def test_both_permissions_are_needed(permission: str) -> None:
    version = measured_version()
    assert staff(permission).get(page_of(version)).status_code == 403
    assert staff().get(page_of(version)).status_code == 403
    assert Client().get(page_of(version)).status_code == 302


def test_of_no_version_there_is_no_list() -> None:
    url = reverse("admin:training_modelversion_held_out", args=["0"])
    assert superuser().get(url).status_code == 404
