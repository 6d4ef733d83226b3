"""From what clients saw: how soon every worker followed each activation, and whether one ever went back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A prediction that one worker gave; times on the monotonic clock of the clients."""

    worker: int
    begun: float
    ended: float
    version: int


@dataclass(frozen=True, kw_only=True)
class Activated:
    """An activation that was asked for and confirmed; the version before it was another one."""

    version: int
    asked: float
    done: float


def switch_times(answers: Iterable[Answer], activations: Sequence[Activated]) -> dict[int, list[float]]:
    """For each worker and activation: seconds until no request began any more that got an older version."""
    lags: dict[int, list[float]] = {}
    for answer in answers:
        mine = lags.setdefault(answer.worker, [0.0] * len(activations))
        for number in range(position_of(answer, activations) + 1, len(activations)):
            late = answer.begun - activations[number].done
            if late <= 0:
                break
            mine[number] = max(mine[number], late)
    return lags


def steps_back(answers: Iterable[Answer], activations: Sequence[Activated]) -> int:
    """How often a worker gave an older version than in an answer that was complete when the request began."""
    by_worker: dict[int, list[Answer]] = {}
    for answer in answers:
        by_worker.setdefault(answer.worker, []).append(answer)
    return sum(_steps_back(mine, activations) for mine in by_worker.values())


def position_of(answer: Answer, activations: Sequence[Activated]) -> int:
    """Which activation the answer shows, the newest that can have made it; -1 for what served before them."""
    for number in reversed(range(len(activations))):
        if activations[number].version == answer.version and activations[number].asked <= answer.ended:
            return number
    return -1


def _steps_back(answers: list[Answer], activations: Sequence[Activated]) -> int:
    back, newest = 0, -1
    running: list[tuple[float, int]] = []
    for answer in sorted(answers, key=lambda answer: answer.begun):
        while running and running[0][0] <= answer.begun:
            newest = max(newest, heappop(running)[1])
        position = position_of(answer, activations)
        back += position < newest
        heappush(running, (answer.ended, position))
    return back
