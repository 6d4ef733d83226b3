"""A chart: its finding in words, its picture by unfold's Chart.js components, its figures in a table."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.html import conditional_escape, format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

from training.admin.labels import decimals
from training.ml.records import TARGETS

Text = str | Promise
Value = float | int | None

# unfold's colours, of middling lightness: they stand out from its light and from its dark pages.
PRIMARY, GREY = "var(--color-primary-500)", "var(--color-base-400)"
GREEN, ORANGE, RED = "var(--color-green-600)", "var(--color-orange-500)", "var(--color-red-600)"
BAND_COLOURS = {"critical": RED, "high": ORANGE, "normal": GREEN}
# Never by colour alone: each line has its dashes and its marks too.
TARGET_LINES: dict[str, dict[str, Any]] = dict(
    zip(
        TARGETS,
        (
            {"colour": PRIMARY, "mark": "circle"},
            {"colour": ORANGE, "mark": "rect", "dash": (6, 3)},
            {"colour": GREEN, "mark": "triangle", "dash": (2, 2)},
        ),
        strict=True,
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    text: str
    url: str = ""
    mark: str = ""  # one of good, watch, bad: beside a word that says it

    @property
    def html(self) -> SafeString:
        """What the page has hundreds of: the template engine would take four times as long."""
        if self.url:
            return format_html('<a href="{}">{}</a>', self.url, self.text)
        if self.mark:
            return format_html('<span class="tp-badge tp-{}">{}</span>', self.mark, self.text)
        return conditional_escape(self.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """A column of the table; with a colour it is drawn too. The drawn ones come first."""

    label: Text
    values: Sequence[Value] = ()
    cells: Sequence[Cell] = ()
    colour: str = ""
    dash: Sequence[int] = ()
    mark: str = "circle"

    def dataset(self) -> dict[str, Any]:
        return {
            "label": _sentence(self.label),
            "data": list(self.values),
            "borderColor": self.colour,
            "backgroundColor": self.colour,
            "borderDash": list(self.dash),
            "pointStyle": self.mark,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """`rows` names what each value is about: the x axis, and the first column of the table."""

    name: str  # its anchor on the page
    title: str
    finding: str
    kind: str = "bar"
    across: Text = ""  # what the x axis counts
    unit: Text = ""  # what the y axis measures
    rows: Sequence[Cell] = ()
    columns: Sequence[Column] = ()
    url: str = ""
    link: str = ""
    is_stacked: bool = False
    is_whole: bool = False  # whole numbers alone stand at the y axis
    notes: Sequence[str] = field(default_factory=tuple)

    @property
    def data(self) -> str:
        drawn = [column.dataset() for column in self.columns if column.colour]
        return json.dumps({"labels": [row.text for row in self.rows], "datasets": drawn})

    @property
    def options(self) -> str:
        """For Chart.js: instead of unfold's, which are for sparklines. predictions/dashboard.js colours."""
        many = sum(bool(column.colour) for column in self.columns) > 1
        return json.dumps(
            {
                "locale": get_language(),
                "animation": False,
                "maintainAspectRatio": False,
                "interaction": {"mode": "index", "intersect": False},
                "scales": {
                    "x": _axis(self.across) | {"stacked": self.is_stacked, "grid": {"display": False}},
                    "y": _axis(self.unit, precision=0 if self.is_whole else None)
                    | {"stacked": self.is_stacked, "beginAtZero": True},
                },
                "plugins": {
                    "legend": {
                        "display": many,
                        "align": "start",
                        "labels": {"usePointStyle": True, "boxHeight": 7},
                    }
                },
                "datasets": {
                    "bar": {"maxBarThickness": 28, "borderRadius": 2, "borderWidth": 0},
                    "line": {"borderWidth": 2, "pointRadius": 3, "pointHitRadius": 8, "spanGaps": True},
                },
            }
        )

    @property
    def head(self) -> list[str]:
        return [_sentence(self.across), *(_sentence(column.label) for column in self.columns)]

    @property
    def body(self) -> SafeString:
        """The rows of the table."""
        cells = zip(*(column.cells for column in self.columns), strict=True)
        rows = [
            f'<tr><th scope="row">{row.html}</th>{"".join(f"<td>{each.html}</td>" for each in of_row)}</tr>'
            for row, of_row in zip(self.rows, cells, strict=True)
        ]
        return mark_safe("".join(rows))  # noqa: S308  # each cell escaped what it says


def _axis(title: Text, *, precision: int | None = None) -> dict[str, Any]:
    ticks: dict[str, Any] = {"maxRotation": 45, "autoSkipPadding": 12}
    if precision is not None:
        ticks["precision"] = precision
    return {"title": {"display": bool(title), "text": str(title)}, "ticks": ticks}


def _sentence(text: Text) -> str:
    words = str(text)
    return words[:1].upper() + words[1:]


def count_cells(values: Sequence[int], url_of: Callable[[int], str] | None = None) -> list[Cell]:
    """Counts; the nth is a link to `url_of(n)`, where it counts something."""
    return [
        Cell(text=grouped(value), url=url_of(n) if value and url_of else "") for n, value in enumerate(values)
    ]


def decimal_cells(values: Sequence[Value], places: int) -> list[Cell]:
    return [Cell(text=decimals(value, places)) for value in values]


def grouped(count: float) -> str:
    return number_format(count, force_grouping=True)


def address(page: str, filters: Mapping[str, str]) -> str:
    return f"{page}?{urlencode(dict(filters))}" if filters else page
