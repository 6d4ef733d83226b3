"""The rows of files that were read, kept in a temporary file for those who want them again.

Reading a file anew, above all a workbook, takes several times as long. Of each piece only where it stands is
held in memory; the temporary file is gone with its last user.
"""

import json
import weakref
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import TemporaryFile

import pandas as pd

_LEVEL = 1  # of compression: fast, and texts that are the same in many rows take next to nothing

Problem = tuple[str, int, str]  # the file, the line, what is wrong
Problems = dict[int, list[Problem]]  # by position


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Some rows as texts by column. The index, and that of `lines`, is the rows' positions."""

    cells: pd.DataFrame
    lines: "pd.Series[int]"
    problems: Problems


class Spool:
    """Pieces, in the order in which they were added."""

    def __init__(self) -> None:
        self.spans: list[tuple[int, int]] = []  # of positions: a piece's first, and the one behind its last
        self._file = TemporaryFile()  # noqa: SIM115  # closed with its last user
        self._ends = [0]
        weakref.finalize(self, self._file.close)

    def add(self, piece: Piece) -> None:
        start = int(piece.cells.index[0]) if len(piece.cells) else 0
        held = {
            "cells": {str(name): piece.cells[name].tolist() for name in piece.cells},
            "lines": piece.lines.tolist(),
            "problems": list(piece.problems.items()),
        }
        text = json.dumps(held, ensure_ascii=False, separators=(",", ":"))
        content = zlib.compress(text.encode("utf-8", "surrogatepass"), _LEVEL)
        self._file.seek(self._ends[-1])
        self._file.write(content)
        self._ends.append(self._ends[-1] + len(content))
        self.spans.append((start, start + len(piece.cells)))

    def __getitem__(self, number: int) -> Piece:
        begin, end = self._ends[number], self._ends[number + 1]
        self._file.seek(begin)
        content = zlib.decompress(self._file.read(end - begin))
        held = json.loads(content.decode("utf-8", "surrogatepass"))
        index = pd.RangeIndex(*self.spans[number])
        return Piece(
            cells=pd.DataFrame(held["cells"], index=index, dtype=object),
            lines=pd.Series(held["lines"], index=index, dtype=int),
            problems={
                at: [(file, line, said) for file, line, said in wrong] for at, wrong in held["problems"]
            },
        )

    def __iter__(self) -> Iterator[Piece]:
        return map(self.__getitem__, range(len(self.spans)))
