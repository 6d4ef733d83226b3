"""Signed directories: a manifest names every file's size and digest, and an HMAC covers the manifest.

A pickle is code, so nothing is deserialised before its bytes were found to be ours. `manifest.json` is
exactly `{"signed":<canonical JSON>,"signature":"<64 hexadecimal digits>"}` and a line feed: the HMAC
covers the very bytes in the middle, so that no byte of an unsigned file ever reaches the JSON parser.
"""

import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from training.ml.errors import TamperedArtifactError
from training.ml.failpoints import failpoint

FORMAT = 1
MANIFEST = "manifest.json"
MAX_MANIFEST = 8 * 1024 * 1024  # bytes; ours have some tens of thousands
PIECE = 1024 * 1024  # bytes copied at a time

_ENVELOPE = re.compile(rb'\{"signed":(.+),"signature":"([0-9a-f]{64})"\}\n', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """What the manifest says of one file."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A directory that was signed, or verified, a moment ago.

    `digest` is the SHA-256 of the manifest's bytes; `size_bytes` counts the files and the manifest.
    `digests` are those that it would have, signed with each of the accepted keys: by one of them a row knows
    the directory while keys are rotated.
    """

    path: Path
    kind: str
    facts: Mapping[str, Any]
    files: Mapping[str, FileEntry]
    digest: str
    digests: tuple[str, ...]
    size_bytes: int

    def read(self, name: str) -> bytes:
        """The file's content; the digest is taken of the very bytes that are returned.

        Raises TamperedArtifactError when they are not the signed ones, or no such file was signed.
        """
        entry = self.files.get(name)
        if entry is None:
            raise TamperedArtifactError(f"{self.path.name} holds no file {name!r}.")
        with _reading(self.path / name) as handle:
            content = handle.read(entry.size + 1)
        if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
            raise TamperedArtifactError(f"{name!r} in {self.path.name} was altered.")
        return content

    def copy(self, name: str, target: Path) -> None:
        """Write the file's content to `target`, in pieces; what is there afterwards was signed.

        Raises TamperedArtifactError like `read`, having written something else perhaps.
        """
        entry = self.files.get(name)
        if entry is None:
            raise TamperedArtifactError(f"{self.path.name} holds no file {name!r}.")
        digest = hashlib.sha256()
        with target.open("wb") as copy, _reading(self.path / name) as handle:
            while piece := handle.read(PIECE):
                digest.update(piece)
                copy.write(piece)
        if digest.hexdigest() != entry.sha256:
            raise TamperedArtifactError(f"{name!r} in {self.path.name} was altered.")


def sign_directory(path: Path, *, key: str, kind: str, facts: Mapping[str, Any]) -> Manifest:
    """Writes the manifest of every file in `path` and makes files and directory durable.

    `facts` must be plain JSON (no NaN). Raises TamperedArtifactError when the directory holds anything but
    regular files, and OSError when the disk refuses.
    """
    if not key:
        raise ValueError("A key is needed to sign.")
    signed = _canonical(
        {
            "format": FORMAT,
            "kind": kind,
            "facts": facts,
            "files": {name: _seal(path / name, kind=kind) for name in sorted(_names(path) - {MANIFEST})},
        }
    )
    content = _enveloped(signed, key=key)
    failpoint(f"{kind}.manifest")
    write_durably(path / MANIFEST, content)
    fsync_directory(path)
    return _manifest(path, content=content, signed=signed, keys=[key])


def signed_again(path: Path, *, keys: Sequence[str], key: str) -> bytes:
    """The same manifest, signed with `key` instead of one of `keys`. Raises TamperedArtifactError."""
    return _enveloped(_authentic(path, content=_read_manifest(path), keys=keys), key=key)


def write_durably(path: Path, content: bytes) -> None:
    """It is on the disk when this returns; the directory's entry is the caller's."""
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def read_manifest(path: Path, *, keys: Sequence[str], kind: str) -> Manifest:
    """The manifest alone, signed by one of the keys; of its files nothing is known yet.

    Raises TamperedArtifactError for another signature or kind, or when it cannot be read.
    """
    content = _read_manifest(path)
    signed = _authentic(path, content=content, keys=keys)
    manifest = _manifest(path, content=content, signed=signed, keys=keys)
    if manifest.kind != kind:
        raise TamperedArtifactError(f"{path.name} was signed as {manifest.kind}, not as {kind}.")
    return manifest


def verify_directory(path: Path, *, keys: Sequence[str], kind: str) -> Manifest:
    """The manifest of a directory that is exactly what one of the keys signed.

    Raises TamperedArtifactError, with the reason, for anything else: another signature or kind, a file
    missing, superfluous, truncated or altered, a symbolic link, a subdirectory, something unreadable.
    """
    manifest = read_manifest(path, keys=keys, kind=kind)
    present = _names(path) - {MANIFEST}
    if missing := manifest.files.keys() - present:
        raise TamperedArtifactError(f"{path.name} lacks {_listed(missing)}.")
    if superfluous := present - manifest.files.keys():
        raise TamperedArtifactError(f"{path.name} holds {_listed(superfluous)}, which was not signed.")
    for name, entry in manifest.files.items():
        _check_file(path / name, entry=entry)
    return manifest


def fsync_directory(path: Path) -> None:
    """Makes the directory's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def _signature(signed: bytes, *, key: str) -> str:
    return hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


def _enveloped(signed: bytes, *, key: str) -> bytes:
    return b'{"signed":%s,"signature":"%s"}\n' % (signed, _signature(signed, key=key).encode("ascii"))


def _seal(path: Path, *, kind: str) -> dict[str, int | str]:
    """The file's entry, once its bytes are on the disk."""
    with path.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        os.fsync(handle.fileno())
        failpoint(f"{kind}.sealed")
        return {"size": handle.tell(), "sha256": digest}


def _names(path: Path) -> set[str]:
    if path.is_symlink():
        raise TamperedArtifactError(f"{path.name} is a symbolic link.")
    try:
        with os.scandir(path) as entries:
            found = list(entries)
    except OSError as error:
        raise TamperedArtifactError(f"{path.name} cannot be read: {error.strerror}.") from error
    if odd := {entry.name for entry in found if not entry.is_file(follow_symlinks=False)}:
        raise TamperedArtifactError(f"{path.name} holds {_listed(odd)}, which is no regular file.")
    return {entry.name for entry in found}


def _listed(names: set[str]) -> str:
    """At most three of them; repr, since a file's name may hold anything."""
    shown = ", ".join(repr(name) for name in sorted(names)[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


@contextmanager
def _reading(path: Path) -> Iterator[BufferedReader]:
    """The open file; a failing disk is a TamperedArtifactError too, for what cannot be read is not used."""
    try:
        # O_NONBLOCK: a FIFO put in the file's place does not hang the reader; on files it means nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as handle:
            yield handle
    except OSError as error:
        raise TamperedArtifactError(
            f"{path.name!r} in {path.parent.name} cannot be read: {error.strerror}."
        ) from error


def _read_manifest(path: Path) -> bytes:
    with _reading(path / MANIFEST) as handle:
        content = handle.read(MAX_MANIFEST + 1)
    if len(content) > MAX_MANIFEST:
        raise TamperedArtifactError(f"The manifest of {path.name} is larger than {MAX_MANIFEST} bytes.")
    return content


def _authentic(path: Path, *, content: bytes, keys: Sequence[str]) -> bytes:
    """The signed bytes, when one of the keys signed them."""
    if (envelope := _ENVELOPE.fullmatch(content)) is None:
        raise TamperedArtifactError(f"The manifest of {path.name} is damaged.")
    signed, claimed = envelope.groups()
    if not any(
        hmac.compare_digest(_signature(signed, key=key).encode("ascii"), claimed) for key in keys if key
    ):
        raise TamperedArtifactError(f"The signature of {path.name} does not match.")
    return bytes(signed)


def _manifest(path: Path, *, content: bytes, signed: bytes, keys: Sequence[str]) -> Manifest:
    """The signed bytes as a Manifest. Genuine bytes of another format end here too."""
    try:
        data = json.loads(signed)
        files = {str(name): _entry(entry) for name, entry in data["files"].items()}
        kind, facts = data["kind"], data["facts"]
        known = data["format"] == FORMAT and isinstance(kind, str) and isinstance(facts, dict)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise TamperedArtifactError(f"The manifest of {path.name} makes no sense.") from error
    if not known:
        raise TamperedArtifactError(f"The manifest of {path.name} has an unknown format.")
    return Manifest(
        path=path,
        kind=kind,
        facts=facts,
        files=files,
        digest=hashlib.sha256(content).hexdigest(),
        digests=tuple(hashlib.sha256(_enveloped(signed, key=key)).hexdigest() for key in keys if key),
        size_bytes=len(content) + sum(entry.size for entry in files.values()),
    )


def _entry(value: Mapping[str, Any]) -> FileEntry:
    size, sha256 = value["size"], value["sha256"]
    if type(size) is not int or size < 0 or not isinstance(sha256, str):
        raise TypeError("size and sha256 expected")
    return FileEntry(size=size, sha256=sha256)


def _check_file(path: Path, *, entry: FileEntry) -> None:
    with _reading(path) as handle:
        size = os.fstat(handle.fileno()).st_size
        if size != entry.size:
            word = "truncated" if size < entry.size else "longer than signed"
            raise TamperedArtifactError(
                f"{path.name!r} in {path.parent.name} is {word}: {size} bytes, not {entry.size}."
            )
        if hashlib.file_digest(handle, "sha256").hexdigest() != entry.sha256:
            raise TamperedArtifactError(f"{path.name!r} in {path.parent.name} was altered.")
