"""The rows of a worksheet as its XML tells them, and its cells as the texts that a CSV would have."""

import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO

from openpyxl.utils.datetime import from_excel, from_ISO8601

from training.datafiles.errors import DataFileError
from training.datafiles.plain_items import TEXT, PlainItems

MOST_COLUMNS = 500  # with a title
MOST_TEXT = 32_767  # characters of a cell: Excel's own limit; the rest is cut off
MOST_TITLE = 1_000  # characters
MOST_STRINGS = 5_000_000  # shared ones
MOST_LINE = 2**31 - 1  # the ledger's; Excel's own last row is 1,048,576
DATE, DURATION = "date", "duration"

_COLUMNS_OF_EXCEL = 16_384
_SHORT, _REMEMBERED = 100, 10_000  # characters of a value that is kept as a text, and how many are
_NUMBER = re.compile(r"[+-]?\d+(?P<fraction>\.\d*)?(?P<exponent>[eE][+-]?\d+)?|[+-]?\.\d+(?:[eE][+-]?\d+)?")

_STRING = re.compile(rf'\s*<si><t(?: xml:space="preserve")?>({TEXT})</t>')
_ROW = re.compile(r'\s*<row(?: r="([0-9]{1,10})")?(?: (?!r=)[\w:]+="[^"<&]*")* ?>')
_CELL = re.compile(  # the last group is whatever has another form
    r'<c(?: r="([A-Z]{1,3})[0-9]{1,10}")?(?: s="([0-9]{1,9})")?(?: t="([A-Za-z]+)")? ?'
    rf'(?:/>|>(?:<v>({TEXT})</v>|<is><t(?: xml:space="preserve")?>({TEXT})</t></is>|<v ?/>)?</c>)|(.+)',
    re.DOTALL,
)

Cell = tuple[str, int, str]  # its type, its style, its text as the XML has it
_PlainRow = tuple[str, list[tuple[str, ...]]]  # its number, its cells as _CELL has them


