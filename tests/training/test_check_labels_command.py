import json
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.factories import ApprovedFactory
from training.models import LabelFinding, QualityReport

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """What the command prints on standard output and on standard error."""
    out, err = StringIO(), StringIO()
    call_command("check_labels", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


@pytest.fixture
def contradiction() -> None:
    """A text with two scores of availability, three reports against one; two that are nearly the same."""
    for number, score in enumerate((1, 1, 1, 4)):
        ApprovedFactory.create(
            anomaly_id=f"A-{number}",
            description="fuite\nvapeur vanne",
            equipment_id=f"eq-{number}",
            availability_score=score,
        )
    for number, text in enumerate(("vibration palier", "VIBRATION PALIER")):
        ApprovedFactory.create(anomaly_id=f"B-{number}", description=text)


@pytest.mark.usefixtures("contradiction")
def test_prints_what_was_found_and_the_first_of_each_kind() -> None:
    out, err = run()
    report = QualityReport.objects.get()
    assert out.splitlines() == [
        f"6 approved anomalies, {report.seconds:g} s",
        "",
        "Scores that a model which has not seen the text finds implausible",
        "0 found, 0 kept",
        "",
        "Same text, other score",
        "1 found, 1 kept; 0 on same equipment; 1 on other equipment",
        "rank  doubt  score           given      says otherwise     anomaly               report",
        "   1  0.475  availability    4          3 × 1              A-3                   fuite vapeur vanne",
        "",
        "Near-duplicates on one equipment, conflicting scores first",
        "1 found, 1 kept; 0 conflicting; 1 agreeing",
        "rank  doubt  score           given      says otherwise     anomaly               report",
        "   1  0.250                  2 · 1 · 3  ≈ 1.00: 2 · 1 · 3  B-1                   VIBRATION PALIER",
    ]
    assert err.splitlines()[0] == "[1/3] reports counted"
    assert err.splitlines()[-1] == "[3/3] near-duplicates found"


@pytest.mark.usefixtures("contradiction")
def test_json_is_the_report_and_nothing_else() -> None:
    result: dict[str, Any] = json.loads(run("--json")[0])
    report = QualityReport.objects.get()
    findings = result.pop("findings")
    assert result == {"records": 6, "seconds": report.seconds, **report.content}
    assert list(findings) == ["implausible", "conflict", "near_duplicate"]
    (conflict,) = findings["conflict"]
    assert conflict == {
        "rank": 1,
        "suspicion": 0.475,
        "anomaly_id": "A-3",
        "other_anomaly_id": "A-0",
        "target": "availability",
        "description": "fuite\nvapeur vanne",
        "evidence": LabelFinding.objects.get(kind="conflict").evidence,
    }


@pytest.mark.usefixtures("contradiction")
def test_top_bounds_what_is_printed_and_not_what_is_kept() -> None:
    out, _ = run("--top", "0")
    assert "rank" not in out
    assert LabelFinding.objects.count() == 2


def test_implausible_scores_stand_beside_what_chance_would_give() -> None:
    for number in range(60):
        text, score = ("fuite vapeur", 5) if number % 2 else ("bruit palier", 1)
        ApprovedFactory.create(description=f"{text} {number}", process_safety_score=score)
    odd = ApprovedFactory.create(description="fuite vapeur ici", process_safety_score=1)
    lines = run()[0].splitlines()
    expected = LabelFinding.objects.get(kind="implausible")
    assert (expected.anomaly, expected.target) == (odd, "process_safety")
    assert lines[3].startswith("1 found, 1 kept; availability 0 (1 by chance); fiability 0 (1 by chance); ")
    assert lines[5].split()[:6] == ["1", f"{expected.suspicion:.3f}", "process", "safety", "1", "5"]


def test_of_nothing_there_is_a_report_too() -> None:
    out, _ = run()
    assert out.startswith("0 approved anomalies, ")
    assert QualityReport.objects.get().record_count == 0


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(CommandError, match="--top: invalid int value: 'x'"):
        run("--top", "x")
    assert not QualityReport.objects.exists()
