"""Read anomalies from files: recognise the columns, check every row, give ids, find what repeats."""

import csv
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd

from training.datafiles import tables
from training.datafiles.cells import BESIDE_THE_SCORE, CUSTOMER_FILES, customer_titles, derive_ids, restore
from training.datafiles.checks import find_faults, parse_scores, parse_times
from training.datafiles.repeats import Ledger, Repetition, compare
from training.datafiles.tables import DataFileError, Table, read_tables
from training.ml.records import COLUMNS, SCORE_COLUMNS, TEXT_COLUMNS

OPTIONAL = ("system", "section", "detected_at")
_WANTED = "Give the customer's three files together, or one file with all three scores"
_REQUIRED_TEXTS = ("description", "equipment_name", "equipment_id")
_SLICE = 250  # rows taken apart at a time: few enough that the garbage collector hardly looks at them


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """A row that is left out, and why. `line` is where it begins in `file`."""

    file: str
    line: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecords:
    """What files hold. rows_read = `rows_kept` + `duplicates` + refused rows.

    `problems` has one entry for each thing that is wrong; `unstated` names the optional columns that the
    files do not have. The good rows themselves are not held: they are read again from the files.
    """

    paths: tuple[Path, ...]
    problems: list[RowProblem]
    duplicates: list[RowProblem]
    rows_read: int
    rows_kept: int
    unstated: tuple[str, ...]
    left_out: "set[int]"  # positions
    reasons: dict[int, str]  # of the refused rows, by position
    stamps: list[tuple[int, int]]

    @property
    def rows_refused(self) -> int:
        return self.rows_read - self.rows_kept - len(self.duplicates)

    @property
    def frame(self) -> pd.DataFrame:
        """All good rows at once, index 0 … n-1."""
        return pd.concat(self.frames(), ignore_index=True)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The good rows, in the files' order and piece by piece, with the columns of `training.ml.records`.

        Raises DataFileError when a file is not the one that was checked.
        """
        for source in _read_sources(self.paths):
            yield _parse(source.cells.drop(index=list(self.left_out.intersection(source.cells.index))))
        if _stamps(self.paths) != self.stamps:
            raise DataFileError("A file was changed while it was read: try again.")

    def refused(self) -> Iterator[pd.DataFrame]:
        """The refused rows as the files have them, piece by piece, each with its `line` and its `reason`."""
        for source in _read_sources(self.paths):
            positions = source.cells.index.intersection(sorted(self.reasons))
            if len(positions):
                reasons = [self.reasons[position] for position in positions]
                lines = source.first.lines.loc[positions]
                yield source.cells.loc[positions].assign(line=lines, reason=reasons)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """Some rows of all files together, and which file each column comes from."""

    cells: pd.DataFrame
    owner: dict[str, Table]

    @property
    def first(self) -> Table:
        return self.owner["description"]

    def problem(self, position: int, field: str, message: str) -> RowProblem:
        table = self.owner[field]
        return RowProblem(file=str(table.path), line=int(table.lines[position]), message=message)


def read_files(paths: Sequence[Path]) -> FileRecords:
    """The anomalies of the customer's three files, in any order, or of one file with all three scores.

    Texts are kept to the letter. A row without an id gets one derived from equipment, text and time.
    Of rows with the same id the first good one is kept: another with the same content is a duplicate
    (without ids of their own: the same equipment, text, time and scores), any other a problem.
    Raises DataFileError when the files cannot be used at all.
    """
    stamps, rows_read = _stamps(paths), 0
    problems: dict[int, list[RowProblem]] = {}
    ledger = Ledger()
    for source in _read_sources(paths):
        wrong = _problems(source)
        sound = source.cells.drop(index=list(wrong))
        ledger.enter(_parse(sound), source.first.lines)
        problems |= wrong
        rows_read += len(source.cells)
    duplicates = {}
    for repetition in _repetitions(paths, ledger):
        problem = RowProblem(file=str(paths[0]), line=repetition.line, message=repetition.message)
        if repetition.fields:
            problems[repetition.position] = [problem]
        else:
            duplicates[repetition.position] = problem
    return FileRecords(
        paths=tuple(paths),
        problems=[problem for _, row in sorted(problems.items()) for problem in row],
        reasons={
            position: "; ".join(problem.message for problem in row) for position, row in problems.items()
        },
        duplicates=[problem for _, problem in sorted(duplicates.items())],
        rows_read=rows_read,
        rows_kept=rows_read - len(problems) - len(duplicates),
        unstated=tuple(field for field in OPTIONAL if field not in source.cells),
        left_out={*problems, *duplicates},
        stamps=stamps,
    )


def read_customer_directory(directory: Path) -> Iterator[pd.DataFrame]:
    """Exactly the rows that `write_customer_files` wrote there, ids included, piece by piece.

    Raises DataFileError.
    """
    read = yield from _read_quickly(directory)
    if read is not None:
        yield from islice(_read_plainly(directory), read, None)


def _read_plainly(directory: Path) -> Iterator[pd.DataFrame]:
    """As any files are read, and what is wrong is said. Raises DataFileError."""
    for source in _read_sources([directory / name for name in CUSTOMER_FILES.values()]):
        for _, problem in _ragged(source):
            raise DataFileError(f"{problem.file}:{problem.line}: {problem.message}.")
        frame = _parse(source.cells)
        unreadable = _unreadable(frame, source.cells)
        if unreadable.any():
            line = source.first.lines[unreadable].iloc[0]
            raise DataFileError(f"{directory}: a score or the time on line {line} cannot be read.")
        yield frame


def _read_quickly(directory: Path) -> Generator[pd.DataFrame, None, int | None]:
    """The same pieces in half the time; ends where the files are not what `write_customer_files` writes.

    Returns how many pieces it gave by then, None when those were all.
    """
    pieces, read = _aligned_pieces(directory), 0
    while True:
        try:
            cells = pd.DataFrame(next(pieces), dtype=object)
        except StopIteration:
            return None
        except (OSError, ValueError, csv.Error):
            return read
        cells.index += read * tables.PIECE
        frame = _parse(_restored(cells))
        if _unreadable(frame, cells).any():
            return read
        yield frame
        read += 1


def _aligned_pieces(directory: Path) -> Iterator[dict[str, list[str]]]:
    """Cells by column. Raises OSError, ValueError or csv.Error when it is not what was written there."""
    with ExitStack() as stack:
        paths = [directory / name for name in CUSTOMER_FILES.values()]
        files = [stack.enter_context(path.open(encoding="utf-8", newline="")) for path in paths]
        rows = zip(*(csv.reader(file, strict=True) for file in files), strict=True)
        titles = next(rows, ([], [], []))
        with_ids = "anomaly_id" in titles[0]
        if list(titles) != [customer_titles(field, with_ids=with_ids) for field in CUSTOMER_FILES]:
            raise ValueError("other columns")
        names = [*BESIDE_THE_SCORE, *(["anomaly_id"] if with_ids else []), *CUSTOMER_FILES]
        length = tables.PIECE
        while length == tables.PIECE:
            columns: list[list[str]] = [[] for _ in names]
            while some := list(islice(rows, min(_SLICE, tables.PIECE - len(columns[0])))):
                for column, more in zip(columns, _aligned(some), strict=True):
                    column.extend(more)
            yield dict(zip(names, columns, strict=True))
            length = len(columns[0])


def _aligned(rows: Sequence[Sequence[list[str]]]) -> list[tuple[str, ...]]:
    """Rows of the three files as columns, what they share once and then the scores. Raises ValueError."""
    at = len(BESIDE_THE_SCORE)
    files = [list(zip(*file, strict=True)) for file in zip(*rows, strict=True)]
    scores = [column for file in files for column in file[at : at + 1]]
    shared, *others = (file[:at] + file[at + 1 :] for file in files)
    if others != [shared, shared]:
        raise ValueError("other rows")
    return [*shared, *scores]


def _unreadable(frame: pd.DataFrame, cells: pd.DataFrame) -> "pd.Series[bool]":
    """The rows whose cells hold a score or a time that is none."""
    unreadable = frame[list(SCORE_COLUMNS)].isna().any(axis="columns")
    if "detected_at" in cells:
        unreadable |= frame["detected_at"].isna() & (cells["detected_at"] != "")
    return unreadable


def _stamps(paths: Sequence[Path]) -> list[tuple[int, int]]:
    """What tells that a file was changed. A missing one is told of by who reads it."""
    return [(path.stat().st_size, path.stat().st_mtime_ns) for path in paths if path.exists()]


def _read_sources(paths: Sequence[Path]) -> Iterator[_Source]:
    """The files side by side, at least one piece, maybe empty. Raises DataFileError."""
    if not paths:
        raise DataFileError(_WANTED)
    # As long as the pieces are of one length, so are the rests of the files.
    for pieces in zip(*map(read_tables, paths), strict=True):
        yield _source(pieces)


def _source(tables: Sequence[Table]) -> _Source:
    for table in tables:
        if missing := [field for field in _REQUIRED_TEXTS if field not in table.cells]:
            raise DataFileError(
                f"{table.path} holds no anomalies: it has no column for {', '.join(missing)}."
            )
    scores = {field: table for table in tables for field in SCORE_COLUMNS if field in table.cells}
    if len(scores) < 3 or len(tables) not in {1, 3} or len(set(map(id, scores.values()))) < len(tables):
        found = "; ".join(f"{table.path}: {_found_scores(table)}" for table in tables)
        raise DataFileError(f"{_WANTED}; found {found}.")
    for table in tables[1:]:
        _require_alignment(tables[0], table)
    cells = tables[0].cells.drop(columns=list(SCORE_COLUMNS), errors="ignore")
    owner = dict.fromkeys(map(str, cells.columns), tables[0]) | scores
    cells = cells.assign(**{field: table.cells[field] for field, table in scores.items()})
    return _Source(cells=_restored(cells), owner=owner)


def _found_scores(table: Table) -> str:
    return ", ".join(field for field in SCORE_COLUMNS if field in table.cells) or "no score"


def _require_alignment(first: Table, other: Table) -> None:
    """The same reports on the same rows, or the scores would go to other anomalies."""
    ours, theirs = (
        table.cells.drop(columns=list(SCORE_COLUMNS), errors="ignore") for table in (first, other)
    )
    if set(ours) != set(theirs):
        raise DataFileError(f"{first.path} and {other.path} have different columns beside the score.")
    if len(ours) != len(theirs):
        _require_equal_lengths(first.path, other.path)
    differs = (ours != theirs[list(ours)]).any(axis="columns") & ~first.ragged & ~other.ragged
    if differs.any():
        _require_equal_lengths(first.path, other.path)
        row = int(differs.argmax())
        raise DataFileError(
            f"{first.path}:{first.lines.iloc[row]} and {other.path}:{other.lines.iloc[row]} are different "
            "reports: the three files must have the same rows in the same order."
        )


def _require_equal_lengths(first: Path, other: Path) -> None:
    """Of files that differ: a row missing in one says more than the first two rows that do not match."""
    rows, others = (sum(len(table.cells) for table in read_tables(path)) for path in (first, other))
    if rows != others:
        raise DataFileError(
            f"{first} has {rows} rows, {other} {others}: "
            "the three files must have the same rows in the same order."
        )


def _restored(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(**{field: restore(cells[field]) for field in TEXT_COLUMNS if field in cells})


def _problems(source: _Source) -> dict[int, list[RowProblem]]:
    """What is wrong, by the rows' positions."""
    problems = {position: [problem] for position, problem in _ragged(source)}
    for position, field, message in find_faults(source.cells.drop(index=list(problems))):
        problems.setdefault(position, []).append(source.problem(position, field, message))
    return problems


