"""One anomaly of the review queue, laid out for its page: the report, three rows of keys, the reasons."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from predictions.explanations import Reasons, SimilarAnomaly, explain_prediction
from predictions.models import Prediction
from predictions.review_queue import suggested_now
from training.admin import labels
from training.admin.bands import WORDS
from training.admin.figures import TARGET_WORDS
from training.admin.history import ChangesInWords
from training.errors import TrainingError
from training.ml.records import SCORE_COLUMNS, TARGETS
from training.models import Anomaly

SCORES = range(1, 6)
SHOWN = 6  # contributions of a score
EARLIER = 10  # anomalies of the same equipment, changes of this one
SURE, LIKELY = 0.9, 0.6
STRONG, WEAK = 0.3, 0.05  # points of a score, from which a word is marked
KINDS: Mapping[str, Promise | str] = {
    "description": "",
    "equipment_name": _("equipment"),
    "equipment_id": _("equipment ID"),
    "section": _("section"),
    "system": _("system"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    score: int
    share: int | None  # percent that the model gives it
    is_chosen: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A word or fact that moved a score."""

    kind: Promise | str
    text: str
    points: str
    is_usual: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One score: five keys, what the model makes of it, and why."""

    target: str
    column: str
    label: Promise
    keys: list[Key]
    reported: str  # what the report came with, if anything
    sureness: Promise | None
    percent: str
    tone: str
    reasons: list[Moved] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Word:
    text: str
    marks: str  # CSS classes: target and how much it moved that score


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    anomaly: Anomaly
    words: list[Word]
    rows: list[Row]
    version: str
    needs_attention: bool
    similar: Sequence[SimilarAnomaly]
    earlier: Sequence[Anomaly]
    changes: Sequence[Any]
    why_not: str  # why there are no reasons
    bands: Sequence[tuple[Promise, int]]
    is_mirrored: bool


def card_of(anomaly: Anomaly) -> Card:
    """Everything that the page shows of the anomaly."""
    prediction = suggested_now().filter(anomaly=anomaly).select_related("model_version", "anomaly").first()
    reasons, why_not = _reasons_of(prediction)
    return Card(
        anomaly=anomaly,
        words=list(_marked(anomaly.description, reasons)),
        rows=[_row(anomaly, target, prediction, reasons) for target in TARGETS],
        version=str(prediction.model_version) if prediction else "",
        needs_attention=prediction is not None and prediction.needs_attention,
        similar=(reasons.similar or []) if reasons else [],
        earlier=_earlier(anomaly),
        changes=_changes(anomaly),
        why_not=why_not,
        bands=[(WORDS[name], start) for name, start in settings.RISK_BANDS.items()],
        is_mirrored=settings.SCORE_DIRECTION == "1_is_most_critical",
    )


def _reasons_of(prediction: Prediction | None) -> tuple[Reasons | None, str]:
    if prediction is None:
        return None, ""
    try:
        return explain_prediction(prediction=prediction), ""
    except TrainingError as error:  # the scores can be given all the same
        return None, str(error)


def _row(anomaly: Anomaly, target: str, prediction: Prediction | None, reasons: Reasons | None) -> Row:
    column = SCORE_COLUMNS[TARGETS.index(target)]
    reported = anomaly.scores[column]
    shares = prediction.distributions[target] if prediction else None
    chosen = getattr(prediction, column) if prediction else reported
    confidence = shares[int(chosen) - 1] if shares and chosen else None
    return Row(
        target=target,
        column=column,
        label=TARGET_WORDS[target],
        keys=[
            Key(
                score=score,
                share=round(100 * shares[score - 1]) if shares else None,
                is_chosen=score == chosen,
            )
            for score in SCORES
        ],
        reported=labels.number(reported) if reported is not None else "",
        sureness=_sureness(confidence),
        percent=f"{labels.decimals(100 * confidence, 0)} %" if confidence is not None else "",
        tone="" if confidence is None else "good" if confidence >= SURE else "watch",
        reasons=list(_moved(reasons, target)),
    )


def _sureness(confidence: float | None) -> Promise | None:
    if confidence is None:
        return None
    return _("sure") if confidence >= SURE else _("likely") if confidence >= LIKELY else _("unsure")


def _moved(reasons: Reasons | None, target: str) -> Iterator[Moved]:
    contributions = reasons.explanations[target].contributions if reasons else []
    for contribution in contributions[:SHOWN]:
        points = contribution.value
        if abs(points) >= WEAK:
            yield Moved(
                kind=KINDS[contribution.kind],
                text=contribution.text,
                points=f"{'+' if points > 0 else '−'}{labels.decimals(abs(points), 2)}",
                is_usual=contribution.usual,
            )


def _marked(description: str, reasons: Reasons | None) -> Iterator[Word]:
    """The description in pieces, the words among them marked by how much they moved which score."""
    values: dict[str, dict[str, float]] = {}
    for target, explanation in reasons.explanations.items() if reasons else ():
        for contribution in explanation.contributions:
            if contribution.kind == "description":
                values.setdefault(contribution.text, {})[target] = contribution.value
    for piece in re.split(r"(\w+)", description):
        marks = (_mark(target, value) for target, value in values.get(piece, {}).items())
        yield Word(text=piece, marks=" ".join(filter(None, marks)))


def _mark(target: str, value: float) -> str:
    if abs(value) < WEAK:
        return ""
    return f"rv-{target}-{'up' if value > 0 else 'down'}{2 if abs(value) >= STRONG else 1}"


def _earlier(anomaly: Anomaly) -> Sequence[Anomaly]:
    """What was reported of the same equipment, the newest first."""
    same = Anomaly.objects.filter(equipment_id=anomaly.equipment_id).exclude(pk=anomaly.pk)
    return list(same.exclude(status=Anomaly.Status.REJECTED).order_by("-detected_at", "-pk")[:EARLIER])


def _changes(anomaly: Anomaly) -> list[dict[str, Any]]:
    """Who changed what, when and why, the newest first."""
    records = list(anomaly.history.select_related("history_user").order_by("-history_id")[: EARLIER + 1])
    told = []
    for newer, older in pairwise(records):
        words = ChangesInWords(Anomaly, newer)
        told.append({"record": newer, "changes": words.context_for_delta_changes(newer.diff_against(older))})
    return told
