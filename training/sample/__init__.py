"""The sample: anomalies of a coal-fired power plant, invented here, always the same ones.

A fault has its usual scores; what technicians add (urgent, recurring, load reduced, a hazard) moves
them, and experts disagree now and then. So a model can learn them, though not to perfection, and the
scales are as skewed as those of a real plant.
"""

import unicodedata
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from random import Random

import pandas as pd

from training.datafiles.cells import derive_ids
from training.ml.records import COLUMNS, SCORE_COLUMNS
from training.sample.tables import ABBREVIATIONS, ADDITIONS, HAZARDS, KINDS, PLACES, TYPOS, Fault, Kind

SCORED, UNSCORED = 720, 30
FIRST, LAST = datetime(2024, 1, 1), datetime(2025, 12, 31)  # noqa: DTZ001  # naive UTC, as in frames

_NAMESPACE = uuid.UUID("5a0c6f5e-3c0e-5b53-9a43-0f5c1c7a2f11")
_FRENCH, _ENGLISH = 0, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class _Equipment:
    id: str
    name: str
    kind: Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class _Report:
    equipment: _Equipment
    text: str
    scores: tuple[int, int, int]
    time: datetime


def sample_frame() -> pd.DataFrame:
    """720 scored anomalies of two years, oldest first: a frame of `training.ml.records`."""
    return _frame(islice(_reports(Random("scored"), FIRST, LAST), SCORED))  # noqa: S311  # the same every time


def unscored_sample_frame() -> pd.DataFrame:
    """30 anomalies of the weeks after, for the review queue: the scores are NaN."""
    reports = _reports(Random("to review"), LAST, LAST + timedelta(weeks=4))  # noqa: S311  # as above
    return _frame(islice(reports, UNSCORED)).assign(**dict.fromkeys(SCORE_COLUMNS, float("nan")))


def _frame(reports: Iterator[_Report]) -> pd.DataFrame:
    rows = [
        {
            "anomaly_id": "",
            "description": report.text,
            "equipment_name": report.equipment.name,
            "equipment_id": report.equipment.id,
            "system": report.equipment.kind.system,
            "section": report.equipment.kind.section,
            "detected_at": report.time,
            **dict(zip(SCORE_COLUMNS, map(float, report.scores), strict=True)),
        }
        for report in sorted(reports, key=lambda report: report.time)
    ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"detected_at": "datetime64[us]"})
    return frame.assign(anomaly_id=derive_ids(frame))


def _reports(random: Random, first: datetime, last: datetime) -> Iterator[_Report]:
    """Without end. What was seen before comes again, in the same words, on another day."""
    pieces = _equipment()
    # A few pieces of equipment fail far more often than the others.
    weights = [1 / (1 + random.randrange(len(pieces)) / 20) for _ in pieces]
    past: list[_Report] = []
    while True:
        if len(past) > 50 and random.random() < 0.12:
            report = random.choice(past)
        else:
            report = _new_report(random, random.choices(pieces, weights)[0])
        time = first + timedelta(minutes=random.randrange(int((last - first).total_seconds()) // 60))
        past.append(replace(report, time=time))
        yield past[-1]


def _new_report(random: Random, equipment: _Equipment) -> _Report:
    fault = random.choice(equipment.kind.faults)
    language = _FRENCH if random.random() < 0.75 else _ENGLISH
    text, scores = _tell(random, fault, language)
    disagreed = tuple(score + random.choice((-1, 1)) * (random.random() < 0.06) for score in scores)
    availability, fiability, safety = (min(max(score, 1), 5) for score in disagreed)
    text = _scribble(random, text)
    if safety >= 4 and random.random() < 0.35:
        text, safety = f"SAFETY : {text}", 5
    return _Report(
        equipment=equipment,
        text=text,
        scores=(availability, fiability, safety),
        time=FIRST,
    )


def _tell(random: Random, fault: Fault, language: int) -> tuple[str, tuple[int, ...]]:
    """The fault in words, with what is added to it, and the scores that this deserves."""
    text = (fault.french, fault.english)[language]
    for place, choices in PLACES.items():
        text = text.replace(place, random.choice(choices[language]))
    fitting = [addition for addition in ADDITIONS if fault.scores[0] >= addition.from_availability]
    addition = random.choices(fitting, [addition.weight for addition in fitting])[0]
    text += (addition.french, addition.english)[language]
    availability, fiability, safety = map(sum, zip(fault.scores, addition.added, strict=True))
    if fault.hazard and random.random() < 0.3:
        text += HAZARDS[fault.hazard][language]
        safety += 1
    return text, (availability, fiability, safety)


def _scribble(random: Random, text: str) -> str:
    """As technicians write: abbreviations, typing errors, capitals, accents left out, a stray full stop."""
    if random.random() < 0.15:
        text = _replace_all(text, ABBREVIATIONS)
    if random.random() < 0.08:
        text = _replace_all(text, TYPOS)
    if random.random() < 0.2:
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    style = random.random()
    if style < 0.2:
        text = text.upper()
    elif style < 0.4:
        text = text[0].lower() + text[1:]
    return text + random.choices(("", ".", " ."), (8, 2, 1))[0]


def _replace_all(text: str, replacements: dict[str, str]) -> str:
    for word, replacement in replacements.items():
        text = text.replace(word, replacement)
    return text


def _equipment() -> list[_Equipment]:
    return [
        _Equipment(id=str(uuid.uuid5(_NAMESPACE, name)), name=name, kind=kind)
        for kind in KINDS
        for label in kind.labels.split()
        for unit in ("TR1", "TR2")
        for name in [f"{kind.name.format(x=label)} {unit}"]
    ]
