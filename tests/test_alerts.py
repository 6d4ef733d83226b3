"""The example alert rules: each can be parsed, speaks of metrics that exist, and nothing goes untold."""

import re
from typing import Any

import promql_parser
import pytest
import yaml
from django.conf import settings
from prometheus_client.core import CollectorRegistry

from predictions import metrics
from training.models import Finding

PATH = settings.BASE_DIR / "deploy" / "prometheus" / "alerts.yml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(PATH.read_text())["groups"] for rule in group["rules"]
]
OF_PROMETHEUS = {"up"}
NO_ALERT = {("schedule_off", "warning")}  # a person did it
# Codes that a rule of their own tells, by another metric.
TOLD_BY = {"backup_old": "anomaly_backup_age_seconds"}


def selectors(expression: Any) -> list[Any]:
    """Every vector selector in it."""
    if isinstance(expression, promql_parser.VectorSelector):
        return [expression]
    parts = [getattr(expression, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    parts += list(getattr(expression, "args", ()) or ())
    return [found for part in parts if part is not None for found in selectors(part)]


def selectors_of(rule: dict[str, Any]) -> list[Any]:
    return selectors(promql_parser.parse(rule["expr"]))


def matches(selector: Any, labels: dict[str, str]) -> bool:
    def holds(matcher: Any) -> bool:
        value, pattern = labels[matcher.name], str(matcher.value)
        by_operator: dict[str, bool] = {
            "Equal": value == pattern,
            "NotEqual": value != pattern,
            "Re": re.fullmatch(pattern, value) is not None,
            "NotRe": re.fullmatch(pattern, value) is None,
        }
        return by_operator[str(matcher.op).rpartition(".")[2]]

    return all(holds(matcher) for matcher in selector.matchers.matchers)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule(rule: dict[str, Any]) -> None:
    assert rule.keys() - {"for"} == {"alert", "expr", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.fullmatch(r"[0-9]+[mhd]", rule.get("for", "1m"))
    assert selectors_of(rule)
    page, _, anchor = rule["annotations"]["runbook_url"].removeprefix("file:///opt/anomalies/").partition("#")
    assert anchor == rule["alert"].lower()
    assert f"### {rule['alert']}\n" in (settings.BASE_DIR / page).read_text()


@pytest.mark.django_db
def test_they_speak_of_metrics_that_exist() -> None:
    registry = CollectorRegistry()
    registry.register(metrics.Several(metrics.OWN))
    registry.register(metrics.States())
    known = {f"{family.name}{end}" for family in registry.collect() for end in ("", "_total", "_bucket")}
    known |= {"anomaly_backup_age_seconds"}  # there once a backup is
    spoken_of = {selector.name for rule in RULES for selector in selectors_of(rule)}
    assert spoken_of - OF_PROMETHEUS <= known


@pytest.mark.parametrize("severity", [each.name.lower() for each in Finding.Severity])
@pytest.mark.parametrize("code", Finding.Code.values)
def test_whatever_is_wrong_some_rule_fires(code: str, severity: str) -> None:
    labels = {"code": code, "severity": severity}
    firing = [
        rule["alert"]
        for rule in RULES
        for selector in selectors_of(rule)
        if selector.offset is None
        and (
            (selector.name == "anomaly_health_issues" and matches(selector, labels))
            or selector.name == TOLD_BY.get(code)
        )
    ]
    assert bool(firing) == ((code, severity) not in NO_ALERT)


def test_a_warning_that_stays_calls_for_a_day() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "AnomaliesWarning"]
    now, yesterday = selectors_of(rule)
    assert (now.offset, str(yesterday.offset)) == (None, "1 day, 0:00:00")
    assert " unless " in rule["expr"]


def test_requests_that_fail_are_counted_by_their_share_without_the_probes() -> None:
    (rule,) = [rule for rule in RULES if rule["alert"] == "AnomaliesErrors"]
    failed, asked = selectors_of(rule)
    for route, counts in (("/predict", True), ("admin", True), ("/livez", False), ("/metrics", False)):
        assert matches(failed, {"route": route, "status": "503"}) is counts
        assert not matches(failed, {"route": route, "status": "404"})
        assert matches(asked, {"route": route}) is counts
