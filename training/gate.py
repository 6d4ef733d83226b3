"""The gate's verdict: what became of the comparison with the champion, and why there was none.

Why a version waits for a person is kept as a code and what it names, {"code": …, …}, in the version's
`comparison` and in health issues, and put into words in the language of who reads it.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from django.utils import translation
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

WAITS = "waits_for_person"  # the key in `comparison`

Reason = Mapping[str, Any]


class Outcome(StrEnum):
    """FIRST: no version had ever been trained. COMPARED: whether it passed is another matter."""

    FIRST = "first"
    COMPARED = "compared"
    NOT_COMPARED = "not_compared"


class Code(StrEnum):
    """Why no version is activated by itself although nothing speaks against it."""

    NOTHING_HELD_OUT = "nothing_held_out"
    CHAMPION_DAMAGED = "champion_damaged"
    CHAMPION_INCOMPATIBLE = "champion_incompatible"
    CHAMPION_UNMEASURED = "champion_unmeasured"
    TARGET_UNMEASURED = "target_unmeasured"
    NO_CHAMPION = "no_champion"
    CHAMPION_CHANGED = "champion_changed"
    NODES_CANNOT_LOAD = "nodes_cannot_load"


WORDS: dict[Code, Promise] = {
    Code.NOTHING_HELD_OUT: _("Too few records to hold some out: nothing was measured."),
    Code.CHAMPION_DAMAGED: _(
        "It could not be compared with version %(version)s, whose files cannot be used: %(error)s"
    ),
    Code.CHAMPION_INCOMPATIBLE: _(
        "It could not be compared with version %(version)s, which needs other libraries: %(error)s"
    ),
    Code.CHAMPION_UNMEASURED: _(
        "It could not be compared with version %(version)s, which has no model of its held-out records."
    ),
    Code.TARGET_UNMEASURED: _(
        "It could not be compared: on the held-out records there are no figures for %(score)s."
    ),
    Code.NO_CHAMPION: _("It could not be compared: no version was active, though others had been trained."),
    Code.CHAMPION_CHANGED: _("another version was activated meanwhile."),
    Code.NODES_CANNOT_LOAD: _("Not every web node that runs could load it: %(nodes)s."),
}


def reason(code: Code, **facts: object) -> dict[str, Any]:
    return {"code": code.value, **facts}


def describe(why: Reason) -> str:
    """In the language that is active."""
    return str(WORDS[Code(why["code"])]) % why


def describe_in_english(why: Reason) -> str:
    """As sessions and versions keep it."""
    with translation.override("en"):
        return describe(why)


def pattern_of(code: Code) -> str:
    """A regular expression of the English sentence, with a group for each thing that it names."""
    with translation.override("en"):
        parts = re.split(r"%\((\w+)\)s", str(WORDS[code]))
    literal, names = parts[::2], parts[1::2]
    return re.escape(literal[0]) + "".join(
        f"(?P<{name}>.+){re.escape(text)}" for name, text in zip(names, literal[1:], strict=True)
    )
