"""The bands of criticality as the admin shows and filters them: a word, a colour, a range of the sum."""

from django.conf import settings
from django.db.models import Q
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from training.admin import labels

WORDS: dict[str, Promise] = {"normal": _("normal"), "high": _("high"), "critical": _("critical")}
# How unfold colours them; the word is always there too.
COLOURS = {"normal": "success", "high": "warning", "critical": "danger"}
MIRROR = 18  # a sum of three scores and its mirror image add up to this


def band_of(total: float) -> str:
    """The band of a sum of three scores, in the direction that the settings give the scale."""
    criticality = MIRROR - total if _is_mirrored() else total
    return max((start, name) for name, start in settings.RISK_BANDS.items() if start <= criticality)[1]


def in_band(band: str, field: str = "criticality") -> Q:
    """The condition that the sum in `field` belongs to the band."""
    start = settings.RISK_BANDS[band]
    ends = [other for other in settings.RISK_BANDS.values() if other > start]
    if _is_mirrored():
        condition = Q(**{f"{field}__lte": MIRROR - start})
        return condition & Q(**{f"{field}__gt": MIRROR - min(ends)}) if ends else condition
    condition = Q(**{f"{field}__gte": start})
    return condition & Q(**{f"{field}__lt": min(ends)}) if ends else condition


def badge(total: float | None) -> SafeString | None:
    """The sum with its band's word, coloured; nothing without a sum."""
    if total is None:
        return None
    band = band_of(total)
    return labels.badge(f"{labels.number(total)} · {WORDS[band]}", COLOURS[band])


def _is_mirrored() -> bool:
    return str(settings.SCORE_DIRECTION) == "1_is_most_critical"
