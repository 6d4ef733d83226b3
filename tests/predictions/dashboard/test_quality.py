from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from predictions.dashboard import quality
from predictions.dashboard.health import cards
from predictions.dashboard.quality import MOVED, VERDICTS, drift, drift_in_words, label_alerts
from predictions.drift_api import OTHERS, PERIOD, REPORT
from tests.factories import ApprovedFactory
from tests.training.admin.people import superuser
from training.ml.shift import MIN_DISTANCE
from training.ml.verdicts import TOO_FEW
from training.ml.verdicts import VERDICTS as GIVEN
from training.models import LabelFinding, QualityReport

pytestmark = pytest.mark.django_db


def report(content: dict[str, Any], kind: str = QualityReport.Kind.DRIFT) -> QualityReport:
    return QualityReport.objects.create(kind=kind, record_count=3486, seconds=1, content=content)


def test_words_for_what_a_report_can_say() -> None:
    assert MOVED == MIN_DISTANCE
    assert set(VERDICTS) == {*GIVEN, TOO_FEW}


def test_drift_over_time() -> None:
    months = [PERIOD | {"label": "2023-12", "verdict": "ok", "findings": [], "terms": []}, PERIOD]
    chart = drift(report(REPORT | {"periods": months, "since_version": None}), {})
    assert [row.text for row in chart.rows] == ["December 2023", "June 2023"]
    assert [str(column.label) for column in chart.columns] == [
        "availability",
        "fiability",
        "process safety",
        "looked at from",
        "reports",
        "verdict",
        "because of",
    ]
    assert list(chart.columns[0].values) == [0.5031, 0.5031]
    assert [cell.text for cell in chart.columns[-2].cells] == ["ok", "retrain"]
    assert [cell.mark for cell in chart.columns[-2].cells] == ["good", "bad"]
    assert [cell.text for cell in chart.columns[-1].cells] == ["", "new or more frequent words: safety"]
    assert chart.finding == (
        "67 reports of June 2023: retrain, new or more frequent words: safety (just now)."
    )


def test_each_period_leads_to_its_reports() -> None:
    client = superuser()
    for label in ("2023-12", "2023Q4"):
        (row,) = drift(report(REPORT | {"periods": [PERIOD | {"label": label}]}), {}).rows
        assert "detected_at__lt=2024-01-01T00" in row.url
        assert client.get(row.url).context["cl"].result_count == 0
    assert row.text == "quarter 4, 2023"


def test_the_verdict_is_about_what_was_not_learned() -> None:
    found = report(REPORT | {"since_version": PERIOD | {"verdict": "ok", "findings": [], "reports": 1912}})
    assert drift_in_words(found) == (
        "1,912 reports not learned by the serving version: ok, nothing unusual (just now)."
    )


@pytest.mark.parametrize("content", OTHERS)
def test_whatever_a_report_lacks_it_is_shown(content: dict[str, Any]) -> None:
    chart = drift(report(content), {})
    assert chart.data
    assert chart.body.startswith("<tr>")


def test_a_report_without_periods() -> None:
    found = report(REPORT | {"periods": [], "since_version": None, "verdict": TOO_FEW})
    assert drift(found, {}).finding == "There are too few dated reports to judge (just now)."
    card = dict(cards(None, found))["training.view_qualityreport"]
    assert (card.word, card.tone, card.url) == ("too few reports", "watch", "#drift")


def test_nobody_looked_yet() -> None:
    assert drift(None, {}).finding == "Nobody has looked for drift yet."
    assert label_alerts({}).finding == "Nobody has looked for doubtful labels yet."


def test_the_way_to_a_check_stands_beside_either() -> None:
    checks = {"drift": ("Check now", "/drift/"), "labels": ("Check now", "/labels/")}
    for found in (None, report(REPORT)):
        chart = drift(found, checks)
        assert (chart.link, chart.url) == ("Check now", "/drift/")
    assert label_alerts(checks).check == ("Check now", "/labels/")
    report({}, kind=QualityReport.Kind.LABELS)
    assert label_alerts(checks).check == ("Check now", "/labels/")


def test_drift_among_the_cards() -> None:
    card = dict(cards(None, report(REPORT)))["training.view_qualityreport"]
    assert (card.word, card.tone, card.value) == ("retrain", "bad", "just now")


def test_doubtful_labels_that_nobody_settled() -> None:
    QualityReport.objects.create(kind=QualityReport.Kind.LABELS, record_count=3486, seconds=1, content={})
    doubted, settled = ApprovedFactory.create(), ApprovedFactory.create()
    newest = QualityReport.objects.create(
        kind=QualityReport.Kind.LABELS,
        record_count=3500,
        seconds=1,
        content={},
        created_at=timezone.now() + timedelta(seconds=1),
    )
    assert label_alerts({}).finding == ("No approved score is in doubt, of 3,500 records examined just now.")
    for rank, anomaly in enumerate((doubted, settled), start=1):
        LabelFinding.objects.create(
            report=newest,
            anomaly=anomaly,
            kind=LabelFinding.Kind.IMPLAUSIBLE,
            target="availability",
            rank=rank,
            suspicion=0.9,
            evidence={"suggested": 5},
        )
    settled.status = "rejected"
    settled.save(update_fields=["status"])
    alerts = quality.label_alerts({})
    assert alerts.finding == ("1 approved score deserves a second look, of 3,500 records examined just now.")
    assert [row.text for row in alerts.rows] == ["1 × implausible score"]
    assert superuser().get(alerts.rows[0].url).context["cl"].result_count == 1
