"""Callers whose credentials the database confirmed a short while ago, for while it does not answer.

A table of fixed size in memory that all web processes of a machine share: the master makes it before it
forks. It holds digests under a key of this start, never a credential, and nothing of it is on disk. Who asks
it: `authentication`.
"""

import hmac
import mmap
import secrets
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

SLOTS = 8_192
WAYS = 8  # slots that one credential may be in
RECORD = struct.Struct("16s q d 80s 16s")  # digest, user, when on the monotonic clock, user name, seal

_KEY = secrets.token_bytes(32)
_table = mmap.mmap(-1, SLOTS * RECORD.size)


@dataclass(frozen=True, kw_only=True)
class KnownCaller:
    """Stands for a user whom the database knew: it is somebody, and may do nothing but what everybody may."""

    pk: int
    username: str
    is_authenticated: bool = True
    is_active: bool = True

    def get_username(self) -> str:
        return self.username

    def has_perm(self, _permission: str, _obj: object = None) -> bool:
        return False


def remember(credential: str, user: Any) -> None:
    """The database confirms now that the credential is this active user's."""
    digest, now = _digest(credential), time.monotonic()
    place = min(_places(digest), key=lambda place: _worth(place, digest))
    name = user.get_username().encode()[: RECORD.size]
    facts = (digest, user.pk, now, name)
    RECORD.pack_into(_table, place, *facts, _seal(*facts))


def recall(credential: str) -> KnownCaller | None:
    """Whose the credential was, as far as the database said so within KNOWN_CALLER_SECONDS."""
    digest = _digest(credential)
    for place in _places(digest):
        found = _read(place)
        if found is not None and found[0] == digest and not _is_old(found[2]):
            return KnownCaller(pk=found[1], username=found[3].rstrip(b"\0").decode(errors="ignore"))
    return None


def forget(credential: str) -> None:
    """The database does not know the credential any more, or its user is not active."""
    digest = _digest(credential)
    for place in _places(digest):
        if (found := _read(place)) is not None and found[0] == digest:
            _table[place : place + RECORD.size] = bytes(RECORD.size)


def forget_user(pk: int) -> None:
    """The user was switched off, or lost a token: whatever this machine remembers of them."""
    for place in range(0, len(_table), RECORD.size):
        if (found := _read(place)) is not None and found[1] == pk:
            _table[place : place + RECORD.size] = bytes(RECORD.size)


def on_user_saved(*, instance: Any, **_: object) -> None:
    """Receiver of `post_save` of users."""
    if not instance.is_active:
        forget_user(instance.pk)


def on_token_deleted(*, instance: Any, **_: object) -> None:
    """Receiver of `post_delete` of tokens."""
    forget_user(instance.user_id)


def forget_all() -> None:
    _table[:] = bytes(len(_table))


def _places(digest: bytes) -> Iterator[int]:
    first = int.from_bytes(digest[:4], "big") % (SLOTS // WAYS) * WAYS
    return (place * RECORD.size for place in range(first, first + WAYS))


def _worth(place: int, digest: bytes) -> float:
    """Its own place first, then an empty one, then the one not heard of for longest."""
    found = _read(place)
    if found is None:
        return 0
    return -1 if found[0] == digest else found[2]


def _read(place: int) -> tuple[bytes, int, float, bytes] | None:
    """None for an empty place, and for one that two processes wrote to at once."""
    digest, user, moment, name, seal = RECORD.unpack_from(_table, place)
    if not moment or not hmac.compare_digest(seal, _seal(digest, user, moment, name)):
        return None
    return digest, user, moment, name


def _is_old(moment: float) -> bool:
    return time.monotonic() - moment > settings.KNOWN_CALLER_SECONDS


def _digest(credential: str) -> bytes:
    return hmac.digest(_KEY, b"credential:" + credential.encode("utf-8", "surrogatepass"), "sha256")[:16]


def _seal(digest: bytes, user: int, moment: float, name: bytes) -> bytes:
    text = b"record:" + struct.pack("16s q d 80s", digest, user, moment, name)
    return hmac.digest(_KEY, text, "sha256")[:16]
