"""How values are shown: badges with words, ages, durations, scores."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

from training.ml.records import TARGETS


def badge(text: object, colour: str) -> SafeString:
    """A word on a colour: info, success, warning, danger, or default."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def score(value: float | None) -> str:
    """3, 2.5 in the language of the page, or a dash."""
    if value is None:
        return "–"
    return number_format(int(value) if value == int(value) else value)


def age(moment: datetime | None) -> str:
    """“3 hours ago”, in the language of the page and to one unit; a dash for never."""
    if moment is None:
        return "–"
    if (timezone.now() - moment).total_seconds() < 60:
        return _("just now")
    return _("%(age)s ago") % {"age": timesince(moment, depth=1)}


def duration(seconds: float) -> str:
    """4.2 s, or 3 min 5 s."""
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": number_format(round(seconds, 1))}
    minutes, rest = divmod(round(seconds), 60)
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}


def mae(metrics: Mapping[str, Any], model: str = "model") -> str:
    """The three held-out MAEs in the order of the targets, or a dash when nothing was measured."""
    measured = metrics.get(model) or {}
    values = [measured.get(target, {}).get("mae") for target in TARGETS]
    return "–" if None in values else " · ".join(number_format(value, 3) for value in values)
