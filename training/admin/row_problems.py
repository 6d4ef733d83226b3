"""Why a row was refused, in the language of the page: the rules themselves speak English, as the API does."""

import re

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from training.ml.records import COLUMNS
from training.models import Anomaly

# What `training.rules`, `training.datafiles` and the page say; names in groups are put into the page's words.
WORDS: list[tuple[re.Pattern[str], Promise]] = [
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (r"Missing required fields: \[(?P<fields>.*)\]", _("Missing: %(fields)s")),
        (r"(?P<field>\w+) must not be blank", _("%(field)s: must not be blank")),
        (
            r"(?P<field>\w+) must be at most (?P<most>[\d,]+) characters, got (?P<got>[\d,]+)",
            _("%(field)s: at most %(most)s characters, got %(got)s"),
        ),
        (r"(?P<field>\w+) must not contain .+", _("%(field)s: holds characters that cannot be stored")),
        (
            r"(?P<field>\w+) must be a finite number, got (?P<got>.+)",
            _("%(field)s: must be a number, got %(got)s"),
        ),
        (
            r"(?P<field>\w+) must be between (?P<least>\d+) and (?P<most>\d+), got (?P<got>.+)",
            _("%(field)s: must be between %(least)s and %(most)s, got %(got)s"),
        ),
        (
            (
                r"(?P<field>\w+) must be an ISO 8601 date and time between the years (?P<least>\d+) and "
                r"(?P<most>\d+), got (?P<got>.+)"
            ),
            _("%(field)s: must be a date like 2026-03-01 06:30 between %(least)s and %(most)s, got %(got)s"),
        ),
        (
            r"The same report as line (?P<line>\d+), which is kept, with another (?P<fields>.+)",
            _("The same report as line %(line)s, which is kept, with another: %(fields)s"),
        ),
        (
            r"The row has (?P<got>\d+) cells, the header (?P<most>\d+)",
            _("The row has %(got)s cells, the header %(most)s"),
        ),
    )
]


def in_words(problem: str) -> str:
    """The problem as it is, where no rule of ours says it so."""
    for pattern, words in WORDS:
        if match := pattern.fullmatch(problem):
            return str(words) % {name: _shown(name, value) for name, value in match.groupdict().items()}
    return problem


def _shown(name: str, value: str) -> str:
    if name in {"field", "fields"}:
        return ", ".join(_title(field.strip(" '")) for field in value.split(","))
    return value


def _title(field: str) -> str:
    if field not in COLUMNS:
        return field
    return capfirst(str(Anomaly._meta.get_field(field).verbose_name))  # type: ignore[union-attr]  # noqa: SLF001 — Django documents _meta
