"""Does the world still look as the model learned it? Period by period, and a verdict: ok, look or retrain.

Words, scores and errors of each period are tested against what came before it. Every kind of question has
the same chance, `shift.ALPHA`, to alarm anywhere in a report about a world that stands still: its
p-values are compared with that chance divided by how often it is asked (Bonferroni). Beside being
significant a finding must be large enough to matter. docs/drift.md tells how the thresholds were measured.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from training.ml import mentions
from training.ml.accuracy import accuracy_of
from training.ml.mentions import Candidate, Integers
from training.ml.metrics import target_metrics
from training.ml.ordinal import Floats
from training.ml.records import TARGETS
from training.ml.scorer import Suggestion
from training.ml.shift import ALPHA, Effect, ScoreShift, effect_of, score_shift, uniformity
from training.ml.stretches import Mask, Stretch, Suggested, World, count_world, each_period, since_learning
from training.ml.verdicts import (
    TOO_FEW,
    EmergingTerm,
    Finding,
    Found,
    Measured,
    Novelty,
    Share,
    findings_of,
    is_uniform,
    worst,
)

MIN_REPORTS = 20  # different texts; a period with fewer is not judged
MIN_BEFORE = 200  # different texts (scored ones, where it is about scores): less is nothing to compare with
REFERENCE = {"month": 12, "quarter": 4}  # periods that scores, novelty and backtest are compared with
MIN_HISTORY = 4  # periods that novelty is compared with, at least
MIN_SCORED = 3  # reports with a term, to tell what it does to the scores


@dataclass(frozen=True, kw_only=True, slots=True)
class Period:
    """One period, or all that came since a model learned, against what came before."""

    label: str
    reports: int
    distinct_texts: int
    reviewed: int  # distinct texts with scores
    distinct_texts_before: int
    verdict: str
    findings: list[Finding]
    found: Found


@dataclass(frozen=True, kw_only=True, slots=True)
class DriftReport:
    period_length: str  # month or quarter
    records: int
    undated: int
    periods: list[Period]
    since: Period | None

    @property
    def newest(self) -> Period | None:
        """What the verdict is about: all since the model learned, or else the newest period."""
        return self.since or (self.periods[-1] if self.periods else None)

    def as_json(self) -> dict[str, Any]:
        newest = self.newest
        return {
            "verdict": newest.verdict if newest else TOO_FEW,
            "period_length": self.period_length,
            "records": self.records,
            "undated": self.undated,
            "alpha": ALPHA,
            "since_version": None if self.since is None else _as_json(self.since),
            "periods": [_as_json(period) for period in self.periods],
        }


@dataclass(kw_only=True, slots=True)
class _History:
    """What the periods so far had."""

    world: World
    novelties: list[Novelty] = field(default_factory=list)
    trusted: list[int] = field(default_factory=list)  # periods whose reviews do not look filled in

    def reference(self, rows: Integers) -> Integers:
        """Of these rows the scored ones: those of the last trusted periods, and the undated."""
        periods = self.world.period[rows]
        present = set(np.unique(periods).tolist())
        last = [number for number in self.trusted if number in present][-REFERENCE[self.world.length] :]
        return rows[self.world.scored[rows] & np.isin(periods, [-1, *last])]


def drift_report(
    frame: pd.DataFrame,
    *,
    suggested: Sequence[Suggested] = (),
    learned: Mask | None = None,
    learned_by: str = "",
) -> DriftReport:
    """Look at every period of the reports, and at all that a model has not learned.

    Parameters
    ----------
    frame : DataFrame of training.ml.records, shape (n, …)
        Reviewed reports, and others whose scores are NaN: their words count too.
    suggested : Suggested, one a maker
    learned : ndarray of bool, shape (n,), or None
        What the model that serves has learned from; `learned_by` is the maker of its suggestions. None when
        none serves.
    """
    world = count_world(frame, suggested)
    history = _History(world=world)
    periods = [_judge(stretch, history, number) for number, stretch in enumerate(each_period(world))]
    return DriftReport(
        period_length=world.length,
        records=len(frame),
        undated=int(np.count_nonzero(world.period < 0)),
        periods=periods,
        since=None if learned is None else _judge(since_learning(world, learned, learned_by), history),
    )


def _judge(stretch: Stretch, history: _History, number: int | None = None) -> Period:
    """The figures and the verdict; period `number` becomes history for what comes after it."""
    world = history.world
    enough = len(stretch.rows) >= MIN_REPORTS and len(stretch.before) >= MIN_BEFORE
    scored = stretch.rows[world.scored[stretch.rows]]
    reference = history.reference(stretch.before)
    comparable = len(scored) >= MIN_REPORTS and len(reference) >= MIN_BEFORE
    found = Found(
        terms=_terms(world, stretch, reference) if enough else [],
        scores=_shifts(world, scored, reference) if comparable else None,
        uniform=uniformity(world.frame.iloc[scored], world.frame.iloc[reference]) if comparable else None,
        novelty=_novelty(stretch, history) if enough else None,
        accuracy=_accuracy(stretch, history, only=stretch.label if number is None else None),
    )
    findings = findings_of(found, periods=stretch.periods)
    if number is not None:
        if found.novelty is not None:
            history.novelties.append(found.novelty)
        if not is_uniform(found.uniform, periods=stretch.periods):
            history.trusted.append(number)
    return Period(
        label=stretch.label,
        reports=stretch.reports,
        distinct_texts=len(stretch.rows),
        reviewed=len(scored),
        distinct_texts_before=len(stretch.before),
        verdict=worst(findings) if enough or findings else TOO_FEW,
        findings=findings,
        found=found,
    )


def _terms(world: World, stretch: Stretch, reference: Integers) -> list[EmergingTerm]:
    candidates = mentions.candidates(
        stretch.mentions,
        stretch.mentions_before,
        standing=mentions.count_standing(world.words, stretch.rows),
        reports=len(stretch.rows),
        reports_before=len(stretch.before),
    )
    limit = ALPHA / (stretch.periods * max(stretch.possible, 1))
    significant = [candidate for candidate in candidates if candidate.p_value <= limit]
    return [
        _emerging(world, stretch, group, rows, reference)
        for group, rows in mentions.group_candidates(world.words, stretch.rows, significant)
    ]


def _emerging(
    world: World, stretch: Stretch, group: list[Candidate], rows: Integers, reference: Integers
) -> EmergingTerm:
    first = group[0]
    stands = np.flatnonzero(mentions.has_term(world.words, first.term))
    since = world.frame["detected_at"].iloc[stands].min()
    return EmergingTerm(
        terms=[world.words.terms[candidate.term] for candidate in group],
        reports=len(rows),
        share=len(rows) / len(stretch.rows),
        share_before=np.count_nonzero(np.isin(stretch.before, stands)) / len(stretch.before),
        mentions=first.mentions,
        mentions_before=first.mentions_before,
        p_value=first.p_value,
        is_new=first.is_new,
        since=None if pd.isna(since) else str(since.date()),
        effects=_effects(world, rows, np.setdiff1d(np.union1d(reference, stretch.rows), stands)),
    )


def _effects(world: World, rows: Integers, others: Integers) -> dict[str, Effect] | None:
    rows, others = rows[world.scored[rows]], others[world.scored[others]]
    if len(rows) < MIN_SCORED or len(others) < MIN_SCORED:
        return None
    return {target: effect_of(world.scores(rows, target), world.scores(others, target)) for target in TARGETS}


def _shifts(world: World, scored: Integers, reference: Integers) -> dict[str, ScoreShift]:
    return {
        target: score_shift(world.scores(scored, target), world.scores(reference, target))
        for target in TARGETS
    }


def _novelty(stretch: Stretch, history: _History) -> Novelty:
    world = history.world
    words, unseen = mentions.unseen_words(world.words, stretch.rows, stretch.before)
    known = world.words.equipment[stretch.before]
    equipment = ~np.isin(world.words.equipment[stretch.rows], known)
    last = history.novelties[-REFERENCE[world.length] :]
    return Novelty(
        words=_beside(
            float(unseen.sum() / max(words.sum(), 1)), [past.words.share for past in last], int(words.sum())
        ),
        equipment=_beside(
            float(equipment.mean()), [past.equipment.share for past in last], len(stretch.rows)
        ),
        mostly_unknown=float(np.mean((words > 0) & (2 * unseen >= words))),
    )


def _beside(share: float, past: list[float], n: int) -> Share:
    """How far the share lies above those of the periods before: Student's prediction interval, one-sided.

    Periods differ by more than chance, for reports come in bursts; so the yardstick is how much they
    differed, but never less than the binomial distribution of n allows.
    """
    if len(past) < MIN_HISTORY:
        return Share(share=share, usual=None, p_value=None)
    usual = float(np.mean(past))
    spread = max(float(np.std(past, ddof=1)), (usual * (1 - usual) / max(n, 1)) ** 0.5)
    margin = spread * (1 + 1 / len(past)) ** 0.5
    p_value = float(student.sf((share - usual) / margin, len(past) - 1)) if margin else float(share <= usual)
    return Share(share=share, usual=usual, p_value=p_value)


def _accuracy(stretch: Stretch, history: _History, *, only: str | None) -> list[Measured]:
    """Of each maker that has suggestions for the stretch, or of one."""
    world, found = history.world, []
    for suggested in world.suggested:
        positions = _positions(suggested, world, stretch.rows)
        if len(positions) and only in {None, suggested.by}:
            held_out = suggested.held_out
            if held_out is None:
                held_out = _earlier_figures(suggested, history, stretch.before)
            targets = {
                target: accuracy_of(*_piece(suggested, world, positions, target), held_out.get(target))
                for target in TARGETS
            }
            found.append(Measured(by=suggested.by, targets=targets))
    return found


def _positions(suggested: Suggested, world: World, rows: Integers) -> Integers:
    """Where in the suggestions those for these rows stand, if they were reviewed."""
    inside = np.zeros(len(world.frame), dtype=bool)
    inside[rows] = True
    return np.flatnonzero((inside & world.scored)[suggested.rows])


def _piece(suggested: Suggested, world: World, positions: Integers, target: str) -> tuple[Suggestion, Floats]:
    distribution = suggested.suggestions[target].distribution[positions]
    return Suggestion.of(distribution), world.scores(suggested.rows[positions], target)


def _earlier_figures(suggested: Suggested, history: _History, before: Integers) -> dict[str, Any]:
    """What the maker's suggestions for the last trusted periods were worth; nothing when they are few."""
    positions = _positions(suggested, history.world, history.reference(before))
    if len(positions) < MIN_BEFORE:
        return {}
    return {
        target: target_metrics(*_piece(suggested, history.world, positions, target)) for target in TARGETS
    }


def _as_json(period: Period) -> dict[str, Any]:
    """Plain values; numbers with four significant digits."""
    fields: dict[str, Any] = _plain(asdict(period))
    found = fields.pop("found")
    return {**fields, **found}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value
