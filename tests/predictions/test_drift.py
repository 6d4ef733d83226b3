from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from predictions.drift import report_drift
from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory, VersionFactory, WebhookFactory
from training import review
from training.ml.metrics import target_metrics
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.ml.scorer import Suggestion
from training.models import Anomaly, Delivery, ModelVersion, QualityReport

pytestmark = pytest.mark.django_db

READ_AT = datetime(2026, 1, 15, tzinfo=UTC)
WORDS = ("fuite vanne", "bruit palier", "vibration pompe", "choc convoyeur")


def reported(
    count: int, *, start: datetime, word: str = "", factory: Any = ApprovedFactory, **values: Any
) -> None:
    """So many different reports, three a day, of ten machines."""
    for n in range(count):
        factory.create(
            description=f"{word} {WORDS[n % 4]} {start:%m} x{n}".strip(),
            equipment_id=f"eq-{n % 10}",
            detected_at=start + timedelta(hours=8 * n),
            **({"process_safety_score": 1 + n % 4} if factory is ApprovedFactory else {}) | values,
        )


def known_world() -> None:
    """Six months that the version has learned."""
    for month in range(1, 7):
        reported(40, start=datetime(2025, month, 1, tzinfo=UTC), reviewed_at=READ_AT)


def active_version(**values: Any) -> ModelVersion:
    version: ModelVersion = VersionFactory.create(is_active=True, dataset_read_at=READ_AT, **values)
    return version


def suggestion(anomaly: Anomaly, version: ModelVersion, **values: Any) -> Prediction:
    """Of 2, 1, 3, which is what the factory's reviewers say."""
    distributions = {
        target: [0.9 if score == said else 0.025 for score in range(1, 6)]
        for target, said in zip(TARGETS, (2, 1, 3), strict=True)
    }
    return Prediction.objects.create(
        anomaly=anomaly,
        model_version=version,
        **dict(zip(SCORE_COLUMNS, (2, 1, 3), strict=True)),
        distributions=distributions,
        confidence=0.9,
        **values,
    )


def rows_of(report: QualityReport) -> dict[str, int]:
    """How many reviewed suggestions there are by maker, in all periods."""
    found: dict[str, int] = {}
    for period in report.content["periods"]:
        for measured in period["accuracy"]:
            rows = measured["targets"]["availability"]["rows"]
            found[measured["by"]] = found.get(measured["by"], 0) + rows
    return found


def test_it_is_of_the_moment_before_the_records_were_read() -> None:
    known_world()
    report = report_drift()
    assert report.created_at + timedelta(seconds=report.seconds) <= timezone.now()


def test_nothing_at_all() -> None:
    report = report_drift()
    assert (report.kind, report.record_count, report.created_by) == ("drift", 0, None)
    assert report.content == {
        "model_version": None,
        "verdict": "too few",
        "period_length": "month",
        "records": 0,
        "undated": 0,
        "alpha": 0.01,
        "since_version": None,
        "periods": [],
    }


def test_one_record() -> None:
    user = UserFactory.create()
    ApprovedFactory.create(detected_at=READ_AT)
    report = report_drift(user=user)
    assert (report.record_count, report.created_by) == (1, user)
    assert [each["label"] for each in report.content["periods"]] == ["2026Q1"]


def test_since_the_serving_version_learned_pending_reports_bring_new_words() -> None:
    known_world()
    version = active_version()
    reported(40, start=datetime(2026, 2, 1, tzinfo=UTC), word="URGENT", factory=AnomalyFactory)
    since = report_drift().content["since_version"]
    assert (since["label"], since["reports"], since["reviewed"]) == (f"version {version.pk}", 40, 0)
    assert since["verdict"] == "look"
    assert since["terms"][0]["terms"] == ["urgent", "urgent …"]
    assert since["terms"][0]["since"] == "2026-02-01"


def test_once_they_are_reviewed_it_says_retrain() -> None:
    known_world()
    version = active_version()
    start = datetime(2026, 2, 1, tzinfo=UTC)
    reported(40, start=start, word="URGENT", reviewed_at=timezone.now(), process_safety_score=5.0)
    content = report_drift().content
    assert (content["model_version"], content["verdict"]) == (version.pk, "retrain")
    assert content["since_version"]["reviewed"] == 40


