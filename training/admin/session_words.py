"""What sessions and quality checks keep in English, why they ended and what was decided, in the page's words.

The API answers what is stored; a page recognises the sentence. One that it does not know, such as the last
words of a process, is shown as it is.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime

from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training import gate
from training.admin.figures import TARGET_WORDS
from training.admin.labels import decimals
from training.admin.refusals import in_words
from training.models import TrainingSession

FROZEN = r"Training and activation are frozen(?: by (?P<who>\S+))? until "
HELD_OUT = r" on the same held-out records\."
WORDS: list[tuple[re.Pattern[str], Promise]] = [
    (re.compile(pattern), words)
    for pattern, words in (
        # --- sessions
        (r"Cancelled\.", _("Cancelled.")),
        (r"Cancelled by (?P<name>.+)\.", _("Cancelled by %(name)s.")),
        (
            (
                r"No queue worker took the training session within (?P<seconds>\S+) s\. "
                r"These have other libraries than the active version: (?P<refused>.+)\. "
                r"Start one with: (?P<command>.+?)(?:\. The records are kept\.)?"
            ),
            _(
                "No queue worker took the training session within %(seconds)s s. These have other libraries "
                "than the active version: %(refused)s. Start one with: %(command)s. The records are kept."
            ),
        ),
        (
            (
                r"No queue worker took the training session within (?P<seconds>\S+) s\. "
                r"Start one with: (?P<command>.+?)(?:\. The records are kept\.)?"
            ),
            _(
                "No queue worker took the training session within %(seconds)s s. "
                "Start one with: %(command)s. The records are kept."
            ),
        ),
        (
            (
                r"(?P<cause>The worker .+) during attempt (?P<attempt>\d+) of (?P<most>\d+), "
                r"at step (?P<step>\w+)\. The records are kept\."
            ),
            _(
                "%(cause)s during attempt %(attempt)s of %(most)s, at the step “%(step)s”. The records are "
                "kept."
            ),
        ),
        (
            r"(?P<cause>The worker .+): the session is queued again\.",
            _("%(cause)s: the session is queued again."),
        ),
        (r"The worker died", _("The worker died")),
        (r"The worker was stopped", _("The worker was stopped")),
        (
            r"The training timed out after (?P<seconds>\d+) s\.",
            _("The training took more than %(seconds)s s."),
        ),
        (
            r"The training process died in each of (?P<attempts>\d+) attempts, the last one (?P<how>.+)",
            _("The training process died in each of %(attempts)s attempts, the last one %(how)s"),
        ),
        (r"with exit code (?P<code>\d+)\.", _("with exit code %(code)s.")),
        (r"killed by (?P<signal>\w+) \(out of memory\?\)\.", _("killed by %(signal)s (out of memory?).")),
        (r"killed by (?P<signal>\w+)\.", _("killed by %(signal)s.")),
        (r"The disk refused: (?P<what>.+)\.", _("The disk refused: %(what)s.")),
        (
            r"The backup could not be written: (?P<what>.+)\.",
            _("The backup could not be written: %(what)s."),
        ),
        (
            r"There is no approved anomaly to (?:train on|learn from)\..*",
            _("There is no approved anomaly to train on. Approve some first."),
        ),
        # --- skipped
        (r"Another training session was active\.", _("Another training session was active.")),
        (
            (
                r"Only (?P<found>\d+) newly approved \w+ since version (?P<version>\d+); (?P<most>\d+) are "
                r"needed\."
            ),
            _("Newly approved anomalies since version %(version)s: %(found)s; %(most)s are needed."),
        ),
        (
            r"Only (?P<found>\d+) approved \w+; (?P<most>\d+) are needed\.",
            _("Approved anomalies: %(found)s; %(most)s are needed."),
        ),
        (
            FROZEN + r"(?P<until>[\d-]{10} [\d:]{5}) UTC: (?P<why>.*)",
            _("Training and activation are frozen by %(who)s until %(until)s UTC: %(why)s"),
        ),
        (
            FROZEN + r"it is lifted: (?P<why>.*)",
            _("Training and activation are frozen by %(who)s until the freeze is lifted: %(why)s"),
        ),
        # --- decided
        (r"Not activated by itself: (?P<kept>.+)", _("Not activated by itself: %(kept)s")),
        (
            r"the training policy leaves that to a person\.",
            _("the training policy leaves that to a person."),
        ),
        *((gate.pattern_of(code), words) for code, words in gate.WORDS.items()),
        (
            r"Worse on (?P<score>\w+): MAE (?P<candidate>[\d.]+), not (?P<champion>[\d.]+)" + HELD_OUT,
            _("Worse on %(score)s: MAE %(candidate)s, the champion's %(champion)s."),
        ),
        (
            r"Worse than the champion: mean MAE (?P<mean>\S+)" + HELD_OUT,
            _("Worse than the champion: mean MAE %(mean)s on the same held-out records."),
        ),
        # --- quality checks
        (
            r"Nothing has changed since the report of (?P<until>[\d-]{10} [\d:]{5}) UTC\.",
            _("Nothing has changed since the report of %(until)s UTC."),
        ),
        (r"There is no approved anomaly to look at\.", _("There is no approved anomaly to look at.")),
        (r"It took more than (?P<seconds>\S+) s\.", _("It took more than %(seconds)s s.")),
        (
            r"The process that made it died in each of (?P<attempts>\d+) attempts\.",
            _("The process that made it died in each of %(attempts)s attempts."),
        ),
        (r"The process ended (?P<how>.+)", _("The process ended %(how)s")),
    )
]


def told(text: str) -> str:
    """Its first line in the page's language; what a process said last, in the lines below it, as it is."""
    sentence, newline, rest = text.partition("\n")
    return _said(sentence) + newline + rest


def _said(sentence: str) -> str:
    for pattern, words in WORDS:
        if match := pattern.fullmatch(sentence):
            return str(words) % {name: _shown(name, value) for name, value in match.groupdict().items()}
    return in_words(sentence)


def _shown(name: str, value: str | None) -> str:
    """What a sentence names, in the page's words."""
    if value is None:
        return str(_("the product itself"))
    return SHOWN.get(name, str)(value)


def _moment(text: str) -> str:
    moment = datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    return date_format(moment, "DATETIME_FORMAT")


SHOWN: dict[str, Callable[[str], str]] = {
    "cause": _said,
    "how": _said,
    "kept": _said,
    "step": lambda step: str(dict(TrainingSession.Step.choices).get(step, step)),
    "score": lambda target: str(TARGET_WORDS.get(target, target)),
    "until": _moment,
    "candidate": lambda mae: decimals(float(mae), 3),
    "champion": lambda mae: decimals(float(mae), 3),
    "mean": lambda change: change[0] + decimals(abs(float(change)), 3),
}
