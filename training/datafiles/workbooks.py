"""The first worksheet of an Excel workbook, row by row: what it costs is bounded by the cells of its table.

Nothing that a file says of itself is trusted: not the sizes in the archive's directory, not the sheet's
dimension, not the numbers of rows and columns. XML is streamed (expat) and never held as a tree; shared
strings are kept outside of memory once they are many. Gaps between rows cost nothing, and cells beyond the
last title are dropped while they are read.
"""

import logging
import posixpath
import re
from array import array
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import IO
from zipfile import ZipFile

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH, from_excel, from_ISO8601

from training.datafiles.errors import DataFileError
from training.datafiles.unpacking import Archive, Parts

logger = logging.getLogger(__name__)

SIGNATURE = b"PK\x03\x04"  # how an .xlsx begins
MOST_COLUMNS = 500  # with a title
MOST_TEXT = 32_767  # characters of a cell: Excel's own limit; the rest is cut off
MOST_TITLE = 1_000  # characters
MOST_STRINGS = 5_000_000  # shared ones
MOST_STYLES = 100_000  # Excel has 65,490
MOST_LINE = 2**31 - 1  # the ledger's; Excel's own last row is 1,048,576
IN_MEMORY = 16 * 1024**2  # bytes of shared strings, before they go to a temporary file

_COLUMNS_OF_EXCEL = 16_384
_NUMBER = re.compile(r"[+-]?\d+(?P<fraction>\.\d*)?(?P<exponent>[eE][+-]?\d+)?|[+-]?\.\d+(?:[eE][+-]?\d+)?")
_DATE, _DURATION = "date", "duration"

Cell = tuple[str, int, str]  # its type, its style, its text as the XML has it


