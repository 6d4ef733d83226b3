from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import translation

from tests.factories import ApprovedFactory
from tests.training.admin.people import staff
from training import review
from training.label_quality import report_label_quality
from training.models import Anomaly, LabelFinding

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_labelfinding_changelist")


@pytest.fixture
def client() -> Client:
    return staff("training.view_anomaly")


@pytest.fixture
def pair() -> list[Anomaly]:
    """One text with two scores on one equipment, found."""
    both = [
        ApprovedFactory.create(anomaly_id=f"A-{n}", description="fuite vapeur", process_safety_score=n)
        for n in (2, 5)
    ]
    report_label_quality()
    return both


def rows(client: Client, **query: Any) -> list[LabelFinding]:
    return list(client.get(LIST, query).context["cl"].result_list)


def test_the_list_tells_who_says_what(client: Client, pair: list[Anomaly]) -> None:
    html = unescape(client.get(LIST).content.decode())
    assert [(finding.rank, finding.anomaly) for finding in rows(client)] == [(1, pair[0]), (2, pair[1])]
    assert reverse("admin:training_anomaly_change", args=[pair[0].pk]) in html
    for words in ("same text, other score", "2 · 1 · 5", "1 × 5", "0.900"):
        assert words in html


def test_a_page_shows_the_evidence_and_the_other(client: Client, pair: list[Anomaly]) -> None:
    finding = LabelFinding.objects.get(anomaly=pair[0])
    html = unescape(
        client.get(reverse("admin:training_labelfinding_change", args=[finding.pk])).content.decode()
    )
    assert "others_by_score" in html
    assert reverse("admin:training_anomaly_change", args=[pair[1].pk]) in html


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"kind__exact": "conflict"}, 2),
        ({"kind__exact": "implausible"}, 0),
        ({"target__exact": "process_safety"}, 2),
        ({"target__exact": "fiability"}, 0),
        ({"q": "A-5"}, 1),
        ({"q": "vapeur"}, 2),
        ({"q": "bruit"}, 0),
    ],
)
def test_filters_and_search(client: Client, query: dict[str, str], count: int) -> None:
    assert len(rows(client, **query)) == count


def test_what_was_settled_is_gone(client: Client, pair: list[Anomaly]) -> None:
    finding = LabelFinding.objects.get(anomaly=pair[0])
    review.correct(anomaly=pair[1], scores={"process_safety_score": 2}, user=None)
    assert rows(client) == []
    page = reverse("admin:training_labelfinding_change", args=[finding.pk])
    assert client.get(page).status_code == 302


@pytest.mark.usefixtures("pair")
def test_it_speaks_french(client: Client) -> None:
    with translation.override("fr"):
        html = unescape(client.get(LIST, headers={"accept-language": "fr"}).content.decode())
    assert "même texte, autre score" in html
    assert "Étiquettes douteuses" in html
