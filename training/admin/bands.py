"""The bands of criticality as the admin shows them: a word and a colour."""

from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from training.admin import labels
from training.criticality import band_of, criticality_of

WORDS: dict[str, Promise] = {"normal": _("normal"), "high": _("high"), "critical": _("critical")}
# How unfold colours them; the word is always there too.
COLOURS = {"normal": "success", "high": "warning", "critical": "danger"}


def badge(total: float | None) -> SafeString | None:
    """The sum of three scores with its band's word, coloured; nothing without a sum."""
    if total is None:
        return None
    band = band_of(criticality_of(total))
    return labels.badge(f"{labels.number(total)} · {WORDS[band]}", COLOURS[band])
