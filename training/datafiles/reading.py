"""Read anomalies from files: recognise the columns, check every row, give ids, find what repeats."""

import csv
from array import array
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.datafiles import tables
from training.datafiles.cells import BESIDE_THE_SCORE, CUSTOMER_FILES, customer_titles, derive_ids, restore
from training.datafiles.checks import find_faults, parse_scores, parse_times
from training.datafiles.errors import DataFileError
from training.datafiles.repeats import Ledger, Repetition, Repetitions, compare
from training.datafiles.spool import Piece, Problem, Problems, Spool
from training.datafiles.tables import Table, read_side_by_side, read_tables
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


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FileRecords:
    """What files hold. rows_read = `rows_kept` + `rows_duplicate` + `rows_refused`.

    The files are read once: their rows wait in `spool`, outside of memory. `unstated` names the optional
    columns that the files do not have.
    """

    paths: tuple[Path, ...]
    titles: list[list[tuple[str, str | None]]]  # of each file, with the columns of ours
    rows_read: int
    problem_count: int  # of the things that are wrong, several perhaps in a row
    unstated: tuple[str, ...]
    unsound: "npt.NDArray[np.int32]"  # positions of the rows that are wrong in themselves, ascending
    repetitions: Repetitions
    spool: Spool

    @property
    def rows_refused(self) -> int:
        return len(self.unsound) + len(self.repetitions.others)

    @property
    def rows_duplicate(self) -> int:
        return len(self.repetitions.same)

    @property
    def rows_kept(self) -> int:
        return self.rows_read - len(self.unsound) - len(self.repetitions)

    @property
    def frame(self) -> pd.DataFrame:
        """All good rows at once, index 0 … n-1."""
        return pd.concat(self.frames(), ignore_index=True)

    def frames(self) -> Iterator[pd.DataFrame]:
        """The good rows, in the files' order, piece by piece, with the columns of `training.ml.records`."""
        left_out = np.union1d(self.unsound, self.repetitions.positions)
        for piece, span in zip(self.spool, self.spool.spans, strict=True):
            yield _parse(piece.cells.drop(index=_between(left_out, *span).tolist()))

    def problems(self) -> Iterator[RowProblem]:
        """Everything that is wrong with the refused rows, in their order."""
        for _, problems in self._refused():
            for _, row in sorted(problems.items()):
                yield from row

    def duplicates(self) -> Iterator[RowProblem]:
        """The rows that say again what an earlier one says."""
        for repetition in self.repetitions.same:
            yield _problem_of(repetition, self.paths)

    def refused(self) -> Iterator[pd.DataFrame]:
        """The refused rows as the files have them, piece by piece, each with its `line` and its `reason`."""
        for piece, problems in self._refused():
            positions = sorted(problems)
            reasons = ["; ".join(problem.message for problem in problems[at]) for at in positions]
            yield piece.cells.loc[positions].assign(line=piece.lines.loc[positions], reason=reasons)

    def _refused(self) -> Iterator[tuple[Piece, dict[int, list[RowProblem]]]]:
        """The pieces that have refused rows, with what is wrong with them by position."""
        for number, span in enumerate(self.spool.spans):
            others = self.repetitions.others.between(*span)
            if not len(others) and not len(_between(self.unsound, *span)):
                continue
            piece = self.spool[number]
            problems = {
                at: [RowProblem(file=file, line=line, message=said) for file, line, said in wrong]
                for at, wrong in piece.problems.items()
            }
            problems |= {each.position: [_problem_of(each, self.paths)] for each in others}
            yield piece, problems


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """Some rows of all files together, and which file each column comes from."""

    cells: pd.DataFrame
    owner: dict[str, Table]
    titles: list[list[tuple[str, str | None]]]

    @property
    def first(self) -> Table:
        return self.owner["description"]

    def problem(self, position: int, field: str, message: str) -> Problem:
        table = self.owner[field]
        return str(table.path), table.line_at(position), message


def read_files(paths: Sequence[Path], *, most_rows: int | None = None) -> FileRecords:
    """The anomalies of the customer's three files, in any order, or of one file with all three scores.

    Texts are kept to the letter. A row without an id gets one derived from equipment, text and time.
    Of rows with the same id the first good one is kept: another with the same content is a duplicate
    (without ids of their own: the same equipment, text, time and scores), any other a problem.
    Raises DataFileError when the files cannot be used at all, or hold more than `most_rows`.
    """
    stamps, rows_read, problem_count = _stamps(paths), 0, 0
    unsound = array("i")
    ledger, spool = Ledger(), Spool()
    for source in _read_sources(paths):
        rows_read += len(source.cells)
        if most_rows is not None and rows_read > most_rows:
            raise DataFileError(
                f"The files hold more than {most_rows:,} rows: divide them, "
                "or use manage.py import_anomalies on the server."
            )
        problems = _problems(source)
        unsound.extend(sorted(problems))
        problem_count += sum(map(len, problems.values()))
        ledger.enter(_parse(source.cells.drop(index=list(problems))), source.first.lines)
        spool.add(Piece(cells=source.cells, lines=source.first.lines, problems=problems))
    if _stamps(paths) != stamps:
        raise DataFileError("A file was changed while it was read: try again.")
    repetitions = _repetitions(spool, ledger)
    return FileRecords(
        paths=tuple(paths),
        titles=source.titles,
        rows_read=rows_read,
        problem_count=problem_count + len(repetitions.others),
        unstated=tuple(field for field in OPTIONAL if field not in source.cells),
        unsound=np.array(unsound, dtype=np.int32),
        repetitions=repetitions,
        spool=spool,
    )