def is_workbook(path: Path) -> bool:
    """Whether the file begins as an archive does. Raises OSError."""
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def read_workbook(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows that hold something, each with its number, the titles first, all as wide as the titles.

    Cells are texts as they would stand in a CSV. Raises OSError when the file cannot be opened, DataFileError
    for whatever else: foreign bytes make parsers fail in ways that nobody can list.
    """
    with Archive(path.open("rb", buffering=0)) as file:
        try:
            yield from _rows(file, path)
        except DataFileError:
            raise
        except Exception as error:
            logger.warning("A workbook of %d bytes cannot be read: %r", path.stat().st_size, error)
            raise DataFileError(f"{path} is not a readable Excel workbook (.xlsx).") from error


def _rows(file: Archive, path: Path) -> Iterator[tuple[int, list[str]]]:
    with ZipFile(file) as archive, ExitStack() as stack:
        parts = Parts(archive=archive, path=path)
        book = _book(parts)
        strings = _SharedStrings(stack.enter_context(SpooledTemporaryFile(IN_MEMORY)), path)
        if book.strings:
            for _ in parts.parse(book.strings, strings):
                pass
        strings.seal()
        values = _Values(strings=strings, styles=book.styles, epoch=book.epoch)
        sheet = _Sheet(path, values)
        for _ in parts.parse(book.sheet, sheet):
            yield from sheet.take_rows()


# --- What the workbook says of its parts -------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Book:
    sheet: str
    strings: str | None
    styles: list[str]  # by number: _DATE, _DURATION or ""
    epoch: datetime


def _book(parts: Parts) -> _Book:
    """Where the first worksheet, its texts and its formats are. Raises whatever the parsers do."""
    documents = [target for kind, target in _relations(parts, "").values() if kind == "officeDocument"]
    document = documents[0] if documents else "xl/workbook.xml"
    workbook = _Workbook()
    parts.parse_whole(document, workbook)
    relations = _relations(parts, document)
    by_kind = {kind: target for kind, target in relations.values() if target in parts}
    sheets = [relations[key] for key in workbook.sheets if key in relations]
    styles = _Styles()
    if "styles" in by_kind:
        parts.parse_whole(by_kind["styles"], styles)
    return _Book(
        sheet=next(target for kind, target in sheets if kind == "worksheet"),  # not a chart
        strings=by_kind.get("sharedStrings"),
        styles=styles.kinds(),
        epoch=MAC_EPOCH if workbook.is_mac else WINDOWS_EPOCH,
    )


def _relations(parts: Parts, part: str) -> dict[str, tuple[str, str]]:
    """By id, the kind and the name of the parts that one refers to."""
    directory, name = posixpath.split(part)
    file = posixpath.join(directory, "_rels", f"{name}.rels")
    relations = _Relations(directory)
    if file in parts:
        parts.parse_whole(file, relations)
    return relations.found


class _Silent:
    """Handles elements without looking at their texts."""

    def end(self, name: str) -> None:
        pass

    def text(self, text: str) -> None:
        pass


class _Relations(_Silent):
    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.found: dict[str, tuple[str, str]] = {}

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Relationship" and attributes.get("TargetMode") != "External":
            kind = attributes["Type"].rpartition("/")[2]
            target = posixpath.join("/", self.directory, attributes["Target"])
            self.found[attributes["Id"]] = kind, posixpath.normpath(target).lstrip("/")


class _Workbook(_Silent):
    def __init__(self) -> None:
        self.sheets: list[str] = []  # ids of their relations
        self.is_mac = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            self.sheets += [value for key, value in attributes.items() if key.rpartition(":")[2] == "id"]
        elif name == "workbookPr":
            self.is_mac = attributes.get("date1904") in {"1", "true"}


class _Styles(_Silent):
    """Which styles show a number as a date. Of formats that nobody can read, the others stay of use."""

    def __init__(self) -> None:
        self.formats: dict[str, str] = {}
        self.used: list[str] = []
        self.among_cells = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "numFmt":
            self.formats[attributes["numFmtId"]] = attributes["formatCode"][:255]
        elif name == "cellXfs":
            self.among_cells = True
        elif name == "xf" and self.among_cells:
            self.used.append(attributes.get("numFmtId", "0"))
        if len(self.used) + len(self.formats) > MOST_STYLES:
            raise ValueError("too many styles")

    def end(self, name: str) -> None:
        if name == "cellXfs":
            self.among_cells = False

    def kinds(self) -> list[str]:
        known = {number: self._kind(number) for number in set(self.used)}
        return [known[number] for number in self.used]

    def _kind(self, number: str) -> str:
        code = self.formats.get(number) or BUILTIN_FORMATS.get(int(number))
        if not is_date_format(code):
            return ""
        return _DURATION if is_timedelta_format(code) else _DATE


# --- Texts and values --------------------------------------------------------------------------


class _Text:
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


class _SharedStrings:
    """The texts that cells refer to by number."""

    def __init__(self, file: "SpooledTemporaryFile[bytes]", path: Path) -> None:
        self._file: IO[bytes] = file
        self._path = path
        self._ends = array("Q", [0])
        self._texts = _Text(MOST_TEXT)
        self._wanted, self._phonetic = False, False

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
            text = self._texts.take().encode("utf-8", "surrogatepass")
            self._file.write(text)
            self._ends.append(self._ends[-1] + len(text))
            if len(self._ends) > MOST_STRINGS:
                raise DataFileError(f"{self._path} is too large once unpacked: save it as CSV UTF-8.")

    def text(self, text: str) -> None:
        if self._wanted:
            self._texts.add(text)

    def seal(self) -> None:
        self._file.flush()

    def __getitem__(self, number: int) -> str:
        if number < 0:
            raise IndexError(number)
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        return self._file.read(end - begin).decode("utf-8", "surrogatepass")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Values:
    """Cells as texts."""

    strings: _SharedStrings
    styles: list[str]
    epoch: datetime

    def text_of(self, cell: Cell) -> str:
        """As it would stand in a CSV; an error is blank."""
        kind, style, text = cell
        if kind == "s":
            return self.strings[int(text)]
        if kind in {"str", "inlineStr"}:
            return text
        if kind == "b":
            return str(text.strip() in {"1", "true"})
        if kind == "e":
            return ""
        if kind == "d":
            return _in_words(from_ISO8601(text))
        return self._number(text.strip(), style)

    def _number(self, text: str, style: int) -> str:
        """What is no date after all, because no calendar has it, stays the number that it is."""
        match = _NUMBER.fullmatch(text) if len(text) < MOST_TITLE else None
        if match is None:
            return text
        shown = self.styles[style] if style < len(self.styles) else ""
        if shown:
            try:
                return _in_words(from_excel(float(text), self.epoch, timedelta=shown == _DURATION))
            except (ValueError, OverflowError):
                return text
        if match["fraction"] is match["exponent"] is None and "." not in text:
            return str(int(text))
        number = float(text)
        return str(int(number)) if number.is_integer() else str(number)


def _in_words(value: object) -> str:
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)


# --- The sheet ---------------------------------------------------------------------------------


class _Sheet:
    """The rows of a sheet as its XML tells them: what lies beyond the last title is never held."""

    def __init__(self, path: Path, values: _Values) -> None:
        self._path = path
        self._values = values
        self._width: int | None = None  # of the titles, once they are known
        self._rows: list[tuple[int, Mapping[int, Cell]]] = []
        self._line, self._column = 0, -1
        self._cells: dict[int, Cell] = {}
        self._type, self._style = "n", 0
        self._text = _Text(MOST_TITLE)
        self._counts, self._wanted, self._phonetic = False, False, False
        self._columns: dict[str, int] = {}

    def take_rows(self) -> Iterator[tuple[int, list[str]]]:
        """What is complete by now."""
        rows, self._rows = self._rows, []
        for line, cells in rows:
            texts = [""] * (self._width or 0)
            for column, cell in cells.items():
                texts[column] = self._values.text_of(cell)
            yield line, texts

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._begin_cell(attributes)
        elif name in {"v", "t"}:
            self._wanted = self._counts and not self._phonetic
        elif name == "row":
            self._line = int(attributes.get("r", self._line + 1))
            if not 0 < self._line <= MOST_LINE:
                raise ValueError("no row has that number")
            self._column = -1
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

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        reference = attributes.get("r")
        self._column = self._column + 1 if reference is None else self._column_of(reference)
        self._counts = self._column < (_COLUMNS_OF_EXCEL if self._width is None else self._width)
        if self._counts:
            self._type = attributes.get("t", "n")
            self._style = int(attributes.get("s", 0))

    def _column_of(self, reference: str) -> int:
        letters = reference.rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            column = self._columns[letters] = _column_number(letters)
        return column

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


def _column_number(letters: str) -> int:
    """0 for A. Raises ValueError for what is beyond XFD, or no column at all."""
    number = 0
    for letter in letters:
        number = number * 26 + "ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(letter.upper()) + 1
    if not 0 < number <= _COLUMNS_OF_EXCEL:
        raise ValueError("no column has that name")
    return number - 1
