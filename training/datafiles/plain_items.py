"""Rows and shared strings in the one form that nearly all writers give them, read by a pattern.

That costs a fifth of what a parser takes that calls Python for each tag. What has another form is left to
the parser, in its place among the others, and so is everything behind a comment, which may hold anything.
"""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

_MOST_ITEM = 1024**2  # bytes

# Characters that stand for themselves: no tag, no entity, nothing that XML forbids or changes.
TEXT = r"[^<&\x00-\x08\x0b-\x1f]*"


class PlainItems(Generic[T]):
    """Takes the items that end with a tag, such as rows, out of a part where their form is the plain one.

    `read` is given each without that tag, and None is its word for another form; `add` is given what it read.
    """

    def __init__(self, end: str, *, read: Callable[[str], T | None], add: Callable[[T], None]) -> None:
        self.rest = b""
        self._end = end
        self._read, self._add = read, add
        self._begun, self._given_up = False, False

    def set_apart(self, chunk: bytes) -> Iterator[bytes]:
        """What is left to the parser, in its place among what is taken."""
        self.rest += chunk
        if not self._begun:
            self._given_up = b"encoding=" in chunk[:100] and b"utf-8" not in chunk[:100].lower()
        items = [] if self._given_up else self._complete_items()
        left: list[str] = []
        for item in items:
            if self._given_up or (found := self._read(item)) is None:
                left.append(item + self._end)
                self._given_up |= _may_hide(item if self._begun else item.lstrip("\ufeff").removeprefix("<?"))
            else:
                if left:
                    yield "".join(left).encode()
                    left.clear()
                self._add(found)
            self._begun = True
        if left:
            yield "".join(left).encode()
        if self._given_up:
            yield self.rest
            self.rest = b""

    def _complete_items(self) -> list[str]:
        end = self._end.encode()
        content, found, rest = self.rest.rpartition(end)
        if not found:
            self._given_up = len(rest) > _MOST_ITEM
            return []
        try:
            items = content.decode().split(self._end)
        except UnicodeDecodeError:
            self._given_up = True  # and the parser says so
            return []
        self.rest = rest
        return items


def _may_hide(item: str) -> bool:
    """Whether a comment, a declaration or an instruction begins there: what follows may be part of it."""
    return "<!" in item or "<?" in item
