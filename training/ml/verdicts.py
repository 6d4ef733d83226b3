"""What a look at one period found, which of it alarms, and how that is told to a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from training.ml.accuracy import Accuracy
from training.ml.records import TARGETS
from training.ml.shift import ALPHA, MIN_DISTANCE, MIN_UNIFORM, Effect, ScoreShift, Uniform

OK, LOOK, RETRAIN = VERDICTS = ("ok", "look", "retrain")
TOO_FEW = "too few"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One reason of a verdict. `kind`: term, scores, uniform, novelty, error, recall or calibration."""

    kind: str
    verdict: str
    sentence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """A share in a period beside its mean in the periods before; the p-value is not corrected."""

    share: float
    usual: float | None
    p_value: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Novelty:
    """Shares that nothing before had: of words, of reports by their equipment, of mostly unknown reports."""

    words: Share
    equipment: Share
    mostly_unknown: float  # reports of whose words at least half were never seen


@dataclass(frozen=True, kw_only=True, slots=True)
class EmergingTerm:
    """Terms that rose together, the most significant first.

    Shares are of different texts. `mentions`, on which the p-value rests, count copies, a busy day and a bad
    machine once. `effects` is None where too few of the reports are scored.
    """

    terms: list[str]
    reports: int
    share: float
    share_before: float
    mentions: int
    mentions_before: int
    p_value: float
    is_new: bool  # too rare before for any model to know it
    since: str | None  # the day of the first report that has it
    effects: dict[str, Effect] | None

    @property
    def moved(self) -> list[str]:
        """The targets whose scores it moves."""
        return [target for target, effect in (self.effects or {}).items() if effect.moves]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """How good one maker's suggestions were, by target."""

    by: str
    targets: dict[str, Accuracy]


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The figures of one period; None and empty where there was too little to compare."""

    terms: list[EmergingTerm]  # those that passed the correction
    scores: dict[str, ScoreShift] | None
    uniform: Uniform | None
    novelty: Novelty | None
    accuracy: list[Measured]


def is_uniform(uniform: Uniform | None, *, periods: int) -> bool:
    """Whether the reviews look filled in rather than made."""
    return uniform is not None and uniform.excess >= MIN_UNIFORM and uniform.p_value <= ALPHA / periods


def findings_of(found: Found, *, periods: int) -> list[Finding]:
    """The alarms of one of so many periods, gravest first."""
    uniform = is_uniform(found.uniform, periods=periods)
    alarms = [
        *map(_term, found.terms),
        *_scores(found.scores or {}, ALPHA / (periods * len(TARGETS))),
        *_novelty(found.novelty, ALPHA / (periods * 2)),
        *_accuracy(found.accuracy, ALPHA / periods, uniform=uniform),
    ]
    if uniform and found.uniform:
        alarms.append(_uniform(found.uniform))
    return sorted(alarms, key=lambda finding: -VERDICTS.index(finding.verdict))


def worst(findings: list[Finding]) -> str:
    return max((finding.verdict for finding in findings), key=VERDICTS.index, default=OK)


def _term(term: EmergingTerm) -> Finding:
    names = ", ".join(f'"{name}"' for name in term.terms)
    sentence = (
        f"{'New' if term.is_new else 'More frequent'}: {names}, in {term.share:.1%} of the reports; "
        f"in {term.share_before:.1%} before."
    )
    for target in term.moved:
        difference = (term.effects or {})[target].difference
        direction = "higher" if difference > 0 else "lower"
        sentence += f" Such reports score {abs(difference):.1f} points {direction} on {_name(target)}."
    if term.is_new and term.moved:
        return Finding(kind="term", verdict=RETRAIN, sentence=sentence)
    if term.effects is None:
        sentence += " Too few of them are reviewed to tell what it does to the scores."
    return Finding(kind="term", verdict=LOOK, sentence=sentence)


def _scores(scores: Mapping[str, ScoreShift], limit: float) -> Iterator[Finding]:
    for target, found in scores.items():
        if found.distance >= MIN_DISTANCE and found.p_value <= limit:
            yield Finding(
                kind="scores",
                verdict=LOOK,
                sentence=f"The scores of {_name(target)} moved by {found.distance:.2f} points: "
                f"mean {found.mean:.2f}, {found.reference_mean:.2f} before.",
            )


def _uniform(found: Uniform) -> Finding:
    scores = " / ".join(f"{score:g}" for score in found.scores)
    return Finding(
        kind="uniform",
        verdict=LOOK,
        sentence=f"{found.share:.0%} of the reviewed reports have the same scores {scores} "
        f"({found.reference_share:.0%} before): check these reviews before a model learns from them.",
    )


def _novelty(novelty: Novelty | None, limit: float) -> Iterator[Finding]:
    if novelty is None:
        return
    for share, of, seen in (
        (novelty.words, "words", "were never seen"),
        (novelty.equipment, "reports", "are about equipment that was never seen"),
    ):
        if share.p_value is not None and share.p_value <= limit:
            yield Finding(
                kind="novelty",
                verdict=LOOK,
                sentence=f"{share.share:.1%} of the {of} {seen} before; {share.usual:.1%} is usual.",
            )


def _accuracy(accuracy: list[Measured], limit: float, *, uniform: bool) -> Iterator[Finding]:
    """Errors against reviews that look filled in say nothing about the model: retraining waits."""
    questions = 3 * len(TARGETS) * max(len(accuracy), 1)
    for measured in accuracy:
        for target, found in measured.targets.items():
            for finding in _of_target(found, f"{measured.by}, {_name(target)}", limit / questions):
                held = uniform and finding.verdict == RETRAIN
                yield Finding(kind=finding.kind, verdict=LOOK, sentence=finding.sentence) if held else finding


def _of_target(found: Accuracy, who: str, limit: float) -> Iterator[Finding]:
    expected = found.expected or {}
    on = f"on {found.rows} reviewed reports"
    if found.error_p_value is not None and found.error_p_value <= limit:
        sentence = f"{who}: the error {on} is {found.mae:.2f} points; {expected['mae']:.2f} was expected."
        yield Finding(kind="error", verdict=RETRAIN, sentence=sentence)
    if found.recall_p_value is not None and found.recall_p_value <= limit:
        sentence = (
            f"{who}: {found.attention_recall:.0%} of {found.serious} serious reports were found; "
            f"{expected['attention_recall']:.0%} was expected."
        )
        yield Finding(kind="recall", verdict=RETRAIN, sentence=sentence)
    if found.calibration_p_value is not None and found.calibration_p_value <= limit:
        sentence = (
            f"{who}: suggestions {on} are {found.overconfidence:.0%} surer than right; "
            f"{expected['expected_calibration_error']:.0%} was expected."
        )
        yield Finding(kind="calibration", verdict=LOOK, sentence=sentence)


def _name(target: str) -> str:
    return target.replace("_", " ")
