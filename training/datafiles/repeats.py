"""Which rows repeat an earlier one, found without holding the rows: 32 bytes each are enough to tell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.datafiles.cells import DERIVED, derive_ids
from training.ml.records import COLUMNS, SCORE_COLUMNS

_ENTRY = np.dtype([("id", "S16"), ("content", "u8"), ("position", "i4"), ("line", "i4")])
# `fields` has a bit for each of COLUMNS that differs in a way that matters.
_REPEATED = np.dtype([("position", "i4"), ("line", "i4"), ("line_before", "i4"), ("fields", "u2")])
_SCORES = sum(1 << COLUMNS.index(field) for field in SCORE_COLUMNS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Repetition:
    """A row whose id came before, on line `line_before`; `fields` differ in a way that matters."""

    position: int
    line: int
    line_before: int
    fields: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        same = f"The same report as line {self.line_before}"
        return f"{same}, which is kept, with another {', '.join(self.fields)}" if self.fields else same


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Repetitions:
    """Rows whose ids came before, by position: 14 bytes each."""

    rows: npt.NDArray[np.void]

    def __iter__(self) -> Iterator[Repetition]:
        for position, line, line_before, bits in self.rows.tolist():
            fields = tuple(name for at, name in enumerate(COLUMNS) if bits & 1 << at)
            yield Repetition(position=position, line=line, line_before=line_before, fields=fields)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def positions(self) -> "npt.NDArray[np.int32]":
        return self.rows["position"]

    @property
    def same(self) -> "Repetitions":
        """Those that say the same again."""
        return Repetitions(rows=self.rows[self.rows["fields"] == 0])

    @property
    def others(self) -> "Repetitions":
        """Those that say something else."""
        return Repetitions(rows=self.rows[self.rows["fields"] != 0])

    def between(self, first: int, end: int) -> "Repetitions":
        """Those at the positions first … end - 1."""
        begin, stop = np.searchsorted(self.positions, [first, end])
        return Repetitions(rows=self.rows[begin:stop])

    def __add__(self, more: "Repetitions") -> "Repetitions":
        rows = np.concatenate([self.rows, more.rows])
        return Repetitions(rows=rows[np.argsort(rows["position"], kind="stable")])


@dataclass(frozen=True, slots=True)
class Ledger:
    """The digests of all rows so far. Two ids share one with a probability below 1e-26 at a million rows."""

    entries: list[npt.NDArray[np.void]] = field(default_factory=list)

    def enter(self, frame: pd.DataFrame, lines: "pd.Series[int]") -> None:
        """Frames of `training.ml.records` whose index, and that of `lines`, is the rows' positions."""
        entries = np.empty(len(frame), dtype=_ENTRY)
        entries["id"] = digests(frame["anomaly_id"].tolist())
        entries["content"] = _contents(frame)
        entries["position"] = frame.index
        entries["line"] = lines.loc[frame.index]
        self.entries.append(entries)

    def repetitions(self) -> tuple[Repetitions, pd.Index]:
        """The exact duplicates, and the positions of the rows that must be compared field by field."""
        entries = self._all()
        order = np.argsort(entries["id"], kind="stable")
        ids = entries["id"][order]
        again = np.flatnonzero(ids[1:] == ids[:-1]) + 1
        # The rows of one id stand together, the earliest first: before each run of repetitions.
        runs = np.maximum.accumulate(np.where(np.diff(again, prepend=-1) > 1, again - 1, 0))
        before, repeated = entries[order[runs]], entries[order[again]]
        same = before["content"] == repeated["content"]
        unclear = np.unique([before[~same]["position"], repeated[~same]["position"]])
        return _repetitions(repeated[same], before[same]["line"]), pd.Index(unclear, dtype=int)

    def lines(self, positions: pd.Index) -> "pd.Series[int]":
        entries = self._all()
        at = np.searchsorted(entries["position"], positions)
        return pd.Series(entries["line"][at], index=positions)

    def _all(self) -> "npt.NDArray[np.void]":
        self.entries[:] = [np.concatenate(self.entries)]
        return self.entries[0]


def _repetitions(rows: "npt.NDArray[np.void]", lines_before: "npt.NDArray[np.int32]") -> Repetitions:
    repeated = np.zeros(len(rows), dtype=_REPEATED)
    repeated["position"], repeated["line"] = rows["position"], rows["line"]
    repeated["line_before"] = lines_before
    return Repetitions(rows=np.sort(repeated, order="position"))


def digests(ids: Iterable[str]) -> "npt.NDArray[np.bytes_]":
    """16 bytes for each. (NumPy drops NULs at the end, which makes no two of one length the same.)"""
    return np.array([blake2b(text.encode(), digest_size=16).digest() for text in ids], dtype="S16")


def compare(frames: Iterable[pd.DataFrame], lines: "pd.Series[int]") -> Repetitions:
    """The rows whose id came before in the frames, compared field by field with the first of that id.

    Of a derived id other fields than the scores may differ: equipment, text and time do not.
    Of each row 100 bytes are held, however long its texts.
    """
    parts = [
        (
            digests(frame["anomaly_id"].tolist()),
            np.column_stack([pd.util.hash_array(frame[column].to_numpy()) for column in COLUMNS]),
            _derived(frame).to_numpy(),
            frame.index.to_numpy(),
        )
        for frame in frames
    ]
    ids, hashes, derived, positions = (np.concatenate(each) for each in zip(*parts, strict=True))
    _, firsts, inverse = np.unique(ids, return_index=True, return_inverse=True)
    first = firsts[inverse]
    again = np.flatnonzero(first != np.arange(len(ids)))
    bits = ((hashes[again] != hashes[first[again]]) << np.arange(len(COLUMNS))).sum(axis=1)
    repeated = np.zeros(len(again), dtype=_REPEATED)
    repeated["position"], repeated["line"] = positions[again], lines.loc[positions[again]]
    repeated["line_before"] = lines.loc[positions[first[again]]]
    repeated["fields"] = np.where(derived[again] & (bits & _SCORES == 0), 0, bits)
    return Repetitions(rows=repeated)


def _contents(frame: pd.DataFrame) -> "npt.NDArray[np.generic]":
    """One number for what must not differ: the scores of a derived id, everything of a given one."""
    given = (~_derived(frame)).to_numpy()
    contents = pd.util.hash_pandas_object(frame.loc[:, list(SCORE_COLUMNS)], index=False).to_numpy(copy=True)
    if given.any():
        contents[given] = pd.util.hash_pandas_object(frame.loc[given, list(COLUMNS)], index=False)
    return contents


def _derived(frame: pd.DataFrame) -> "pd.Series[bool]":
    may_be = [text.startswith(DERIVED) for text in frame["anomaly_id"].tolist()]
    derived = pd.Series(may_be, index=frame.index, dtype=bool)
    derived[derived] = frame.loc[derived, "anomaly_id"] == derive_ids(frame[derived])
    return derived
