"""What the domain says in English, in the language of the page: why it refused, and the reasons it keeps."""

import re

from django.utils.functional import Promise
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from training.ml.records import COLUMNS
from training.models import Anomaly

# What `rules`, `datafiles`, `file_imports` and `review` say; what is named goes into the page's words.
WORDS: list[tuple[re.Pattern[str], Promise]] = [
    (re.compile(pattern, re.DOTALL), words)
    for pattern, words in (
        (
            r"The storage is not this installation's\. (?P<reason>.+) Nothing was changed there\..*",
            _("The storage belongs to another installation, and nothing was changed: %(reason)s"),
        ),
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
        (
            r"(?P<file>.+) holds no anomalies: it has no column for (?P<columns>.+)\.",
            _("%(file)s holds no anomalies: it has no column for %(columns)s."),
        ),
        (
            r"Give the customer's three files together, or one file with all three scores.*",
            _("Give the customer's three files together, or one file with all three scores."),
        ),
        (
            r"(?P<file>.+) is not UTF-8 text: .+",
            _("%(file)s is not UTF-8 text: save it as “CSV UTF-8” or as an Excel workbook (.xlsx)."),
        ),
        (
            r"(?P<file>.+) has two columns for the same thing: (?P<got>.+)\.",
            _("%(file)s has two columns for the same thing: %(got)s."),
        ),
        (
            r"(?P<file>.+) and (?P<other>.+) have different columns beside the score\.",
            _("%(file)s and %(other)s have different columns beside the score."),
        ),
        (
            r"(?P<file>.+) has (?P<got>\d+) rows, (?P<other>.+) (?P<most>\d+): the three files .+",
            _("%(file)s has %(got)s rows, %(other)s %(most)s: the three files must have the same rows."),
        ),
        (
            r"(?P<file>.+):(?P<line>\d+) and (?P<other>.+):(?P<most>\d+) are different reports: .+",
            _("%(file)s, line %(line)s, and %(other)s, line %(most)s, are different reports."),
        ),
        (
            r"(?P<file>.+) is not a readable Excel workbook \(\.xlsx\)\.",
            _("%(file)s is not a readable Excel workbook (.xlsx)."),
        ),
        (
            r"(?P<file>.+) is too large once unpacked: .+",
            _("%(file)s is too large once unpacked: save it as CSV UTF-8."),
        ),
        (
            r"(?P<file>.+) has more than (?P<most>\d+) columns: .+",
            _("%(file)s has more than %(most)s columns: keep those that count."),
        ),
        (
            r"(?P<file>.+) has more than (?P<most>[\d,]+) empty lines: delete them\.",
            _("%(file)s has more than %(most)s empty lines: delete them."),
        ),
        (
            r"(?P<file>.+) is not a readable CSV file: (?P<got>.+)\.",
            _("%(file)s is not a readable CSV file: %(got)s."),
        ),
        (r"(?P<file>.+) cannot be read: .+", _("%(file)s cannot be read any more: upload the files again.")),
        (
            r"Give one file, or the customer's three; these are (?P<got>\d+)\.",
            _("Give one file, or the customer's three; these are %(got)s."),
        ),
        (
            r"The files hold more than (?P<most>\d+) MiB: .+",
            _("The files hold more than %(most)s MiB: divide them."),
        ),
        (
            r"The files hold more than (?P<most>[\d,]+) rows: .+",
            _("The files hold more than %(most)s rows: divide them."),
        ),
        (
            r"(?P<got>\d+) imports wait to be confirmed: .+",
            _("%(got)s imports wait to be confirmed: confirm or discard one of them first."),
        ),
        (
            r"This import does not wait to be confirmed any more\.",
            _("This import does not wait to be confirmed any more."),
        ),
        (
            r"The object storage (?:does not answer|refuses): .+",
            _("The storage of files does not answer: nothing was changed. Try again later."),
        ),
        (
            r"That change decided nothing about this anomaly: there is nothing to undo\.",
            _("That change decided nothing about this anomaly: there is nothing to undo."),
        ),
        (r"The training session has already ended\.", _("The training session has already ended.")),
        (r"Training is not frozen\.", _("Training is not frozen.")),
        (
            r"Training is frozen already: lift it first\.",
            _("Training is frozen already: lift it first."),
        ),
        (
            r"A quality check of this kind is queued or running already\.",
            _("A quality check of this kind is queued or running already."),
        ),
        # Kept in the history of an anomaly where nobody gave a reason.
        (r"Undo", _("Undone")),
        (r"Sample", _("Sample")),
        (r"Imported from (?P<file>.+)", _("Imported from %(file)s")),
        (r"Restored from (?P<file>.+)", _("Restored from %(file)s")),
    )
]


def in_words(problem: str) -> str:
    """The problem as it is, where it is not among WORDS."""
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
