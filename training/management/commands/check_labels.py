"""`check_labels`: which approved scores deserve a second look."""

import json
from argparse import ArgumentParser
from typing import Any

from django.utils.text import Truncator

from training.label_quality import report_label_quality
from training.management.acting import ActingCommand
from training.ml.records import TARGETS
from training.models import LabelFinding, QualityReport

ROW = "{:>4}  {:>5}  {:<15} {:<9}  {:<17}  {:<20}  {}"
HEADINGS = ("rank", "doubt", "score", "given", "says otherwise", "anomaly", "report")
TITLES = {
    LabelFinding.Kind.IMPLAUSIBLE: "Scores that a model which has not seen the text finds implausible",
    LabelFinding.Kind.CONFLICT: "Same text, other score",
    LabelFinding.Kind.NEAR_DUPLICATE: "Near-duplicates on one equipment, conflicting scores first",
}


class Command(ActingCommand):
    help = (
        "Looks for doubtful labels among all approved anomalies: scores that are implausible to a model that "
        "has not seen the text, identical texts with different scores, near-duplicates. Prints the counts "
        "and the most suspicious of each kind. The findings, up to 10,000 of each kind, are kept for the "
        "admin and /api/v1/label-findings/ in place of those of the report before. No score is changed. "
        "The exit code is 0 whatever is found."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--top", type=int, default=20, metavar="N", help="findings of each kind to print; default: 20"
        )
        parser.add_argument("--json", action="store_true", help="print nothing but JSON on standard output")

    def handle(self, *args: Any, **options: Any) -> None:
        report = report_label_quality(
            user=self.user,
            on_progress=lambda done, total, label: self.stderr.write(
                f"[{done}/{total}] {label}", style_func=str
            ),
        )
        top = LabelFinding.objects.filter(report=report, rank__lte=options["top"])
        findings = list(top.select_related("anomaly", "other"))
        self.stdout.write(as_json(report, findings) if options["json"] else in_words(report, findings))


def as_json(report: QualityReport, findings: list[LabelFinding]) -> str:
    """The report's own content, and of each kind the first findings."""
    first = {
        kind: [_as_dict(finding) for finding in findings if finding.kind == kind]
        for kind in LabelFinding.Kind.values
    }
    content = {"records": report.record_count, "seconds": report.seconds, **report.content, "findings": first}
    return json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False)


def _as_dict(finding: LabelFinding) -> dict[str, Any]:
    return {
        "rank": finding.rank,
        "suspicion": finding.suspicion,
        "anomaly_id": finding.anomaly.anomaly_id,
        "other_anomaly_id": finding.other and finding.other.anomaly_id,
        "target": finding.target,
        "description": finding.anomaly.description,
        "evidence": finding.evidence,
    }


def in_words(report: QualityReport, findings: list[LabelFinding]) -> str:
    lines = [f"{report.record_count:,} approved anomalies, {report.seconds:g} s"]
    for kind, title in TITLES.items():
        lines += ["", title, _counts(kind, report.content[kind])]
        rows = [_row(finding) for finding in findings if finding.kind == kind]
        lines += [ROW.format(*HEADINGS), *rows] if rows else []
    return "\n".join(lines)


def _counts(kind: str, content: dict[str, Any]) -> str:
    """What was found in numbers, beside what chance alone would give."""
    counts = f"{content['found']:,} found, {content['kept']:,} kept"
    if kind == LabelFinding.Kind.IMPLAUSIBLE:
        parts = [
            f"{target} {content[target]['found']:,} ({content[target]['expected_by_chance']:,.0f} by chance)"
            for target in TARGETS
            if target in content
        ]
    elif kind == LabelFinding.Kind.CONFLICT:
        parts = [
            f"{content[where]:,} on {where.replace('_', ' ')}"
            for where in ("same_equipment", "other_equipment")
        ]
    else:
        parts = [f"{content[how]:,} {how}" for how in ("conflicting", "agreeing")]
    return "; ".join([counts, *parts])


def _row(finding: LabelFinding) -> str:
    scores = [finding.evidence["reviewed"]] if finding.target else finding.anomaly.scores.values()
    return ROW.format(
        finding.rank,
        f"{finding.suspicion:.3f}",
        finding.target.replace("_", " "),
        " · ".join(f"{score:g}" for score in scores),
        finding.contrary,
        Truncator(finding.anomaly.anomaly_id).chars(20),
        Truncator(" ".join(finding.anomaly.description.split())).chars(60),
    )
