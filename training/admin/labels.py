"""How values are shown: badges with words, numbers, ages, durations, verdicts."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache

from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format, number_format
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from training import gate as gate_words
from training.ml.records import TARGETS
from training.models import ModelVersion
from training.versions import TARGET_TOLERANCE

TARGET_WORDS: dict[str, Promise] = {
    "availability": gettext_lazy("availability"),
    "fiability": gettext_lazy("fiability"),
    "process_safety": gettext_lazy("process safety"),
}


@lru_cache(maxsize=1_000)
def badge(text: str, colour: str) -> SafeString:
    """A word on a colour: info, success, warning, danger, or default. A list shows few, many times."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": colour})


def number(value: float | None) -> str:
    """3, 2.5 in the language of the page, or a dash."""
    if value is None:
        return "–"
    return number_format(int(value) if value == int(value) else value)


def decimals(value: float | None, places: int) -> str:
    """Rounded, where Django's own number_format cuts off; a dash for nothing."""
    return "–" if value is None else number_format(round(value, places), places)


def moment(time: datetime | None) -> str:
    """Date and time as short as the language has them; a dash for never."""
    return date_format(timezone.localtime(time), "SHORT_DATETIME_FORMAT") if time else "–"


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
        return _("%(seconds)s s") % {"seconds": number(round(seconds, 1))}
    minutes, rest = divmod(round(seconds), 60)
    return _("%(minutes)d min %(seconds)d s") % {"minutes": minutes, "seconds": rest}


def about(seconds: float) -> str:
    """25 s, or 3 min."""
    if seconds < 60:
        return _("%(seconds)s s") % {"seconds": number(round(seconds))}
    return _("%(minutes)d min") % {"minutes": round(seconds / 60)}


def maes(values: Mapping[str, float | None] | None) -> str:
    """The MAEs of the three scores, in their order; a dash when nothing was measured."""
    figures = [(values or {}).get(target) for target in TARGETS]
    measured = [figure for figure in figures if figure is not None]
    return " · ".join(decimals(figure, 3) for figure in measured) or "–"


def held_out_maes(version: ModelVersion) -> str:
    measured = version.metrics.get("model") or {}
    return maes({target: figures["mae"] for target, figures in measured.items()})


def gate(version: ModelVersion) -> SafeString | str:
    """The gate's word, coloured; nothing for a version that it has not seen."""
    if "passed" not in version.comparison:
        return ""
    if not version.was_compared:
        return badge(_("not compared"), "warning")
    if version.is_refused:
        return badge(_("refused by the gate"), "warning")
    return badge(_("passed the gate"), "success")


def verdict(version: ModelVersion) -> str:
    """The gate's finding, in the language of the page; its own sentence is stored in English."""
    why = version.comparison.get(gate_words.WAITS)
    waits = capfirst(gate_words.describe(why)) if why else ""
    return " ".join(filter(None, [_compared(version) if version.was_compared or not why else "", waits]))


def _compared(version: ModelVersion) -> str:
    comparison = version.comparison
    if not comparison.get("candidate"):
        return _("Too few records to hold some out: nothing was measured.")
    if not version.was_compared:
        return _("It was not compared with the champion of its day.")
    if not comparison["champion"]:
        return _("There was no champion to compare with.")
    if not comparison["passed"] and (worst := _worst(comparison["candidate"], comparison["champion"])):
        return _("Worse on %(score)s: MAE %(candidate)s, the champion's %(champion)s.") % {
            "score": TARGET_WORDS[worst],
            "candidate": decimals(comparison["candidate"][worst], 3),
            "champion": decimals(comparison["champion"][worst], 3),
        }
    words = (
        _("Not worse than the champion: MAE %(candidate)s, the champion's %(champion)s.")
        if comparison["passed"]
        else _("Worse than the champion: MAE %(candidate)s, the champion's %(champion)s.")
    )
    return words % {"candidate": maes(comparison["candidate"]), "champion": maes(comparison["champion"])}


def _worst(candidate: Mapping[str, float], champion: Mapping[str, float]) -> str | None:
    """The score on which the candidate is worse by more than the gate tolerates, the most so."""
    worse = {target: candidate[target] - champion[target] for target in TARGETS}
    target = max(worse, key=lambda name: worse[name])
    return target if worse[target] > TARGET_TOLERANCE else None
