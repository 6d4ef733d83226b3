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
    """Pass the items on. `size` is how much of `total` one is; a plain line comes at every tenth of it."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=label, unit=f" {unit}", file=sys.stderr) as bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    done = said = 0
    for item in items:
        yield item
        done += size(item)
        if done * 10 // total > said:
            said = done * 10 // total
            sys.stderr.write(f"{label}: {done:,} of {total:,} {unit}\n")
