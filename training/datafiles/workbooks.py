"""The first worksheet of an Excel workbook, row by row: what it costs is bounded by the cells of its table.

Nothing that a file says of itself is trusted: not the sizes in the archive's directory, not the sheet's
dimension, not the numbers of rows and columns. XML is streamed (expat) and never held as a tree; shared
strings are kept outside of memory once they are many. Gaps between rows cost nothing, and cells beyond the
last title are dropped while they are read. What cells refer to is counted as if they held it.
"""

import logging
import posixpath
from codecs import getincrementaldecoder
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import SpooledTemporaryFile
from zipfile import ZipFile

from openpyxl.styles.numbers import BUILTIN_FORMATS, is_date_format, is_timedelta_format
from openpyxl.utils.datetime import MAC_EPOCH, WINDOWS_EPOCH

from training.datafiles.errors import DataFileError
from training.datafiles.sheets import DATE, DURATION, SharedStrings, Sheet, Values
from training.datafiles.unpacking import Archive, Parts

logger = logging.getLogger(__name__)

SIGNATURE = b"PK\x03\x04"  # how an .xlsx begins
MOST_STYLES = 100_000  # Excel has 65,490
_SUFFIXES = {".xlsx", ".xlsm"}
_LOOKED_AT = 4_096  # bytes that tell whether a file is text
IN_MEMORY = 16 * 1024**2  # bytes of shared strings, before they go to a temporary file


def is_workbook(path: Path) -> bool:
    """Whether the file begins as an archive does, or is named like one and is no text. Raises OSError."""
    with path.open("rb") as file:
        begin = file.read(_LOOKED_AT)
    return begin.startswith(SIGNATURE) or (path.suffix.lower() in _SUFFIXES and not _may_be_text(begin))


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


def _may_be_text(begin: bytes) -> bool:
    """A letter that is cut at the end does not count."""
    try:
        getincrementaldecoder("utf-8")().decode(begin)
    except UnicodeDecodeError:
        return False
    return b"\0" not in begin


def _rows(file: Archive, path: Path) -> Iterator[tuple[int, list[str]]]:
    with ZipFile(file) as archive, ExitStack() as stack:
        parts = Parts(archive=archive, path=path)
        book = _book(parts)
        strings = SharedStrings(stack.enter_context(SpooledTemporaryFile(IN_MEMORY)), path)
        if book.strings:
            for _ in parts.parse(book.strings, strings, strings.plain_items()):
                pass
        strings.seal()
        values = Values(strings=strings, styles=book.styles, epoch=book.epoch)
        sheet = Sheet(path, values)
        for _ in parts.parse(book.sheet, sheet, sheet.plain_items()):
            yield from sheet.take_rows(parts.count_text)


# --- What the workbook says of its parts -------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class _Book:
    sheet: str
    strings: str | None
    styles: list[str]  # by number: DATE, DURATION or ""
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
    worksheets = [target for kind, target in sheets if kind == "worksheet"]
    if not worksheets:
        raise ValueError("there is no worksheet, perhaps a chart alone")
    return _Book(
        sheet=worksheets[0],
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
        return DURATION if is_timedelta_format(code) else DATE