class Text:
    """Collects the text of `t`, without what tells how to pronounce it, and no more than may be."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.pieces: list[str] = []
        self.length = 0

    def add(self, text: str) -> None:
        if self.length < self.most:
            self.pieces.append(text[: self.most - self.length])
            self.length += len(text)

    def take(self) -> str:
        text = "".join(self.pieces)
        self.pieces, self.length = [], 0
        return text


class SharedStrings:
    """The texts that cells refer to by number."""

    def __init__(self, file: "SpooledTemporaryFile[bytes]", path: Path) -> None:
        self._file: IO[bytes] = file
        self._path = path
        self._ends = array("Q", [0])
        self._texts = Text(MOST_TEXT)
        self._wanted, self._phonetic = False, False
        self._known: dict[int, str] = {}  # short ones that cells asked for

    def plain_items(self) -> PlainItems[str]:
        return PlainItems("</si>", read=_plain_string, add=self._add)

    def start(self, name: str, _: dict[str, str]) -> None:
        if name == "t":
            self._wanted = not self._phonetic
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        if name == "t":
            self._wanted = False
        elif name == "rPh":
            self._phonetic = False
        elif name == "si":
            self._add(self._texts.take())

    def text(self, text: str) -> None:
        if self._wanted:
            self._texts.add(text)

    def _add(self, text: str) -> None:
        content = text[:MOST_TEXT].encode("utf-8", "surrogatepass")
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))
        if len(self._ends) > MOST_STRINGS:
            raise DataFileError(f"{self._path} is too large once unpacked: save it as CSV UTF-8.")

    def seal(self) -> None:
        self._file.flush()

    def __getitem__(self, number: int) -> str:
        if (known := self._known.get(number)) is not None:
            return known
        if number < 0:
            raise IndexError(number)
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        text = self._file.read(end - begin).decode("utf-8", "surrogatepass")
        if len(text) <= _SHORT and len(self._known) < _REMEMBERED:
            self._known[number] = text
        return text


def _plain_string(item: str) -> str | None:
    match = _STRING.fullmatch(item)
    return match[1] if match else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Values:
    """Cells as texts."""

    strings: SharedStrings
    styles: list[str]
    epoch: datetime
    numbers: dict[tuple[str, int], str] = field(default_factory=dict)  # the first ones: scores have few forms

    def text_of(self, cell: Cell) -> str:
        """As it would stand in a CSV; an error is blank."""
        kind, style, text = cell
        if kind == "s":
            return self.strings[int(text)]
        if kind in {"str", "inlineStr"}:
            return text
        if kind in {"b", "e"}:
            return str(text.strip() in {"1", "true"}) if kind == "b" else ""
        return _in_words(from_ISO8601(text)) if kind == "d" else self._known_number(text, style)

    def _known_number(self, text: str, style: int) -> str:
        number = self.numbers.get((text, style))
        if number is None:
            number = self._number(text.strip(), style)
            if len(text) <= _SHORT and len(self.numbers) < _REMEMBERED:
                self.numbers[text, style] = number
        return number

    def _number(self, text: str, style: int) -> str:
        """What is no date after all, because no calendar has it, stays the number that it is."""
        match = _NUMBER.fullmatch(text) if len(text) < MOST_TITLE else None
        if match is None:
            return text
        shown = self.styles[style] if style < len(self.styles) else ""
        if shown:
            try:
                return _in_words(from_excel(float(text), self.epoch, timedelta=shown == DURATION))
            except (ValueError, OverflowError):
                return text
        if match["fraction"] is match["exponent"] is None and "." not in text:
            return str(int(text))
        number = float(text)
        return str(int(number)) if number.is_integer() else str(number)


def _in_words(value: object) -> str:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)


class Sheet:
    """The rows of a sheet as its XML tells them: what lies beyond the last title is never held."""

    def __init__(self, path: Path, values: Values) -> None:
        self._path = path
        self._values = values
        self._width: int | None = None  # of the titles, once they are known
        self._rows: list[tuple[int, Mapping[int, Cell]]] = []
        self._line, self._column = 0, -1
        self._cells: dict[int, Cell] = {}
        self._type, self._style = "n", 0
        self._text = Text(MOST_TITLE)
        self._counts, self._wanted, self._phonetic = False, False, False
        self._columns = _Columns()

    def plain_items(self) -> PlainItems[_PlainRow]:
        return PlainItems("</row>", read=_plain_row, add=self._add)

    def take_rows(self, count_text: Callable[[int], None]) -> Iterator[tuple[int, list[str]]]:
        """What is complete by now. `count_text` is told of the characters of each row."""
        rows, self._rows = self._rows, []
        text_of = self._values.text_of
        for line, cells in rows:
            texts = [""] * (self._width or 0)
            for column, cell in cells.items():
                texts[column] = cell[2] if cell[0] == "inlineStr" else text_of(cell)
            count_text(sum(map(len, texts)))
            yield line, texts

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name in {"v", "t"}:
            self._wanted = self._counts and not self._phonetic
        elif name == "row":
            self._begin_row(attributes.get("r"))
        elif name == "rPh":
            self._phonetic = True

    def end(self, name: str) -> None:
        if name == "c":
            if self._counts and (text := self._text.take()):
                self._cells[self._column] = self._type, self._style, text
            self._counts = False
        elif name in {"v", "t"}:
            self._wanted = False
        elif name == "row":
            self._end_row()
        elif name == "rPh":
            self._phonetic = False

    def text(self, text: str) -> None:
        if self._wanted:
            self._text.add(text)

    def _add(self, row: _PlainRow) -> None:
        number, cells = row
        self._begin_row(number or None)
        column, columns, into = -1, self._columns, self._cells
        width, most = self._width or _COLUMNS_OF_EXCEL, self._text.most
        for letters, style, kind, value, text, _ in cells:
            column = columns[letters] if letters else column + 1
            held = value or text
            if held and column < width:
                into[column] = kind or "n", int(style) if style else 0, held[:most]
        self._end_row()

    def _begin_row(self, number: str | None) -> None:
        self._line = self._line + 1 if number is None else int(number)
        if not 0 < self._line <= MOST_LINE:
            raise ValueError("no row has that number")
        self._column = -1

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        reference = attributes.get("r")
        self._column = (
            self._column + 1 if reference is None else self._columns[reference.rstrip("0123456789")]
        )
        self._counts = self._column < (self._width or _COLUMNS_OF_EXCEL)
        if self._counts:
            self._type = attributes.get("t", "n")
            self._style = int(attributes.get("s", 0))

    def _end_row(self) -> None:
        cells, self._cells = self._cells, {}
        if cells and self._width is None:
            self._width = self._width_of(cells) or None
            self._text.most = MOST_TEXT if self._width else MOST_TITLE
            cells = {column: cell for column, cell in cells.items() if column < (self._width or 0)}
        if cells:
            self._rows.append((self._line, cells))

    def _width_of(self, titles: Mapping[int, Cell]) -> int:
        """Up to the last title: a space behind them, as far out as column XFD, is none."""
        width = 1 + max((at for at, cell in titles.items() if self._values.text_of(cell).strip()), default=-1)
        if width > MOST_COLUMNS:
            raise DataFileError(f"{self._path} has more than {MOST_COLUMNS} columns: keep those that count.")
        return width


def _plain_row(item: str) -> _PlainRow | None:
    begin = _ROW.match(item)
    if begin is None:
        return None
    cells = _CELL.findall(item, begin.end())
    return None if cells and cells[-1][-1] else (begin[1] or "", cells)


class _Columns(dict[str, int]):
    """The columns' numbers, each found once."""

    def __missing__(self, letters: str) -> int:
        self[letters] = number = _column_number(letters)
        return number


def _column_number(letters: str) -> int:
    """0 for A. Raises ValueError for what is beyond XFD, or no column at all."""
    number = 0
    for letter in letters:
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter.upper()) + 1
    if not 0 < number <= _COLUMNS_OF_EXCEL:
        raise ValueError("no column has that name")
    return number - 1
