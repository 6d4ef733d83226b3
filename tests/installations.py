"""Several installations in one test process: a database each, and whatever storage they are pointed at."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
from django.conf import settings
from django.db import connection
from psycopg import sql

from tests.storing import PREFIX, current_bucket
from training.models import Installation


@dataclass(frozen=True)
class Database:
    """A copy of the test's database as it was when this was made."""

    name: str

    @classmethod
    def copied(cls, directory: Path) -> "Database":
        source, name = connection.settings_dict["NAME"], f"copy_{uuid4().hex}"
        connection.close()
        if connection.vendor == "sqlite":
            name = str(directory / f"{name}.sqlite3")
            with sqlite3.connect(source) as here, sqlite3.connect(name) as there:
                here.backup(there)
            here.close()
            there.close()
        else:
            with _server() as server:
                server.execute(
                    sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                        sql.Identifier(name), sql.Identifier(str(source))
                    )
                )
        return cls(name)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """All rows of the block are this database's."""
        usual = connection.settings_dict["NAME"]
        connection.close()
        connection.settings_dict["NAME"] = self.name
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["NAME"] = usual

    def drop(self) -> None:
        if connection.vendor == "postgresql":
            with _server() as server:
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name)))


def become_another_installation() -> None:
    Installation.objects.update(identifier=uuid4())


def everything_stored() -> dict[str, bytes]:
    """Every file under MEDIA_ROOT but copies of what is elsewhere, and the digest of every object."""
    root = Path(settings.MEDIA_ROOT)
    found = {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and "cache" not in path.relative_to(root).parts
    }
    found |= {f"{path.relative_to(root)}/": b"" for path in root.glob("model_*/*") if path.is_dir()}
    if (bucket := current_bucket()) is not None:
        pages = bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name)
        for page in pages:
            for each in page.get("Contents", []):
                key = each["Key"].removeprefix(f"{PREFIX}/")
                found[f"s3:{key}"] = each["ETag"].encode()
    return found


def without_files() -> None:
    """The disk that another machine has."""
    shutil.rmtree(Path(settings.MEDIA_ROOT))
    Path(settings.MEDIA_ROOT).mkdir()


def _server() -> "psycopg.Connection[tuple[object, ...]]":
    given = connection.settings_dict
    return psycopg.connect(
        host=str(given["HOST"]),
        port=int(given["PORT"] or 5432),
        user=str(given["USER"]),
        password=str(given["PASSWORD"] or ""),
        dbname="postgres",
        autocommit=True,
    )
