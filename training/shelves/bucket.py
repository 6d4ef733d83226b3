"""A few operations on an S3 bucket, below a prefix; every failure is a StorageError, and none takes long."""

import base64
import errno
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import IO, Any
from weakref import WeakKeyDictionary

from botocore.exceptions import BotoCoreError, ClientError

from training.errors import StorageError
from training.ml.manifest import PIECE

logger = logging.getLogger(__name__)

TRIES = 3  # at one download; a call has its own tries, see env.env_storage
OWNER = "owner"  # the metadata that tells who put an object: a put whose answer was lost is known again
AT_ONCE = 1_000  # keys that one call deletes
GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.PRECONDITION_FAILED}

_clients: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()  # clients, unlike resources, serve all threads
_making = Lock()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """An object as a listing shows it. `etag` changes with the content."""

    size: int
    etag: str
    modified: float


class Bucket:
    """`storage` is django-storages' S3Storage: it has the bucket, the keys and the endpoint."""

    def __init__(self, storage: Any, below: str) -> None:
        self._storage = storage
        self.prefix = "".join(f"{part}/" for part in (storage.location.strip("/"), below) if part)

    def entries(self, below: str = "", *, most: int | None = None) -> dict[str, Entry]:
        """Every object below, by its key without the prefix and `below`; the first `most` of them."""
        prefix, found = self.prefix + below, {}
        with _in_words():
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._storage.bucket_name, Prefix=prefix, PaginationConfig={"MaxItems": most}
            )
            for page in pages:
                for each in page.get("Contents", ()):
                    found[each["Key"].removeprefix(prefix)] = Entry(
                        size=each["Size"], etag=each["ETag"], modified=each["LastModified"].timestamp()
                    )
        return found

    def create(self, key: str, body: IO[bytes] | bytes, *, sha256: str, owner: str) -> None:
        """Put what is not there yet; the storage checks the digest. FileExistsError when it is there."""
        try:
            with _in_words():
                self._client.put_object(
                    **self._at(key),
                    Body=body,
                    IfNoneMatch="*",
                    ChecksumSHA256=base64.b64encode(bytes.fromhex(sha256)).decode(),
                    Metadata={OWNER: owner},
                )
        except StorageError as error:
            taken = _status(error.__cause__) in {HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED}
            if not taken:
                raise
            if self._owner(key) != owner:
                raise FileExistsError(errno.EEXIST, "The name is taken", key) from error

    def write(self, key: str, body: IO[bytes] | bytes) -> None:
        """Put, whatever is there."""
        with _in_words():
            self._client.put_object(**self._at(key), Body=body)

    def clock(self) -> float:
        """Return the moment by the storage's own clock, in seconds since the epoch."""
        with _in_words():
            answer = self._client.list_objects_v2(
                Bucket=self._storage.bucket_name, Prefix=self.prefix, MaxKeys=1
            )
        return parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"]).timestamp()

    def read(self, key: str) -> bytes:
        """A short object. Raises FileNotFoundError."""
        with _in_words(), self._open(key)["Body"] as body:
            content: bytes = body.read()
            return content

    def download(self, key: str, target: Path, *, limit: int | None = None, etag: str | None = None) -> None:
        """At most `limit` bytes of the object, which must still be the one with that ETag.

        Raises FileNotFoundError when it is not there any more.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                with _in_words(), self._open(key, etag)["Body"] as body, target.open("wb") as file:
                    left = limit
                    while piece := body.read(PIECE if left is None else min(PIECE, left)):
                        file.write(piece)
                        left = None if left is None else left - len(piece)
            except StorageError as error:
                if not tries_left:
                    raise
                logger.warning("%s: once more", error)
            else:
                return

    def copy(self, key: str, to: str) -> None:
        with _in_words():
            source = {"Bucket": self._storage.bucket_name, "Key": self.prefix + key}
            self._client.copy_object(**self._at(to), CopySource=source)

    def delete(self, keys: Iterable[str]) -> None:
        """What is not there any more is no error."""
        named = [{"Key": self.prefix + key} for key in keys]
        for start in range(0, len(named), AT_ONCE):
            with _in_words():
                answer = self._client.delete_objects(
                    Bucket=self._storage.bucket_name, Delete={"Objects": named[start : start + AT_ONCE]}
                )
            if refused := answer.get("Errors"):
                raise StorageError(f"The object storage refuses to delete: {refused[0].get('Code')}")

    def delete_own(self, keys: Iterable[str], *, owner: str) -> None:
        """What that owner put; what cannot be deleted now stays, to be swept."""
        try:
            self.delete([key for key in keys if self._owner(key) == owner])
        except StorageError as error:
            logger.warning("What was half stored is swept later: %s", error)

    @property
    def _client(self) -> Any:
        """One for the process: django-storages makes one for each thread, which takes a tenth of a second."""
        with _making:
            if self._storage not in _clients:
                _clients[self._storage] = self._storage.connection.meta.client
            return _clients[self._storage]

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._storage.bucket_name, "Key": self.prefix + key}

    def _open(self, key: str, etag: str | None = None) -> Any:
        unchanged = {"IfMatch": etag} if etag else {}
        try:
            return self._client.get_object(**self._at(key), **unchanged)
        except ClientError as error:
            if _status(error) in GONE:
                raise FileNotFoundError(errno.ENOENT, "It is not there any more", key) from error
            raise

    def _owner(self, key: str) -> str | None:
        try:
            with _in_words():
                owner: str | None = self._client.head_object(**self._at(key))["Metadata"].get(OWNER)
                return owner
        except StorageError as error:
            if _status(error.__cause__) == HTTPStatus.NOT_FOUND:
                return None
            raise


@contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except ClientError as error:
        found = error.response.get("Error", {})
        reason = found.get("Message") or found.get("Code")
        raise StorageError(f"The object storage refuses: {reason}") from error
    except BotoCoreError as error:
        raise StorageError(f"The object storage does not answer: {error}") from error


def _status(error: BaseException | None) -> int | None:
    if not isinstance(error, ClientError):
        return None
    status: int | None = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status
