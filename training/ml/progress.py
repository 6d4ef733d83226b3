"""How long work tells how far it is."""

from collections.abc import Callable
from typing import TypeAlias

# done, total, what was just done
OnProgress: TypeAlias = Callable[[int, int, str], None]


class Steps:
    """Counts the steps of one piece of work and tells each to `on_progress`, if there is one."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.total = total
        self.done = 0
        self._on_progress = on_progress

    def step(self, label: str) -> None:
        self.done += 1
        if self._on_progress is not None:
            self._on_progress(self.done, self.total, label)
