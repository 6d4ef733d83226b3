"""The verb: reads once, stores in one transaction, replaces what was found before."""

from datetime import datetime
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory
from training import review
from training.label_quality import report_label_quality
from training.models import Anomaly, LabelFinding, QualityReport

pytestmark = pytest.mark.django_db


def conflict(text: str = "fuite vapeur", *, scores: tuple[float, ...] = (1, 4)) -> list[Anomaly]:
    """The same text with these scores on one equipment: each contradicts the others."""
    return [ApprovedFactory.create(description=text, availability_score=score) for score in scores]


def current() -> list[tuple[str, str, str | None]]:
    """(kind, anomaly, other) of each finding that is shown."""
    findings = LabelFinding.objects.current().select_related("anomaly", "other")
    return [(each.kind, str(each.anomaly), str(each.other)) for each in findings]


def test_findings_point_at_their_rows() -> None:
    AnomalyFactory.create(description="fuite vapeur")
    first, second = conflict()
    user, told = UserFactory.create(), []
    report = report_label_quality(user=user, on_progress=lambda *step: told.append(step))
    assert (report.kind, report.record_count, report.created_by) == ("labels", 2, user)
    assert report.content["conflict"] == {
        "found": 2,
        "kept": 2,
        "anomalies": 2,
        "same_equipment": 2,
        "other_equipment": 0,
    }
    stored = list(LabelFinding.objects.all())
    assert [(each.anomaly, each.other, each.rank) for each in stored] == [
        (first, second, 1),
        (second, first, 2),
    ]
    assert {(each.report, each.kind, each.target, each.suspicion) for each in stored} == {
        (report, "conflict", "availability", 0.9)
    }
    assert stored[0].evidence["others_by_score"] == {"4": 1}
    assert told[-1][0] == told[-1][1] == 3


def test_only_approved_anomalies_are_looked_at() -> None:
    conflict()
    AnomalyFactory.create(description="fuite vapeur", status="rejected", availability_score=5)
    report = report_label_quality()
    assert report.record_count == 2
    assert [each.evidence["others"] for each in LabelFinding.objects.all()] == [1, 1]


def test_a_new_report_replaces_the_findings_and_keeps_the_old_summary() -> None:
    _, second = conflict()
    old = report_label_quality()
    review.correct(anomaly=second, scores={"availability_score": 1}, user=None)
    new = report_label_quality()
    assert list(QualityReport.objects.all()) == [new, old]
    assert [report.content["conflict"]["found"] for report in (new, old)] == [0, 2]
    assert {each.report for each in LabelFinding.objects.all()} == {new}
    assert {each.kind for each in LabelFinding.objects.all()} == {"near_duplicate"}


def test_of_an_empty_database_there_is_an_empty_report() -> None:
    report = report_label_quality()
    assert (report.record_count, report.content["implausible"]["found"]) == (0, 0)
    assert current() == []


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("verb", ["reject", "reopen", "correct"])
def test_a_pair_of_which_one_has_changed_since_is_not_shown(verb: str, which: int) -> None:
    pair = conflict()
    report_label_quality()
    assert len(current()) == 2
    if verb == "correct":
        review.correct(anomaly=pair[which], scores={"fiability_score": 5}, user=None)
    else:
        getattr(review, verb)(anomalies=[pair[which]], user=None)
    assert current() == []
    assert LabelFinding.objects.count() == 2


def test_the_rest_of_a_group_is_still_shown() -> None:
    *_, third = anomalies = conflict(scores=(1, 2, 4))
    report_label_quality()
    review.correct(anomaly=anomalies[0], scores={"availability_score": 2}, user=None)
    assert current() == [("conflict", str(anomalies[1]), str(third))]


def test_what_changes_while_it_is_examined_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = conflict()

    def meanwhile(done: int, total: int, label: str) -> None:
        if done == total:
            review.correct(anomaly=first, scores={"availability_score": 4}, user=None)

    report_label_quality(on_progress=meanwhile)
    assert LabelFinding.objects.count() == 2
    assert current() == []


def test_only_the_newest_label_report_counts() -> None:
    conflict()
    report_label_quality()
    QualityReport.objects.create(kind="drift", record_count=2, seconds=0, content={})
    assert len(current()) == 2
    QualityReport.objects.create(kind="labels", record_count=2, seconds=0, content={})
    assert current() == []


def test_nothing_is_stored_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    conflict()
    old = report_label_quality()

    def full(*args: Any, **options: Any) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(LabelFinding.objects, "bulk_create", full)
    with pytest.raises(DatabaseError):
        report_label_quality()
    assert list(QualityReport.objects.all()) == [old]
    assert {each.report for each in LabelFinding.objects.all()} == {old}


@pytest.mark.parametrize("count", [1, 3])
def test_queries_do_not_grow_with_the_anomalies(count: int) -> None:
    for number in range(count):
        conflict(f"fuite vapeur {number}")
    with CaptureQueriesContext(connection) as queries:
        report_label_quality()
    selects = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    changes = [
        query["sql"].split()[0] for query in queries if query["sql"][:6] in {"INSERT", "DELETE", "UPDATE"}
    ]
    assert len(selects) == 1
    kinds = LabelFinding.objects.values_list("kind").distinct().count()
    assert changes == ["INSERT", "DELETE", *["INSERT"] * kinds]


def test_the_report_is_of_the_moment_before_the_reading() -> None:
    moments: list[datetime] = []
    report = report_label_quality(on_progress=lambda *_: moments.append(timezone.now()))
    report.refresh_from_db()
    assert report.created_at < moments[0]
