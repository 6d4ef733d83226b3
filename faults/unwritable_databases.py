"""Figure 16: a database that answers and takes nothing: another process locks it, or it is read-only."""

import os
import sqlite3
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import psycopg
from django.db import connection
from psycopg import sql

from faults.health_issues import Code, Fault, lasting
from faults.invariants import Ledger, check_predictions
from faults.product import Product
from faults.sessions import next_one_works
from faults.table import Effort, Table

AT_ONCE = 5.0  # seconds: a prediction waits for no other process's lock


def told(product: Product, ledger: Ledger, table: Table, *, effort: Effort) -> None:
    fault = _locked() if connection.vendor == "sqlite" else _read_only()
    with table.row(16, fault.name) as row:
        for _ in range(effort.times(3)):
            with row.trial():
                with lasting(product, row, [fault]):
                    _refused(product, ledger)
                next_one_works(product, ledger)


def _refused(product: Product, ledger: Ledger) -> None:
    """Who writes is told to come back; who predicts notices nothing."""
    began = time.monotonic()
    check_predictions(product)
    assert time.monotonic() - began < AT_ONCE, "a prediction waited for the database"
    answer = product.train(product.batch())
    assert answer.status_code == 503, f"{answer.status_code} {answer.text[:300]}"
    assert int(answer.headers["Retry-After"]) > 0
    ledger.check()


def _locked() -> Fault:
    lock = _Lock()
    return Fault(
        name="the database locked by another process",
        code=Code.DATABASE_LOCKED,
        word="database",
        begin=lock.take,
        end=lock.release,
    )


@dataclass
class _Lock:
    """SQLite's, that a transaction takes to write."""

    holders: list[sqlite3.Connection] = field(default_factory=list)

    def take(self) -> None:
        path = urlsplit(os.environ["DATABASE_URL"]).path.removeprefix("/")
        self.holders.append(sqlite3.connect(path, timeout=30, isolation_level=None))
        self.holders[-1].execute("BEGIN IMMEDIATE")

    def release(self) -> None:
        while self.holders:
            self.holders.pop().close()  # which takes the transaction back


def _read_only() -> Fault:
    return Fault(
        name="the database read-only",
        code=Code.DATABASE_READ_ONLY,
        word="database",
        begin=lambda: _alter_database("SET default_transaction_read_only = on"),
        end=lambda: _alter_database("RESET default_transaction_read_only"),
    )


def _alter_database(change: str) -> None:
    """For every connection from now on: those that are open are ended, as when a standby takes over."""
    given = connection.settings_dict
    connection.close()
    with psycopg.connect(
        dbname="postgres",
        host=given["HOST"],
        port=given["PORT"] or 5432,
        user=given["USER"],
        password=given["PASSWORD"],
        autocommit=True,
    ) as server:
        name = given["NAME"]
        server.execute(sql.SQL("ALTER DATABASE {} ").format(sql.Identifier(name)) + sql.SQL(change))
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