def read_customer_directory(directory: Path) -> Iterator[pd.DataFrame]:
    """Exactly the rows that `write_customer_files` wrote there, ids included, piece by piece.

    Raises DataFileError.
    """
    read = yield from _read_quickly(directory)
    if read is None:
        return
    for frame in _read_plainly(directory):
        if len(rest := frame[frame.index >= read]) or frame.empty:
            yield rest


def _read_plainly(directory: Path) -> Iterator[pd.DataFrame]:
    """As any files are read, and what is wrong is said. Raises DataFileError."""
    for source in _read_sources([directory / name for name in CUSTOMER_FILES.values()]):
        for _, (file, line, message) in _ragged(source):
            raise DataFileError(f"{file}:{line}: {message}.")
        frame = _parse(source.cells)
        unreadable = _unreadable(frame, source.cells)
        if unreadable.any():
            line = source.first.lines[unreadable].iloc[0]
            raise DataFileError(f"{directory}: a score or the time on line {line} cannot be read.")
        yield frame


def _read_quickly(directory: Path) -> Generator[pd.DataFrame, None, int | None]:
    """The same pieces in half the time; ends where the files are not what `write_customer_files` writes.

    Returns how many rows it gave by then, None when those were all.
    """
    pieces, read = _aligned_pieces(directory), 0
    while True:
        try:
            cells = pd.DataFrame(next(pieces), dtype=object)
        except StopIteration:
            return None
        except (OSError, ValueError, csv.Error):
            return read
        cells.index += read
        frame = _parse(_restored(cells))
        if _unreadable(frame, cells).any():
            return read
        yield frame
        read += len(frame)


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
    for pieces in read_side_by_side(paths):
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
    return _Source(cells=_restored(cells), owner=owner, titles=[table.titles for table in tables])


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


def _problems(source: _Source) -> Problems:
    """What is wrong, by the rows' positions."""
    problems = {position: [problem] for position, problem in _ragged(source)}
    for position, field, message in find_faults(source.cells.drop(index=list(problems))):
        problems.setdefault(position, []).append(source.problem(position, field, message))
    return problems


def _ragged(source: _Source) -> Iterator[tuple[int, Problem]]:
    """The rows with too few or too many cells, by position; the first file that has it speaks."""
    seen: set[int] = set()
    for field in ("description", *SCORE_COLUMNS):
        table = source.owner[field]
        widths = table.widths[table.ragged]
        for position, width in zip(widths.index.tolist(), widths.tolist(), strict=True):
            if position not in seen:
                seen.add(position)
                message = f"The row has {width} cells, the header {table.width}"
                yield position, source.problem(position, field, message)


def _parse(cells: pd.DataFrame) -> pd.DataFrame:
    """The frame of sound cells, index kept."""
    blank = pd.Series("", index=cells.index, dtype=object)
    texts = {field: cells.get(field, blank).astype("str") for field in TEXT_COLUMNS}
    scores = {field: parse_scores(cells[field]) for field in SCORE_COLUMNS}
    times = parse_times(cells.get("detected_at", blank))
    frame = pd.DataFrame({**texts, "detected_at": times, **scores})[list(COLUMNS)]
    blank_ids = [not text.strip() for text in frame["anomaly_id"].tolist()]
    if any(blank_ids):
        frame.loc[blank_ids, "anomaly_id"] = derive_ids(frame[blank_ids])
    return frame


def _repetitions(spool: Spool, ledger: Ledger) -> Repetitions:
    """All rows whose id came before. Where the content differs, both rows are taken again and compared."""
    duplicates, unclear = ledger.repetitions()
    if not len(unclear):
        return duplicates
    among = [_between(unclear.to_numpy(), *span) for span in spool.spans]
    frames = (_parse(spool[number].cells.loc[some]) for number, some in enumerate(among) if len(some))
    return duplicates + compare(frames, ledger.lines(unclear))


def _problem_of(repetition: Repetition, paths: Sequence[Path]) -> RowProblem:
    return RowProblem(file=str(paths[0]), line=repetition.line, message=repetition.message)


def _between(positions: "npt.NDArray[np.int32]", first: int, behind: int) -> "npt.NDArray[np.int32]":
    """Those of ascending positions that are at least `first` and before `behind`."""
    begin, end = np.searchsorted(positions, (first, behind))
    return positions[begin:end]
