"""The table of faults: a row for each kind, printed when it was survived."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

LINE = "{:>6}  {:<58} {:<10} {:>6} {:>9} {:>10}"


def print_titles() -> None:
    print(LINE.format("figure", "fault", "database", "tried", "survived", "slowest s"), flush=True)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How often things are tried: in the short form once, and the databases share some of the places."""

    is_short: bool = False
    most: int = 500
    turn: int = 0
    databases: int = 1

    def times(self, full: int, *, short: int = 1) -> int:
        return short if self.is_short else min(full, self.most)

    def share(self, places: Sequence[T], *, apart: int = 1) -> Sequence[T]:
        """Those for this database; in the short form every `apart`-th of them."""
        return places[self.turn * apart :: self.databases * apart] if self.is_short else places


@dataclass(kw_only=True)
class Row:
    """One kind of fault. `slowest`: seconds until what its figure bounds, None when it bounds nothing."""

    figure: int
    fault: str
    tried: int = 0
    survived: int = 0
    slowest: float | None = None

    @contextmanager
    def trial(self) -> Iterator[None]:
        """One fault, survived when the block ends."""
        self.tried += 1
        yield
        self.survived += 1

    def took(self, seconds: float, *, at_most: float) -> None:
        assert seconds <= at_most, f"took {seconds:.1f} s, and may take {at_most:g} s"
        self.slowest = max(seconds, self.slowest or 0.0)


class Table:
    """What was tried on one database."""

    def __init__(self, database: str) -> None:
        self.database = database
        self.started = time.monotonic()

    @contextmanager
    def row(self, figure: int, fault: str) -> Iterator[Row]:
        """Printed however it ends; what is lost passes through."""
        row = Row(figure=figure, fault=fault)
        try:
            yield row
        finally:
            slowest = "-" if row.slowest is None else f"{row.slowest:.1f}"
            print(
                LINE.format(figure, row.fault, self.database, row.tried, row.survived, slowest),
                flush=True,
            )
