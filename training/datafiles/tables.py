"""One file as a table of texts: which rows, on which lines, under which of our columns."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TextIO

import pandas as pd

from training.datafiles.cells import field_of
from training.datafiles.errors import DataFileError
from training.datafiles.sheets import MOST_COLUMNS, MOST_TEXT
from training.datafiles.workbooks import is_workbook, read_workbook

MOST_BLANK = 1_048_576  # rows without any text: as many as a sheet of Excel has at all
PIECE = 5_000  # rows read at a time: bounds memory
PIECE_TEXT = 4_000_000  # characters of a piece's cells: bounds memory when cells are long
MOST_ROW = 1_000_000  # characters of a row in a CSV
_MAX_HEADER = 65_536  # characters
_SHOWN = 100  # characters of a title
_UNDECODABLE = r"[\ud800-\udfff]"

csv.field_size_limit(
    MOST_ROW
)  # of the whole process: a cell too long for its column costs its row, not the file


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A piece of a file: its known columns, as text (object dtype); rows without any text left out.

    The index goes on from piece to piece. `lines` has the line (CSV) or row (Excel) on which each row
    begins, `widths` its number of cells, both under the same index. Texts are cut off where no column
    holds as much.
    """

    path: Path
    cells: pd.DataFrame
    lines: "pd.Series[int]"
    widths: "pd.Series[int]"
    width: int  # cells in the header
    titles: list[tuple[str, str | None]]  # each with the column of ours that it stands for

    @property
    def ragged(self) -> "pd.Series[bool]":
        """Which rows have too few or too many cells: theirs may stand under the wrong columns."""
        return self.widths != self.width

    def line_at(self, position: int) -> int:
        return int(self.lines.array[position - self.lines.index[0]])


# Its line, how many cells it has, those under known columns, how many characters these have.
Row = tuple[int, int, tuple[str, ...], int]


class _File:
    """An opened file: its titles, and the rest of its rows. Raises DataFileError wherever it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._rows = _filled(_rows(path), path)
        _, self.titles = next(self._rows, (0, []))
        self.fields = _fields(path, self.titles)

    def rows(self) -> Iterator[Row]:
        """Those that hold any text. What stands under other columns than ours is not kept."""
        positions, width = list(self.fields), len(self.titles)
        for line, row in self._rows:
            whole = row if len(row) >= width else [*row, *[""] * (width - len(row))]
            cells = tuple([whole[at] for at in positions])
            length = sum(map(len, cells))
            if length > MOST_TEXT:
                cells = tuple(cell[:MOST_TEXT] for cell in cells)  # still too long, and said to be
                length = sum(map(len, cells))
            yield line, len(row), cells, length

    def table(self, rows: Sequence[Row], start: int) -> Table:
        index = pd.RangeIndex(start, start + len(rows))
        columns = list(zip(*(cells for _, _, cells, _ in rows), strict=True)) or [()] * len(self.fields)
        cells = {
            field: pd.Series(texts, index=index, dtype=object)
            for field, texts in zip(self.fields.values(), columns, strict=True)
        }
        return Table(
            path=self.path,
            cells=pd.DataFrame(cells, index=index),
            lines=pd.Series([row[0] for row in rows], index=index, dtype=int),
            widths=pd.Series([row[1] for row in rows], index=index, dtype=int),
            width=len(self.titles),
            titles=[(title[:_SHOWN], field_of(title)) for title in self.titles if title.strip()],
        )


def read_tables(path: Path) -> Iterator[Table]:
    """The file in pieces, the last one shorter, maybe empty. Raises DataFileError."""
    for (table,) in read_side_by_side([path]):
        yield table


def read_side_by_side(paths: Sequence[Path]) -> Iterator[tuple[Table, ...]]:
    """Files in pieces of the same rows: PIECE of them, or fewer where they are long; the last ones shorter.

    As long as no file ends, the pieces are of one length, and so are the rests of the files.
    Raises DataFileError.
    """
    files = [_File(path) for path in paths]
    together = zip_longest(*(file.rows() for file in files))
    start, ended = 0, False
    while not ended:
        pieces: list[list[Row]] = [[] for _ in files]
        text, ended = 0, True
        for taken, rows in enumerate(together, 1):
            for piece, row in zip(pieces, rows, strict=True):
                if row is not None:
                    piece.append(row)
                    text += row[3]
            if taken == PIECE or text > PIECE_TEXT:
                ended = False
                break
        yield tuple(file.table(piece, start) for file, piece in zip(files, pieces, strict=True))
        start += max(map(len, pieces))


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Each with its line. Raises DataFileError."""
    try:
        yield from read_workbook(path) if is_workbook(path) else _csv_rows(path)
    except OSError as error:
        raise DataFileError(f"{path} cannot be read: {error.strerror or error}.") from error


def _filled(rows: Iterator[tuple[int, list[str]]], path: Path) -> Iterator[tuple[int, list[str]]]:
    """Those that hold any text. Raises DataFileError when the others are more than MOST_BLANK."""
    blank = 0
    for line, row in rows:
        if (row and row[0].strip()) or "".join(row).strip():
            yield line, row
            continue
        blank += 1
        if blank > MOST_BLANK:
            raise DataFileError(f"{path} has more than {MOST_BLANK:,} empty lines: delete them.")


def _fields(path: Path, titles: list[str]) -> dict[int, str]:
    """The known columns by position."""
    if sum(bool(title.strip()) for title in titles) > MOST_COLUMNS:
        raise DataFileError(f"{path} has more than {MOST_COLUMNS} columns: keep those that count.")
    if pd.Series(titles, dtype=object).str.contains(_UNDECODABLE).any():
        raise DataFileError(
            f"{path} is not UTF-8 text: save it as “CSV UTF-8” or as an Excel workbook (.xlsx)."
        )
    fields = {position: field for position, title in enumerate(titles) if (field := field_of(title))}
    twice = {field for field, times in Counter(fields.values()).items() if times > 1}
    if twice:
        alike = [title[:_SHOWN] for at, title in enumerate(titles) if fields.get(at) in twice]
        raise DataFileError(f"{path} has two columns for the same thing: {', '.join(alike[:10])}.")
    return fields


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # A byte that is not UTF-8 becomes a surrogate, which no text may hold: it costs its row, not the file.
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        header = file.readline(_MAX_HEADER)
        file.seek(0)
        lines = _BoundedLines(file)
        reader = csv.reader(lines, delimiter=_delimiter(header), strict=True)
        line = 1
        try:
            for row in reader:
                yield line, row
                line = reader.line_num + 1
                lines.begin_row()
        except csv.Error as error:
            raise DataFileError(f"{path} is not a readable CSV file: line {line}: {error}.") from error


def _delimiter(header: str) -> str:
    return ";" if header.count(";") > header.count(",") else ","


class _BoundedLines:
    """The lines of a file, no more than MOST_ROW characters of them for a row."""

    def __init__(self, file: TextIO) -> None:
        self._file = file
        self._left = MOST_ROW

    def begin_row(self) -> None:
        self._left = MOST_ROW

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise csv.Error(f"a row is longer than {MOST_ROW:,} characters; perhaps a quote is not closed")
        if not line:
            raise StopIteration
        return line