def test_an_alarm_is_told_once() -> None:
    known_world()
    WebhookFactory.create()
    version = active_version()
    reported(40, start=datetime(2026, 2, 1, tzinfo=UTC), word="URGENT", factory=AnomalyFactory)
    report = report_drift()
    report_drift()  # which finds the same
    told = Delivery.objects.get()
    assert told.event == "drift.alert"
    finding = report.content["since_version"]["findings"][0]
    assert told.payload["data"] == {
        "report": report.pk,
        "verdict": "look",
        "version": version.pk,
        "findings": [{name: finding[name] for name in ("kind", "verdict", "sentence")}],
        "user": None,
    }


def test_what_the_version_learned_is_not_news() -> None:
    known_world()
    active_version()
    AnomalyFactory.create(status=Anomaly.Status.REJECTED)
    content = report_drift().content
    assert (content["records"], content["since_version"]["reports"]) == (240, 0)
    assert content["verdict"] == "too few"


def test_suggestions_count_when_they_were_made_before_any_review() -> None:
    version = active_version()
    user = UserFactory.create()
    scores = dict(zip(SCORE_COLUMNS, (2.0, 1.0, 3.0), strict=True))
    blind, seen, waiting, reopened = [
        AnomalyFactory.create(description=f"report {n}", detected_at=READ_AT, **scores) for n in range(4)
    ]
    suggestion(blind, version)
    suggestion(waiting, version)
    review.approve(anomalies=[blind, seen, reopened], user=user)
    suggestion(seen, version)
    review.reopen(anomalies=[reopened], user=user, reason="again")
    suggestion(reopened, version)
    review.approve(anomalies=[Anomaly.objects.get(pk=reopened.pk)], user=user)
    assert rows_of(report_drift()) == {f"version {version.pk}": 1}


def test_errors_are_compared_with_the_version_s_held_out_figures() -> None:
    sure = Suggestion.of(np.tile([0.1, 0.1, 0.6, 0.1, 0.1], (100, 1)))
    held_out = target_metrics(sure, sure.score.astype(float))
    version = active_version(metrics={"model": dict.fromkeys(TARGETS, held_out)})
    known_world()
    start = datetime(2026, 2, 1, tzinfo=UTC)
    reported(40, start=start, factory=AnomalyFactory)
    pending = list(Anomaly.objects.pending())
    for anomaly in pending:
        suggestion(anomaly, version)
    for anomaly in pending:
        Anomaly.objects.filter(pk=anomaly.pk).update(
            status="approved", reviewed_at=timezone.now(), availability_score=2, fiability_score=1,
            process_safety_score=1 + anomaly.pk % 2,
        )  # fmt: skip
    since = report_drift().content["since_version"]
    (measured,) = since["accuracy"]
    assert measured["by"] == f"version {version.pk}"
    assert [measured["targets"][target]["mae"] for target in TARGETS] == [0.0, 0.0, 1.5]
    assert since["verdict"] == "retrain"
    assert (
        f"version {version.pk}, process safety: the error on 40 reviewed reports is 1.50 points; "
        "0.00 was expected."
    ) in [finding["sentence"] for finding in since["findings"]]


def test_a_backtest_measures_what_nobody_suggested() -> None:
    known_world()
    steps: list[int] = []
    report = report_drift(backtest=True, on_progress=lambda *step: steps.append(step[0]))
    assert rows_of(report) == {"backtest": 40}
    assert steps == [1, 2, 3, 4]


@pytest.mark.parametrize("count", [1, 3])
def test_it_costs_a_fixed_number_of_queries(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    version = active_version()
    for _ in range(count):
        anomaly = AnomalyFactory.create(detected_at=READ_AT)
        suggestion(anomaly, version)
        Anomaly.objects.filter(pk=anomaly.pk).update(
            status="approved", reviewed_at=timezone.now(), **dict.fromkeys(SCORE_COLUMNS, 1)
        )
    # Version, anomalies, suggestions, their versions; the report, in a transaction, and the one before it.
    with django_assert_num_queries(8):
        report = report_drift()
    assert rows_of(report) == {f"version {version.pk}": count}
