"""Object storage for tests, and the files of a row wherever they are: on local disk or in a bucket."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import boto3
from django.conf import settings
from django.core.files.storage import FileSystemStorage, storages

from training import artifacts
from training.shelves.ownership import MARK

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
PREFIX = "plant/north"


@cache  # one takes as long to make as ten requests
def _client(endpoint: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=KEYS["AWS_REGION"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


@dataclass(frozen=True, kw_only=True)
class TestBucket:
    """A bucket as whoever holds its keys sees it, past the product."""

    __test__ = False

    name: str
    endpoint: str

    @property
    def client(self) -> Any:
        return _client(self.endpoint)

    def listing(self, below: str = "") -> list[str]:
        """Without the prefix, and without the storage's mark."""
        found = self.client.list_objects_v2(Bucket=self.name, Prefix=f"{PREFIX}/{below}").get("Contents", [])
        keys = [each["Key"].removeprefix(f"{PREFIX}/") for each in found]
        return [key for key in keys if key != MARK]

    def read(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket=self.name, Key=f"{PREFIX}/{key}")["Body"].read()
        return content

    def write(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=f"{PREFIX}/{key}", Body=content)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=f"{PREFIX}/{key}")


@dataclass(frozen=True, kw_only=True)
class ObjectFile:
    """What tests do with a Path, done with an object."""

    bucket: TestBucket
    key: str

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    def read_bytes(self) -> bytes:
        return self.bucket.read(self.key)

    def write_bytes(self, content: bytes | bytearray) -> None:
        self.bucket.write(self.key, bytes(content))

    def write_text(self, content: str) -> None:
        self.write_bytes(content.encode())

    def unlink(self) -> None:
        self.bucket.delete(self.key)


AnyFile: TypeAlias = Path | ObjectFile


def file_of(stored: artifacts.Stored, name: str) -> AnyFile:
    """The row's file of that name, there or not."""
    if (bucket := current_bucket()) is None:
        return artifacts.directory_of(stored) / name
    return ObjectFile(bucket=bucket, key=f"{stored.path}/{name}")


def files_of(stored: artifacts.Stored) -> Sequence[AnyFile]:
    """Those that are there, by name."""
    if (bucket := current_bucket()) is None:
        return sorted(artifacts.directory_of(stored).iterdir())
    return [ObjectFile(bucket=bucket, key=key) for key in bucket.listing(f"{stored.path}/")]


@contextmanager
def editing(stored: artifacts.Stored) -> Iterator[Path]:
    """The row's directory, to be read and changed."""
    if current_bucket() is None:
        yield artifacts.directory_of(stored)
        return
    with TemporaryDirectory() as temporary:
        place = Path(temporary) / stored.name
        place.mkdir()
        for file in files_of(stored):
            (place / file.name).write_bytes(file.read_bytes())
        yield place
        for path in place.iterdir():
            file_of(stored, path.name).write_bytes(path.read_bytes())


def rename(stored: artifacts.Stored, to: artifacts.Stored) -> None:
    """Put the one's files in the other's place, as they are."""
    if current_bucket() is None:
        artifacts.directory_of(stored).rename(artifacts.directory_of(to))
        return
    for file in files_of(stored):
        file_of(to, file.name).write_bytes(file.read_bytes())
        file.unlink()


def names_in(kind: str) -> list[str]:
    """Whatever stands on that shelf, leftovers and what was set aside too."""
    if (bucket := current_bucket()) is None:
        return sorted(path.name for path in (Path(settings.MEDIA_ROOT) / kind).iterdir())
    return sorted({key.split("/")[1] for key in bucket.listing(f"{kind}/")})


def content_of(kind: str, name: str, file: str) -> bytes:
    if (bucket := current_bucket()) is None:
        return (Path(settings.MEDIA_ROOT) / kind / name / file).read_bytes()
    return bucket.read(f"{kind}/{name}/{file}")


def forget_copies(media_root: Path) -> None:
    """As on a node that never saw any of it."""
    shutil.rmtree(media_root / "cache", ignore_errors=True)


def current_bucket() -> TestBucket | None:
    storage: Any = storages["artifacts"]
    if isinstance(storage, FileSystemStorage):
        return None
    return TestBucket(name=storage.bucket_name, endpoint=storage.endpoint_url)
