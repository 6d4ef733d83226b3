"""What the gate says when it cannot compare, and in which language."""

import re
from typing import Any

import pytest
from django.utils import translation

from tests.factories import VersionFactory
from training import gate, versions
from training.admin import labels
from training.admin.session_words import told
from training.ml.records import TARGETS

FACTS = {
    "version": 3,
    "error": "twin.pkl is truncated: 5 bytes.",
    "score": "fiability",
    "nodes": "web-1:7 has",
}
CHAMPION_LOST = gate.reason(gate.Code.CHAMPION_DAMAGED, version=3, error="gone")


def measured(**changed: object) -> dict[str, Any]:
    return {target: {"mae": 0.2} for target in TARGETS} | changed


@pytest.mark.parametrize("code", gate.Code)
def test_each_reason_is_told_in_the_reader_s_language(code: gate.Code) -> None:
    why = gate.reason(code, **FACTS)
    english = gate.describe_in_english(why)
    assert re.fullmatch(gate.pattern_of(code), english)
    assert told(english) == english.replace("fiability", str(labels.TARGET_WORDS["fiability"]))
    with translation.override("fr"):
        french = gate.describe(why)
        assert french != english
        assert told(english).rstrip(".") == french.replace("fiability", "fiabilité").rstrip(".")


@pytest.mark.parametrize(
    ("candidate", "champion", "unknown", "code"),
    [
        ({}, None, None, "nothing_held_out"),
        ({target: {"mae": None} for target in TARGETS}, measured(), None, "nothing_held_out"),
        (measured(), None, CHAMPION_LOST, "champion_damaged"),
        (measured(), {}, None, "target_unmeasured"),
        (measured(), measured(fiability={"mae": None}), None, "target_unmeasured"),
        (measured(), measured(fiability={}), None, "target_unmeasured"),
        (measured(), {"availability": {"mae": 0.2}}, None, "target_unmeasured"),
        (measured(fiability={"mae": None}), measured(), None, "target_unmeasured"),
        (measured(fiability={"mae": float("nan")}), measured(), None, "target_unmeasured"),
        (measured(), measured(process_safety={"mae": float("inf")}), None, "target_unmeasured"),
        (measured(fiability={"mae": None}), None, None, "target_unmeasured"),
    ],
)
def test_what_is_not_known_has_not_passed(
    candidate: dict[str, Any], champion: dict[str, Any] | None, unknown: gate.Reason | None, code: str
) -> None:
    verdict = versions.compare(candidate, champion, unknown)
    assert (verdict["outcome"], verdict["passed"]) == ("not_compared", False)
    assert verdict[gate.WAITS]["code"] == code
    assert verdict["sentence"] == gate.describe_in_english(verdict[gate.WAITS])


def test_the_first_version_and_a_comparison() -> None:
    assert versions.compare(measured(), None)["outcome"] == "first"
    verdict = versions.compare(measured(), measured())
    assert (verdict["outcome"], verdict["passed"], gate.WAITS in verdict) == ("compared", True, False)


@pytest.mark.django_db
def test_what_an_older_program_let_pass_without_a_comparison_is_refused() -> None:
    older = {
        "passed": True,
        "sentence": "There was no champion to compare with.",
        "candidate": {},
        "champion": {},
    }
    first = VersionFactory.create(comparison=older | {"champion_version": None})
    later = VersionFactory.create(comparison=older | {"champion_version": 3, "candidate": {"fiability": 0.2}})
    assert [first.is_refused, later.is_refused] == [False, True]
    assert labels.verdict(later) == "It was not compared with the champion of its day."
    assert "not compared" in str(labels.gate(later))
