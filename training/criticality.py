"""From scores to criticality and its band: the one place that knows which end of the scale is serious.

A *severity* is a score read so that 5 is the most serious, whatever `settings.SCORE_DIRECTION` says;
the *criticality* is the sum of the three severities, 3 to 15; `settings.RISK_BANDS` divides it.
"""

from django.conf import settings
from django.db.models import Q

MIRROR = 6  # a score and its mirror image add up to this


def severity_of(score: float) -> float:
    return MIRROR - score if _is_mirrored() else score


def criticality_of(total: float) -> float:
    """The criticality of three scores with this sum: mirrored when 1 is the most critical score."""
    return 3 * MIRROR - total if _is_mirrored() else total


def band_of(criticality: float) -> str:
    """normal, high or critical; the sum of fractional scores belongs to the band it has reached."""
    return max((start, name) for name, start in settings.RISK_BANDS.items() if start <= criticality)[1]


def in_band(band: str, field: str = "criticality") -> Q:
    """The condition that the sum of scores in `field` belongs to the band."""
    start = settings.RISK_BANDS[band]
    ends = [other for other in settings.RISK_BANDS.values() if other > start]
    below_end = "gt" if _is_mirrored() else "lt"
    condition = from_band(band, field)
    return condition & Q(**{f"{field}__{below_end}": criticality_of(min(ends))}) if ends else condition


def from_band(band: str, field: str = "criticality") -> Q:
    """The condition that the sum of scores in `field` has reached the band, or a graver one."""
    from_start = "lte" if _is_mirrored() else "gte"
    return Q(**{f"{field}__{from_start}": criticality_of(settings.RISK_BANDS[band])})


def _is_mirrored() -> bool:
    return str(settings.SCORE_DIRECTION) == "1_is_most_critical"
