"""Work on several processors, by forks of this process: they share its memory, nothing is copied to them.

For work in C that threads cannot share: liblinear draws its random order from one generator a process.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

import joblib

T = TypeVar("T")
R = TypeVar("R")

_inherited: Callable[[Any], Any]  # in a fork: what to call


def fork_map(function: Callable[[T], R], items: Iterable[T], *, jobs: int | None = None) -> Iterator[R]:
    """function(item) of each item, in their order, from that many processes; None: one for each processor.

    The results are pickled, function and items need not be. Raises BrokenProcessPool when a fork was killed.
    Where the system cannot fork, or with a single job, everything happens here.
    """
    jobs = jobs or joblib.cpu_count()
    if jobs == 1 or "fork" not in multiprocessing.get_all_start_methods():
        yield from map(function, items)
        return
    items = list(items)
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        min(jobs, len(items)), context, initializer=_inherit, initargs=(lambda n: function(items[n]),)
    ) as pool:
        yield from pool.map(_call, range(len(items)))


def _inherit(function: Callable[[Any], Any]) -> None:
    global _inherited  # noqa: PLW0603  # of this fork, which does nothing else
    _inherited = function


def _call(number: int) -> Any:
    return _inherited(number)
