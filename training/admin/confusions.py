"""A confusion matrix laid out for reading: each count a link to the held-out records that it counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.formats import number_format
from django.utils.http import urlencode
from django.utils.translation import ngettext

from training import artifacts
from training.models import ModelVersion

SHADES = 5  # of a count, from 1; the page's style has a class for each


@dataclass(frozen=True, kw_only=True, slots=True)
class Count:
    """`label` says in words what is counted; `url` leads to it, where that is known."""

    text: str
    label: str
    url: str = ""
    shade: int = 0


def held_out_url(version: ModelVersion, *, may: Callable[[str], bool]) -> str:
    """The list of the records that the version was measured on; empty when it does not know them.

    `may` is the has_perm of who looks.
    """
    if not may("training.view_anomaly") or not artifacts.has_held_out(version):
        return ""
    return reverse("admin:training_modelversion_held_out", args=[version.pk])


def confusion_rows(
    matrix: Sequence[Sequence[int]], *, target: str, url: str
) -> list[tuple[int, list[Count]]]:
    """Each score that experts gave, and the counts of the five that were suggested; `url` as above."""
    return [
        (
            actual,
            [
                _cell(count, sum(row), actual=actual, suggested=suggested, target=target, url=url)
                for suggested, count in enumerate(row, start=1)
            ],
        )
        for actual, row in enumerate(matrix, start=1)
    ]


def given(count: int, *, actual: int, target: str, url: str) -> Count:
    """How many held-out records have that score: the sum of a row of the matrix."""
    words = ngettext(
        "%(count)s report with actual %(actual)s", "%(count)s reports with actual %(actual)s", count
    )
    text = _grouped(count)
    return Count(
        text=text,
        label=words % {"count": text, "actual": actual},
        url=cell_url(url, score=target, actual=actual) if count else "",
    )


def cell_url(url: str, **cell: str | int) -> str:
    """The list narrowed to a cell, a row or a column; nothing of nothing."""
    return f"{url}?{urlencode(cell)}" if url else ""


def _cell(count: int, of: int, *, actual: int, suggested: int, target: str, url: str) -> Count:
    words = ngettext(
        "%(count)s report with actual %(actual)s, suggested %(suggested)s",
        "%(count)s reports with actual %(actual)s, suggested %(suggested)s",
        count,
    )
    text = _grouped(count)
    return Count(
        text=text,
        label=words % {"count": text, "actual": actual, "suggested": suggested},
        url=cell_url(url, score=target, actual=actual, suggested=suggested) if count else "",
        shade=max(1, round(SHADES * count / of)) if count else 0,
    )


def _grouped(count: int) -> str:
    return number_format(count, force_grouping=True)
