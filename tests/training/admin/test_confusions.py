import pytest

from tests.factories import VersionFactory
from tests.predictions.published import publish_version
from training import artifacts
from training.admin.confusions import confusion_rows, given, held_out_url

pytestmark = pytest.mark.django_db
MATRIX = [[90, 10, 0, 0, 0], [0] * 5, [1, 0, 1, 0, 0], [0] * 5, [0, 0, 0, 0, 1200]]
LIST = "/held-out/"


def test_a_cell_is_a_link_to_what_it_counts() -> None:
    rows = confusion_rows(MATRIX, target="process_safety", url=LIST)
    assert [score for score, _cells in rows] == [1, 2, 3, 4, 5]
    cell = rows[0][1][1]
    assert (cell.text, cell.shade) == ("10", 1)
    assert cell.label == "10 reports with actual 1, suggested 2"
    assert cell.url == "/held-out/?score=process_safety&actual=1&suggested=2"
    assert rows[2][1][0].label == "1 report with actual 3, suggested 1"
    assert rows[4][1][4].label == "1,200 reports with actual 5, suggested 5"


def test_nothing_is_no_link() -> None:
    ((_score, cells), *_others) = confusion_rows(MATRIX, target="fiability", url=LIST)
    assert [bool(cell.url) for cell in cells] == [True, True, False, False, False]
    assert given(0, actual=2, target="fiability", url=LIST).url == ""


def test_a_sum_leads_to_the_row() -> None:
    count = given(100, actual=1, target="fiability", url=LIST)
    assert (count.text, count.label) == ("100", "100 reports with actual 1")
    assert count.url == "/held-out/?score=fiability&actual=1"


def test_without_a_list_there_are_numbers_alone() -> None:
    rows = confusion_rows(MATRIX, target="fiability", url="")
    assert {cell.url for _score, cells in rows for cell in cells} == {""}
    assert given(3, actual=1, target="fiability", url="").url == ""


def test_who_may_see_no_anomaly_gets_no_list() -> None:
    version = publish_version()
    url = f"/admin/training/modelversion/{version.pk}/held-out/"
    assert held_out_url(version, may=lambda _permission: True) == url
    assert held_out_url(version, may=lambda permission: permission != "training.view_anomaly") == ""


def test_an_older_version_has_no_list() -> None:
    version = publish_version()
    (artifacts.directory_of(version) / "held_out.csv.gz").unlink()
    assert held_out_url(version, may=lambda _permission: True) == ""
    assert held_out_url(VersionFactory.create(), may=lambda _permission: True) == ""
