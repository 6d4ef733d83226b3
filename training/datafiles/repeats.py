"""Which rows repeat an earlier one, found without holding the rows: 32 bytes each are enough to tell."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.datafiles.cells import derive_ids
from training.ml.records import COLUMNS, SCORE_COLUMNS

_ENTRY = np.dtype([("id", "S16"), ("content", "u8"), ("position", "i4"), ("line", "i4")])


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


@dataclass(frozen=True, slots=True)
class Ledger:
    """The digests of all rows so far. Two ids share one with a probability below 1e-26 at a million rows."""

    entries: list[npt.NDArray[np.void]] = field(default_factory=list)

    def enter(self, frame: pd.DataFrame, lines: "pd.Series[int]") -> None:
        """Frames of `training.ml.records` whose index, and that of `lines`, is the rows' positions."""
        entries = np.empty(len(frame), dtype=_ENTRY)
        entries["id"] = digests(frame["anomaly_id"])
        entries["content"] = _contents(frame)
        entries["position"] = frame.index
        entries["line"] = lines.loc[frame.index]
        self.entries.append(entries)

    def repetitions(self) -> tuple[list[Repetition], pd.Index]:
        """The exact duplicates, and the positions of the rows that must be compared field by field."""
        entries = self._all()
        order = np.argsort(entries["id"], kind="stable")
        ids = entries["id"][order]
        again = np.flatnonzero(ids[1:] == ids[:-1]) + 1
        # The rows of one id stand together, the earliest first: before each run of repetitions.
        runs = np.maximum.accumulate(np.where(np.diff(again, prepend=-1) > 1, again - 1, 0))
        before, repeated = entries[order[runs]], entries[order[again]]
        same = before["content"] == repeated["content"]
        duplicates = [
            Repetition(position=int(row["position"]), line=int(row["line"]), line_before=int(first["line"]))
            for first, row in zip(before[same], repeated[same], strict=True)
        ]
        unclear = np.unique([before[~same]["position"], repeated[~same]["position"]])
        return duplicates, pd.Index(unclear, dtype=int)

    def lines(self, positions: pd.Index) -> "pd.Series[int]":
        entries = self._all()
        return pd.Series(entries["line"], index=entries["position"]).loc[positions]

    def _all(self) -> "npt.NDArray[np.void]":
        self.entries[:] = [np.concatenate(self.entries)]
        return self.entries[0]


def digests(ids: Iterable[str]) -> "npt.NDArray[np.bytes_]":
    """16 bytes for each. (NumPy drops NULs at the end, which makes no two of one length the same.)"""
    return np.array([blake2b(text.encode(), digest_size=16).digest() for text in ids], dtype="S16")


def compare(frame: pd.DataFrame, lines: "pd.Series[int]") -> Iterator[Repetition]:
    """The rows whose id came before in the frame, compared field by field with the first of that id.

    Of a derived id other fields than the scores may differ: equipment, text and time do not.
    """
    again = frame[frame["anomaly_id"].duplicated()]
    first = pd.Series(frame.index, index=frame["anomaly_id"])
    first = first[~first.index.duplicated()].loc[again["anomaly_id"]]
    before = frame.loc[first].set_axis(again.index)
    differs = (again != before) & ~(again.isna() & before.isna())
    derived = _derived(again)
    for position, earlier, flags in zip(again.index, first, differs.to_numpy(), strict=True):
        fields = tuple(name for name, flag in zip(COLUMNS, flags, strict=True) if flag)
        matters = fields if not derived[position] or set(fields) & set(SCORE_COLUMNS) else ()
        yield Repetition(
            position=position, line=int(lines[position]), line_before=int(lines[earlier]), fields=matters
        )


def _contents(frame: pd.DataFrame) -> "npt.NDArray[np.generic]":
    """One number for what must not differ: the scores of a derived id, everything of a given one."""
    given = (~_derived(frame)).to_numpy()
    contents = pd.util.hash_pandas_object(frame.loc[:, list(SCORE_COLUMNS)], index=False).to_numpy(copy=True)
    if given.any():
        contents[given] = pd.util.hash_pandas_object(frame.loc[given, list(COLUMNS)], index=False)
    return contents


def _derived(frame: pd.DataFrame) -> "pd.Series[bool]":
    return frame["anomaly_id"] == derive_ids(frame)
