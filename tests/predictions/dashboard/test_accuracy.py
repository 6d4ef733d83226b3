from typing import Any

import pytest
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from predictions.dashboard import accuracy, figures
from predictions.dashboard.accuracy import by_version, confusions, measured_versions
from predictions.dashboard.health import scores
from tests.factories import VersionFactory
from tests.training.admin.people import superuser
from training.ml.records import TARGETS
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
MATRIX = [[90, 10, 0, 0, 0], [0] * 5, [1, 0, 1, 0, 0], [0] * 5, [0, 0, 0, 0, 1200]]


def everything(_permission: str) -> bool:
    return True


def metrics(mae: float = 0.2, **figures: Any) -> dict[str, Any]:
    each = {
        "rows": 912,
        "mae": mae,
        "exact": 0.842,
        "within_1": 0.96,
        "recall_ge_4": 0.667,
        "confusion_matrix": MATRIX,
    }
    return {
        "rows": 912,
        "model": dict.fromkeys(TARGETS, each | figures),
        "dummy": dict.fromkeys(TARGETS, each),
    }


def test_the_active_versions_confusions() -> None:
    version = VersionFactory.create(metrics=metrics())
    found = confusions(version, may=everything)
    assert [each.name for each in found] == ["Availability", "Fiability", "Process safety"]
    assert found[0].finding == (
        "84 % exact, 96 % within one point; of the scores of 4 and 5, 67 % are found."
    )
    score, cells = found[0].rows[0]
    assert (score, [cell.text for cell in cells]) == (1, ["90", "10", "0", "0", "0"])
    assert [cell.shade for cell in cells] == [4, 1, 0, 0, 0]
    assert found[0].rows[4][1][4].text == "1,200"


def test_where_nothing_serious_was_held_out_there_is_a_dash() -> None:
    (found, *_others) = confusions(VersionFactory.create(metrics=metrics(recall_ge_4=None)), may=everything)
    assert found.finding == "84 % exact, 96 % within one point; of the scores of 4 and 5, – are found."


def test_what_was_not_measured_is_not_shown() -> None:
    assert confusions(None, may=everything) == []
    assert confusions(VersionFactory.create(), may=everything) == []
    assert measured_versions() == []
    assert by_version([], may=everything).finding == "No version was measured on held-out records yet."


def test_the_error_version_by_version(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for mae in (0.3, 0.25):
        VersionFactory.create(metrics=metrics(mae))
    VersionFactory.create()
    first, second, _unmeasured = ModelVersion.objects.order_by("pk")
    with django_assert_num_queries(1):
        chart = by_version(measured_versions(), may=everything)
    assert [row.text for row in chart.rows] == [str(first.pk), str(second.pk)]
    assert [list(column.values) for column in chart.columns[:3]] == [[0.3, 0.25]] * 3
    assert [column.cells[1].text for column in chart.columns[2:]] == [
        "0.250",
        "84 · 84 · 84",
        "67 · 67 · 67",
        "912",
    ]
    assert chart.finding == (
        f"Version {second.pk} errs by 0.250 points on average, 0.050 less than {first.pk}."
    )
    assert chart.rows[0].url == reverse("admin:training_modelversion_change", args=[first.pk])
    assert superuser().get(chart.rows[0].url).status_code == 200


def test_a_worse_version_says_so() -> None:
    first = VersionFactory.create(metrics=metrics(0.25))
    assert by_version(measured_versions(), may=everything).finding == (
        f"Version {first.pk} errs by 0.250 points on average; it is the first."
    )
    second = VersionFactory.create(metrics=metrics(0.3))
    assert by_version(measured_versions(), may=everything).finding == (
        f"Version {second.pk} errs by 0.300 points on average, 0.050 more than {first.pk}."
    )


def test_the_newest_versions_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "VERSIONS", 2)
    for _ in range(3):
        newest = VersionFactory.create(metrics=metrics())
    assert [each.number for each in measured_versions()] == [newest.pk - 1, newest.pk]


def test_each_error_beside_the_champions_of_its_day() -> None:
    champion = dict(zip(TARGETS, (0.25, 0.2, 0.15), strict=True))
    version = VersionFactory.create(metrics=metrics(0.2), comparison={"champion": champion})
    assert [score["trend"] for score in scores(version, may=everything)] == [
        "▼ 0.050 better than the champion before",
        "= as the champion before",
        "▲ 0.050 worse than the champion before",
    ]
    first = VersionFactory.create(metrics=metrics(0.2), comparison={"champion": None})
    assert [score["trend"] for score in scores(first, may=everything)] == ["", "", ""]


def test_the_guides_figure_of_accuracy() -> None:
    assert list(figures.of_accuracy(None)) == []
    (figure,) = figures.of_accuracy(VersionFactory.create(metrics=metrics()))
    assert (figure.value, figure.detail) == (
        "84 · 84 · 84",
        "% exact on 912 held-out records: availability, fiability, process safety",
    )