def _ragged(source: _Source) -> Iterator[tuple[int, RowProblem]]:
    """The rows with too few or too many cells, by position; the first file that has it speaks."""
    seen: set[int] = set()
    for field in ("description", *SCORE_COLUMNS):
        table = source.owner[field]
        for position in table.cells.index[table.ragged].difference(list(seen)):
            seen.add(position)
            message = f"The row has {table.widths[position]} cells, the header {table.width}"
            yield position, source.problem(position, field, message)


def _parse(cells: pd.DataFrame) -> pd.DataFrame:
    """The frame of sound cells, index kept."""
    blank = pd.Series("", index=cells.index, dtype=object)
    texts = {field: cells.get(field, blank).astype("str") for field in TEXT_COLUMNS}
    scores = {field: parse_scores(cells[field]) for field in SCORE_COLUMNS}
    times = parse_times(cells.get("detected_at", blank))
    frame = pd.DataFrame({**texts, "detected_at": times, **scores})[list(COLUMNS)]
    given = frame["anomaly_id"].str.strip() != ""
    return frame.assign(anomaly_id=frame["anomaly_id"].where(given, derive_ids(frame)))


def _repetitions(paths: Sequence[Path], ledger: Ledger) -> Iterator[Repetition]:
    """All rows whose id came before. Where the content differs, both rows are read again and compared."""
    duplicates, unclear = ledger.repetitions()
    yield from duplicates
    if len(unclear):
        rows = [
            _parse(source.cells.loc[source.cells.index.intersection(unclear)])
            for source in _read_sources(paths)
        ]
        yield from compare(pd.concat(rows), ledger.lines(unclear))
