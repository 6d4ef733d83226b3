"""How far long work is, on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def track(
    items: Iterable[Item],
    *,
    total: int,
    label: str,
    unit: str = "records",
    size: Callable[[Item], int] = lambda _: 1,
) -> Iterator[Item]:
    """Pass the items on. `size` is how much of `total` one is. Plain lines are at most ten and the last."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=f" {unit}", file=sys.stderr) as bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    step, done = max(total // 10, 1_000), 0
    for item in items:
        yield item
        before, done = done, done + size(item)
        if done // step > before // step or done == total:
            sys.stderr.write(f"{label}: {done:,} of {total:,} {unit}\n")
