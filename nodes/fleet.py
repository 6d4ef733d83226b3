"""Several machines on one: a database, an S3 server, and nodes with their own directories and processes."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import psycopg
import redis
import requests

from e2e.product import ROOT, command_of, database, free_port

MARK = "FLEET_NODE"  # an environment variable that every process of a node inherits
PATIENCE = 90  # seconds until something must have happened
LEASE = 5  # seconds without a heartbeat until a training is given to another node
BUCKET = "plant"
RATE = "1000000/minute"  # counted in Redis as ever, and not the limit: all that is asked here is one caller's


@dataclass(kw_only=True, eq=False)
class Node:
    """A web node or a queue node: `manage.py` and the Procfile's process on a machine of its own."""

    name: str
    environment: dict[str, str]
    log: Path
    process: "subprocess.Popen[bytes]"
    killed_at: float | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.environment['PORT']}"

    def pids(self) -> list[int]:
        """Of every living process of the node."""
        mark = f"{MARK}={self.environment[MARK]}".encode()
        return [pid for pid in _processes() if mark in _read(pid, "environ").split(b"\0")]

    def signal(self, number: signal.Signals) -> None:
        """To all its processes: a machine does not fail or pause in parts."""
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        self.killed_at = time.monotonic()
        while self.pids():
            self.signal(signal.SIGKILL)
            self.process.wait()

    def trainings(self) -> list[int]:
        """The processes that train now: what launchers forked, not what that forked to fit in parallel.

        One that is stopped does not train.
        """
        launched = {pid: _parent(pid) for pid in self.pids() if b"run_training" in _read(pid, "cmdline")}
        forked = [
            pid for pid, parent in launched.items() if launched.get(parent, pid) not in {pid, *launched}
        ]
        return [pid for pid in forked if _state(pid) not in "TZ"]


@dataclass(kw_only=True, eq=False)
class Fleet:
    scratch: Path
    environment: dict[str, str]
    token: str = ""
    nodes: list[Node] = field(default_factory=list)

    @property
    def webs(self) -> list[Node]:
        return [node for node in self.nodes if node.killed_at is None and node.name.startswith("web")]

    @property
    def queues(self) -> list[Node]:
        return [node for node in self.nodes if node.killed_at is None and node.name.startswith("worker")]

    def start(self, kind: str, **environment: str) -> Node:
        """A new machine, with nothing on its disk."""
        name = f"{kind}-{sum(node.name.startswith(kind) for node in self.nodes) + 1}"
        directory = self.scratch / name
        directory.mkdir()
        own = {"MEDIA_ROOT": str(directory / "media"), "PORT": str(free_port())}
        given = self.environment | own | environment | {MARK: f"{name}-{secrets.token_hex(8)}"}
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                command_of(kind),
                cwd=ROOT,
                env=given,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        node = Node(name=name, environment=given, log=directory / "log", process=process)
        self.nodes.append(node)
        return node

    def manage(self, *arguments: str) -> str:
        """What a command of manage.py says, on a machine that is none of the nodes."""
        given = self.environment | {"MEDIA_ROOT": str(self.scratch / "desk")}
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)
            done.check_returncode()
        return done.stdout

    def shell(self, code: str) -> str:
        return self.manage("shell", "--verbosity=0", "--command", code).strip()

    @property
    def authorization(self) -> dict[str, str]:
        """The administrator's header."""
        return {"Authorization": f"Token {self.token}"}

    def ask(self, node: Node, route: str, payload: Any = None, **headers: str) -> requests.Response:
        """POST as the administrator."""
        return requests.post(
            f"{node.url}{route}", json=payload, headers=self.authorization | headers, timeout=60
        )

    def database(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def trainings(self) -> list[tuple[Node, int]]:
        return [(node, pid) for node in self.queues for pid in node.trainings()]


@contextmanager
def fleet(scratch: Path, server: str, redis_url: str) -> Iterator[Fleet]:
    """Database, storage and a first version; the nodes that are started end with the block."""
    with ExitStack() as stack:
        url = stack.enter_context(database(scratch, server))
        storage = stack.enter_context(object_storage(scratch))
        keys = {name: secrets.token_hex(32) for name in ("SECRET_KEY", "ARTIFACT_SIGNING_KEYS")}
        environment = os.environ | keys | storage | {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "REDIS_PREFIX": f"nodes-{secrets.token_hex(4)}",
            "HOST": "127.0.0.1",
            "DEBUG": "0",
            "ALLOWED_HOSTS": "127.0.0.1",
            "SECURE_SSL_REDIRECT": "0",
            "LOG_LEVEL": "WARNING",
            "TRAINING_LEASE": str(LEASE),
            "THROTTLE_READ": RATE,
            "THROTTLE_WRITE": RATE,
            "THROTTLE_PREDICT": RATE,
            "KEEP_MODEL_VERSIONS": "1000",
            "KEEP_BACKUPS": "1000",
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        made = Fleet(scratch=scratch, environment=environment)
        try:
            _prepare(made)
            yield made
        finally:
            for node in made.nodes:
                node.signal(signal.SIGCONT)
                node.signal(signal.SIGKILL)
                node.process.wait()
            forget_keys(redis_url, environment["REDIS_PREFIX"])


def wait_until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """What the condition answers as soon as it is true. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Not within {seconds:g} s: {what}")
        time.sleep(0.02)
    return answer


def is_healthy(node: Node) -> bool:
    try:
        return bool(requests.get(f"{node.url}/health", timeout=5).json()["status"] == "healthy")
    except requests.RequestException:
        return False


def started_at(pid: int) -> float:
    """When the process began, in seconds since the epoch; 0 when it is gone."""
    fields = _stat(pid)
    if len(fields) < 20:
        return 0.0
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _prepare(made: Fleet) -> None:
    for command in (["migrate", "-v0"], ["load_sample"], ["train", "--activate"]):
        made.manage(*command)
    made.token = made.shell(
        "from rest_framework.authtoken.models import Token; "
        "owner = User.objects.create_superuser('owner'); print(Token.objects.create(user=owner).key)"
    )


def forget_keys(redis_url: str, prefix: str) -> None:
    """Take this run's keys out of a Redis that others use too."""
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(f"{prefix}:*"):
            client.delete(key)


@contextmanager
def object_storage(scratch: Path) -> Iterator[dict[str, str]]:
    """An S3 server with an empty bucket; the variables that lead there."""
    port = free_port()
    given = {
        "ARTIFACT_STORAGE": f"s3://{BUCKET}/north",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nodes",
        "AWS_SECRET_ACCESS_KEY": "nodes",
    }
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with (scratch / "storage.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: _listens(port), "the S3 server listens")
        client = boto3.client(
            "s3",
            endpoint_url=given["AWS_ENDPOINT_URL"],
            region_name="us-east-1",
            aws_access_key_id="nodes",
            aws_secret_access_key="nodes",  # noqa: S106  # of a server that lives as long as the run
        )
        client.create_bucket(Bucket=BUCKET)
        yield given
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _read(pid: int, file: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:  # it ended, or is another user's
        return b""


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").decode().rpartition(")")[2].split() or ["Z", "0"]


def _state(pid: int) -> str:
    return _stat(pid)[0]


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])
