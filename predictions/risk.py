"""What follows from three suggested scores, in the older service's words: risk, actions, recommendations."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from django.conf import settings

from predictions.wording import (
    ACTIONS,
    BAND_RECOMMENDATIONS,
    DESCRIPTIONS,
    NOTICEABLE_RECOMMENDATIONS,
    RISK_LEVELS,
    SERIOUS_RECOMMENDATIONS,
)
from training.criticality import band_of, criticality_of, severity_of
from training.ml.records import TARGETS

# The older service's name of each of our targets, in our order.
ASPECTS = {"availability": "availability", "fiability": "reliability", "process_safety": "process_safety"}
# Of equally serious aspects the weakest is the first of these: safety goes before production.
PRECEDENCE = ("process_safety", "availability", "reliability")
SERIOUS, NOTICEABLE = 4, 3

Bands = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Assessment:
    """What follows from three whole scores. Shared by all anomalies with these scores: never change it."""

    descriptions: tuple[str, str, str]  # of the scores, in the order of TARGETS
    overall_score: float
    total_sum: int
    risk: Mapping[str, object]
    recommendations: tuple[str, ...]


def assess(availability: int, fiability: int, process_safety: int) -> Assessment:
    """What the older service's answer says about these scores, 1 to 5 each."""
    return _assess(
        (availability, fiability, process_safety),
        settings.SCORE_DIRECTION,
        tuple(settings.RISK_BANDS.items()),
    )


@lru_cache(maxsize=1_000)  # 125 triples for each configuration
def _assess(scores: tuple[int, int, int], _direction: str, _bands: Bands) -> Assessment:
    """The configuration is there to key the cache."""
    severities = {
        ASPECTS[target]: int(severity_of(score)) for target, score in zip(TARGETS, scores, strict=True)
    }
    criticality = criticality_of(sum(scores))
    band = band_of(criticality)
    return Assessment(
        descriptions=_descriptions(severities),
        overall_score=round(sum(scores) / 3, 2),
        total_sum=sum(scores),
        risk=_risk(severities, band) | {"criticality": criticality, "band": band},
        recommendations=_recommendations(severities, band),
    )


def _descriptions(severities: Mapping[str, int]) -> tuple[str, str, str]:
    availability, reliability, safety = (DESCRIPTIONS[aspect][s - 1] for aspect, s in severities.items())
    return availability, reliability, safety


def _risk(severities: Mapping[str, int], band: str) -> dict[str, object]:
    return {
        "overall_risk_level": RISK_LEVELS[band],
        "recommended_action": ACTIONS[band],
        "critical_factors": [aspect for aspect, severity in severities.items() if severity >= SERIOUS],
        "weakest_aspect": max(PRECEDENCE, key=lambda aspect: severities[aspect]),
    }


def _recommendations(severities: Mapping[str, int], band: str) -> tuple[str, ...]:
    """First what the band asks for, then a sentence for each aspect from severity 3."""
    sentences = [BAND_RECOMMENDATIONS[band]]
    for aspect in sorted(severities, key=PRECEDENCE.index):
        if severities[aspect] >= SERIOUS:
            sentences.append(SERIOUS_RECOMMENDATIONS[aspect])
        elif severities[aspect] >= NOTICEABLE:
            sentences.append(NOTICEABLE_RECOMMENDATIONS[aspect])
    return tuple(sentences)
