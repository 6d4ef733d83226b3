"""What a look for drift compares: the reports of a period, each text once, with those before it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from training.ml import mentions
from training.ml.mentions import Integers, Words, count_words
from training.ml.ordinal import Floats
from training.ml.records import SCORE_COLUMNS
from training.ml.scorer import Suggestion

MONTHLY = 30  # different texts in the median month; with fewer, periods are quarters

Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suggested:
    """Suggestions that were made before the reports were reviewed, or as if (a backtest).

    Attributes
    ----------
    by : str, who made them
    rows : ndarray of int, shape (n,)
        Positions in the frame.
    suggestions : dict of str to Suggestion of n reports, a target each
    held_out : dict of str to dict, or None
        The maker's held-out figures {target: metrics}; None: what is expected is what the periods before had.
    """

    by: str
    rows: NDArray[np.intp]
    suggestions: Mapping[str, Suggestion]
    held_out: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """Everything that was reported, counted once. `period` is -1 for undated reports."""

    frame: pd.DataFrame
    words: Words
    period: Integers
    labels: list[str]
    length: str
    scored: Mask
    suggested: Sequence[Suggested]

    def scores(self, rows: Integers, target: str) -> Floats:
        return self.frame[f"{target}_score"].to_numpy(dtype=np.float64)[rows]


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Reports now, and what they are compared with: rows of the frame, each text once a period."""

    label: str
    reports: int
    rows: Integers
    before: Integers
    mentions: Integers  # of each term, now and before
    mentions_before: Integers
    possible: int  # terms that could emerge
    periods: int  # of how many this is one


def count_world(frame: pd.DataFrame, suggested: Sequence[Suggested]) -> World:
    words = count_words(frame)
    times = frame["detected_at"]
    months = np.asarray(pd.factorize(times.dt.to_period("M"))[0], dtype=np.int64)
    sizes = np.bincount(months[mentions.distinct_rows(words, months)])
    length = "month" if len(sizes) == 0 or np.median(sizes) >= MONTHLY else "quarter"
    period, labels = pd.factorize(times.dt.to_period(length[0].upper()), sort=True)
    return World(
        frame=frame,
        words=words,
        period=np.asarray(period, dtype=np.int64),
        labels=[str(label) for label in labels],
        length=length,
        scored=frame[list(SCORE_COLUMNS)].notna().all(axis="columns").to_numpy(),
        suggested=suggested,
    )


def each_period(world: World) -> Iterator[Stretch]:
    counts = mentions.count_mentions(world.words, world.period, len(world.labels))
    possible = mentions.count_possible(counts.sum(axis=0))
    before = np.zeros(len(world.words.terms), dtype=np.int64)
    distinct = mentions.distinct_rows(world.words, world.period)
    for number, label in enumerate(world.labels):
        now = counts[[number]].toarray()[0]
        yield Stretch(
            label=label,
            reports=int(np.count_nonzero(world.period == number)),
            rows=np.flatnonzero(distinct & (world.period == number)),
            before=np.flatnonzero(distinct & (world.period < number)),
            mentions=now,
            mentions_before=before,
            possible=possible,
            periods=len(world.labels),
        )
        before = before + now


def since_learning(world: World, learned: Mask, label: str) -> Stretch:
    """All that was not learned, of whatever time, as one stretch; what is undated is a period of its own."""
    bucket = np.where(world.period < 0, len(world.labels), world.period)
    now, before = np.where(learned, -1, bucket), np.where(learned, bucket, -1)
    mentioned, mentioned_before = (
        mentions.count_mentions(world.words, side, len(world.labels) + 1).sum(axis=0)
        for side in (now, before)
    )
    return Stretch(
        label=label,
        reports=int(np.count_nonzero(~learned)),
        rows=np.flatnonzero(mentions.distinct_rows(world.words, now)),
        before=np.flatnonzero(mentions.distinct_rows(world.words, before)),
        mentions=mentioned,
        mentions_before=mentioned_before,
        possible=mentions.count_possible(mentioned + mentioned_before),
        periods=1,
    )
