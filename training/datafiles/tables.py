"""One file as a table of texts: which rows, on which lines, under which of our columns."""

import csv
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import count, islice
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import ParseError
from zipfile import BadZipFile, ZipFile

import pandas as pd

from training.datafiles.cells import field_of
from training.errors import TrainingError

PIECE = 5_000  # rows read at a time: bounds memory
_ZIP = b"PK\x03\x04"  # how an .xlsx begins
_RECORD = "\x1e"  # how each row of an unpacked workbook begins: https://www.rfc-editor.org/rfc/rfc7464
_MAX_HEADER = 65_536  # characters
_UNDECODABLE = r"[\ud800-\udfff]"


class DataFileError(TrainingError):
    """Files from which nothing can be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A piece of a file: its known columns, as text (object dtype); rows without any text left out.

    The index goes on from piece to piece. `lines` has the line (CSV) or row (Excel) on which each row
    begins, `widths` its number of cells, both under the same index.
    """

    path: Path
    cells: pd.DataFrame
    lines: "pd.Series[int]"
    widths: "pd.Series[int]"
    width: int  # cells in the header

    @property
    def ragged(self) -> "pd.Series[bool]":
        """Which rows have too few or too many cells: theirs may stand under the wrong columns."""
        return self.widths != self.width


def read_tables(path: Path) -> Iterator[Table]:
    """The file in pieces of PIECE rows, the last one shorter, maybe empty. Raises DataFileError."""
    try:
        rows = _rows(path)
        _, titles = next(rows, (1, []))
        fields = _fields(path, titles)
        filled = ((line, row) for line, row in rows if any(row))
        for start in count(0, PIECE):
            kept = list(islice(filled, PIECE))
            yield _table(path, kept, start, fields, len(titles))
            if len(kept) < PIECE:
                return
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except csv.Error as error:
        raise DataFileError(f"{path} is not a readable CSV file: {error}.") from error


def read_titles(path: Path) -> list[tuple[str, str | None]]:
    """The header, each title with the column of ours that it stands for. Raises DataFileError."""
    try:
        _, titles = next(_rows(path), (1, []))
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or error}.") from error
    except csv.Error as error:
        raise DataFileError(f"{path} is not a readable CSV file: {error}.") from error
    return [(title, field_of(title)) for title in titles]


def unpack_workbook(path: Path, *, limit: int) -> None:
    """Put the rows of an Excel workbook in its place: read once, since reading takes long. Others stay.

    Raises DataFileError when it is none, or holds more than `limit` bytes once unpacked.
    """
    with path.open("rb") as file:
        if file.read(len(_ZIP)) != _ZIP:
            return
    try:
        with ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except BadZipFile as error:
        raise DataFileError(f"{path} is not a readable Excel workbook (.xlsx).") from error
    if size > limit:
        raise DataFileError(f"{path} is too large once unpacked: save it as CSV UTF-8.")
    part = path.with_name(f".{path.name}.part")
    with part.open("w", encoding="utf-8", newline="") as file:
        file.writelines(f"{_RECORD}{json.dumps(row)}\n" for _, row in _excel_rows(path))
    part.replace(path)


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open("rb") as file:
        start = file.read(len(_ZIP))
    if start == _ZIP:
        return _excel_rows(path)
    return _unpacked_rows(path) if start[:1] == _RECORD.encode() else _csv_rows(path)


def _unpacked_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    with path.open(encoding="utf-8", newline="\n") as file:
        try:
            for line, record in enumerate(file, start=1):
                yield line, [str(cell) for cell in json.loads(record.removeprefix(_RECORD))]
        except (ValueError, TypeError) as error:
            raise DataFileError(f"{path} is not a readable CSV file: line {line}.") from error


def _table(
    path: Path, rows: list[tuple[int, list[str]]], start: int, fields: dict[int, str], width: int
) -> Table:
    index = pd.RangeIndex(start, start + len(rows))
    fitted = [_fitted(row, width) for _, row in rows]
    columns = list(zip(*fitted, strict=True)) or [()] * width
    cells = {field: pd.Series(columns[at], index=index, dtype=object) for at, field in fields.items()}
    return Table(
        path=path,
        cells=pd.DataFrame(cells, index=index),
        lines=pd.Series([line for line, _ in rows], index=index, dtype=int),
        widths=pd.Series([len(row) for _, row in rows], index=index, dtype=int),
        width=width,
    )


def _fields(path: Path, titles: list[str]) -> dict[int, str]:
    """The known columns by position."""
    if pd.Series(titles, dtype=object).str.contains(_UNDECODABLE).any():
        raise DataFileError(
            f"{path} is not UTF-8 text: save it as “CSV UTF-8” or as an Excel workbook (.xlsx)."
        )
    fields = {position: field for position, title in enumerate(titles) if (field := field_of(title))}
    if len(set(fields.values())) < len(fields):
        raise DataFileError(f"{path} has two columns for the same thing: {', '.join(titles)}.")
    return fields


def _fitted(row: list[str], width: int) -> list[str]:
    return row if len(row) == width else [*row, *[""] * width][:width]


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # A byte that is not UTF-8 becomes a surrogate, which no text may hold: it costs its row, not the file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline(_MAX_HEADER)
        file.seek(0)
        delimiter = ";" if header.count(";") > header.count(",") else ","
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        line = 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
        except csv.Error as error:
            raise csv.Error(f"line {line}: {error}") from error


def _excel_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of the first sheet."""
    try:
        sheet = pd.read_excel(path, header=None, dtype=object, na_filter=False, engine="openpyxl")
    except (BadZipFile, zlib.error, ParseError, EOFError, KeyError, ValueError) as error:
        raise DataFileError(f"{path} is not a readable Excel workbook (.xlsx).") from error
    texts = sheet.map(_text)
    return (
        (line, [str(cell) for cell in row]) for line, row in enumerate(texts.to_numpy().tolist(), start=1)
    )


def _text(value: Any) -> str:
    """As it would stand in a CSV. Dates are cells of their own kind in Excel."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    return "" if pd.isna(value) else str(value)
