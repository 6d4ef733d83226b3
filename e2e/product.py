"""The product as `make run` starts it, in a directory of its own: sample, first version, web and queue."""

import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import requests
from psycopg import sql

from anomalyproject.keep import read_procfile

ROOT = Path(__file__).parent.parent
PASSWORD = "Vapeur-42-haute"  # noqa: S105 — of a database that lives as long as the run
PATIENCE = 120  # seconds until something must have happened


@dataclass(frozen=True, kw_only=True)
class Product:
    url: str
    environment: dict[str, str]

    def manage(self, *arguments: str) -> str:
        """What a command of manage.py says. Raises CalledProcessError."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def shell(self, code: str) -> str:
        """What the code prints, with every model imported."""
        return self.manage("shell", "--verbosity=0", "--command", code).strip()


@contextmanager
def running(scratch: Path) -> Iterator[Product]:
    """Prepared, trained once, web and queue up until the end; on the server of DATABASE_URL, if it is set."""
    with database(scratch, os.environ.get("DATABASE_URL", "")) as url:
        yield from _running(scratch, url)


@contextmanager
def database(scratch: Path, server: str) -> Iterator[str]:
    """The address of an empty database: a file, or one that is made on the server and dropped at the end."""
    if not server.startswith("postgres"):
        yield f"sqlite:///{scratch}/db.sqlite3"
        return
    base, name = server.rpartition("/")[0], f"e2e_{secrets.token_hex(4)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(f"{base}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        try:
            yield f"{base}/{name}"
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def _running(scratch: Path, address: str) -> Iterator[Product]:
    port = free_port()
    environment = os.environ | {
        "DATABASE_URL": address,
        "MEDIA_ROOT": str(scratch / "media"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DEBUG": "1",
        "SECRET_KEY": secrets.token_hex(32),
        "ARTIFACT_SIGNING_KEYS": secrets.token_hex(32),
        "ADMIN_USERNAME": "owner",
        "ADMIN_PASSWORD": PASSWORD,
        "LOG_LEVEL": "WARNING",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    product = Product(url=f"http://127.0.0.1:{port}", environment=environment)
    product.manage("bootstrap")
    with _processes(environment, scratch, "web", "worker"):
        wait_for(product.url)
        yield product


@contextmanager
def beside(product: Product, scratch: Path, **environment: str) -> Iterator[Product]:
    """One more web process on the same database, with other settings."""
    port = free_port()
    other = product.environment | environment | {"PORT": str(port), "WEB_WORKERS": "1"}
    with _processes(other, scratch, "web"):
        wait_for(f"http://127.0.0.1:{port}")
        yield Product(url=f"http://127.0.0.1:{port}", environment=other)


@contextmanager
def _processes(environment: dict[str, str], scratch: Path, *names: str) -> Iterator[None]:
    """Those of the Procfile, ended together."""
    logs = {name: scratch / f"{name}-{environment['PORT']}.log" for name in names}
    started = [start(name, environment, log) for name, log in logs.items()]
    try:
        yield
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGINT)
        for process in started:
            process.wait(30)


def start(name: str, environment: dict[str, str], log: Path, *more: str) -> "subprocess.Popen[bytes]":
    """Run that process of the Procfile as `make run` does, in its own group; `more` arguments come last."""
    procfile = log.with_suffix(f".{secrets.token_hex(4)}.procfile")
    procfile.write_text(f"{name}: {shlex.join([*command_of(name), *more])}\n")
    command = [sys.executable, "-m", "anomalyproject.keep", str(procfile)]
    with log.open("a") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def command_of(name: str) -> list[str]:
    """Return the Procfile's command of that name."""
    return read_procfile(ROOT / "Procfile")[name]


def wait_for(url: str) -> None:
    """Until a model serves there. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/health", timeout=5).json()["status"] == "healthy":
                return
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} is not healthy")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
