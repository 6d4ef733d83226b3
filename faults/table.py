"""The table of faults: a row for each kind, printed when it was survived."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

LINE = "{:>6}  {:<58} {:<10} {:>6} {:>9} {:>10}"


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How often things are tried: each kind of fault at least once."""

    is_short: bool = False
    most: int = 500

    def times(self, full: int, *, short: int = 1) -> int:
        return short if self.is_short else min(full, self.most)


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
        print(LINE.format("figure", "fault", "database", "tried", "survived", "slowest s"), flush=True)

    @contextmanager
    def row(self, figure: int, fault: str) -> Iterator[Row]:
        """Printed however it ends; what is lost passes through."""
        row = Row(figure=figure, fault=fault)
        try:
            yield row
        finally:
            slowest = "-" if row.slowest is None else f"{row.slowest:.1f}"
            print(
                LINE.format(figure, fault, self.database, row.tried, row.survived, slowest),
                flush=True,
            )
