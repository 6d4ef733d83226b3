"""Read anomalies from files: recognise the columns, check every row, give ids, find what repeats."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from training.datafiles.cells import CUSTOMER_FILES, derive_ids, restore
from training.datafiles.checks import find_faults, parse_scores, parse_times
from training.datafiles.tables import DataFileError, Table, read_table
from training.ml.records import COLUMNS, SCORE_COLUMNS, TEXT_COLUMNS

OPTIONAL = ("system", "section", "detected_at")
_REQUIRED_TEXTS = ("description", "equipment_name", "equipment_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class RowProblem:
    """A row that is left out, and why. `line` is where it begins in `file`."""

    file: str
    line: int
    message: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRecords:
    """What files hold. rows_read = rows of `frame` + `duplicates` + refused rows.

    `frame` has the columns of `training.ml.records`, rows in the files' order; `problems` has one entry
    for each thing that is wrong; `unstated` names the optional columns that the files do not have.
    """

    frame: pd.DataFrame
    problems: list[RowProblem]
    duplicates: list[RowProblem]
    rows_read: int
    unstated: tuple[str, ...] = ()

    @property
    def rows_refused(self) -> int:
        return self.rows_read - len(self.frame) - len(self.duplicates)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Source:
    """The rows of all files together, and which file each column comes from."""

    cells: pd.DataFrame
    owner: dict[str, Table]

    @property
    def first(self) -> Table:
        return self.owner["description"]

    def problem(self, position: int, field: str, message: str) -> RowProblem:
        table = self.owner[field]
        return RowProblem(file=str(table.path), line=table.lines[position], message=message)


def read_files(paths: Sequence[Path]) -> FileRecords:
    """The anomalies of the customer's three files, in any order, or of one file with all three scores.

    Texts are kept to the letter. A row without an id gets one derived from equipment, text and time.
    Of rows with the same id the first good one is kept: another with the same content is a duplicate
    (without ids of their own: the same equipment, text, time and scores), any other a problem.
    Raises DataFileError when the files cannot be used at all.
    """
    source = _read_source(paths)
    problems = {position: [problem] for position, problem in _ragged(source)}
    for position, field, message in find_faults(source.cells.drop(index=list(problems))):
        problems.setdefault(position, []).append(source.problem(position, field, message))
    frame = _parse(source.cells.drop(index=list(problems)))
    duplicates = []
    for position, problem, is_duplicate in _repeated(frame, source):
        if is_duplicate:
            duplicates.append(problem)
        else:
            problems[position] = [problem]
    return FileRecords(
        frame=frame.drop_duplicates("anomaly_id").reset_index(drop=True),
        problems=[problem for _, row in sorted(problems.items()) for problem in row],
        duplicates=duplicates,
        rows_read=len(source.cells),
        unstated=tuple(field for field in OPTIONAL if field not in source.cells),
    )


def read_customer_directory(directory: Path) -> pd.DataFrame:
    """Exactly the frame that `write_customer_files` wrote there, ids included. Raises DataFileError."""
    source = _read_source([directory / name for name in CUSTOMER_FILES.values()])
    for _, problem in _ragged(source):
        raise DataFileError(f"{problem.file}:{problem.line}: {problem.message}.")
    frame = _parse(source.cells)
    unreadable = frame[list(SCORE_COLUMNS)].isna().any(axis="columns")
    if "detected_at" in source.cells:
        unreadable |= frame["detected_at"].isna() & (source.cells["detected_at"] != "")
    if unreadable.any():
        line = source.first.lines[int(unreadable.argmax())]
        raise DataFileError(f"{directory}: a score or the time on line {line} cannot be read.")
    return frame


def _read_source(paths: Sequence[Path]) -> _Source:
    tables = [read_table(path) for path in paths]
    for table in tables:
        if missing := [field for field in _REQUIRED_TEXTS if field not in table.cells]:
            raise DataFileError(
                f"{table.path} holds no anomalies: it has no column for {', '.join(missing)}."
            )
    scores = {field: table for table in tables for field in SCORE_COLUMNS if field in table.cells}
    if len(scores) < 3 or len(tables) not in {1, 3} or len(set(map(id, scores.values()))) < len(tables):
        raise DataFileError(
            "Give the customer's three files together, or one file with all three scores; found "
            + "; ".join(f"{table.path}: {_found_scores(table)}" for table in tables)
            + "."
        )
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
    if len(first.cells) != len(other.cells):
        raise DataFileError(
            f"{first.path} has {len(first.cells)} rows, {other.path} {len(other.cells)}: "
            "the three files must have the same rows in the same order."
        )
    ours, theirs = (
        table.cells.drop(columns=list(SCORE_COLUMNS), errors="ignore") for table in (first, other)
    )
    if set(ours) != set(theirs):
        raise DataFileError(f"{first.path} and {other.path} have different columns beside the score.")
    differs = (ours != theirs[list(ours)]).any(axis="columns") & ~first.ragged & ~other.ragged
    if differs.any():
        row = int(differs.argmax())
        raise DataFileError(
            f"{first.path}:{first.lines[row]} and {other.path}:{other.lines[row]} are different reports: "
            "the three files must have the same rows in the same order."
        )


def _restored(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(**{field: restore(cells[field]) for field in TEXT_COLUMNS if field in cells})


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


def _repeated(frame: pd.DataFrame, source: _Source) -> Iterator[tuple[int, RowProblem, bool]]:
    """The rows whose id came before: position, what to say, and whether it is a mere duplicate."""
    again = frame[frame["anomaly_id"].duplicated()]
    first = pd.Series(frame.index, index=frame["anomaly_id"])
    first = first[~first.index.duplicated()].loc[again["anomaly_id"]]
    before = frame.loc[first].set_axis(again.index)
    differs = (again != before) & ~(again.isna() & before.isna())
    derived = again["anomaly_id"] == derive_ids(again)
    for position, earlier, flags in zip(again.index, first, differs.to_numpy(), strict=True):
        line = source.first.lines[earlier]
        fields = [field for field, flag in zip(COLUMNS, flags, strict=True) if flag]
        is_duplicate = not fields or (derived[position] and not set(fields) & set(SCORE_COLUMNS))
        message = (
            f"The same report as line {line}"
            if is_duplicate
            else f"The same report as line {line}, which is kept, with another {', '.join(fields)}"
        )
        yield position, source.problem(position, "description", message), is_duplicate
