"""A real web server for tests: gunicorn on loopback, on the test's database, and what its processes take."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests
from django.conf import settings

from tests.queue_processes import wait_until
from tests.test_keep import free_port

CONFIG = settings.BASE_DIR / "anomalyproject" / "gunicorn.py"


@dataclass(frozen=True, kw_only=True)
class WebServer:
    port: int
    master: int  # its process
    prefix: str = ""  # of every path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    @property
    def workers(self) -> list[int]:
        """Their processes."""
        return [
            int(pid) for pid in Path(f"/proc/{self.master}/task/{self.master}/children").read_text().split()
        ]

    def memory(self, field: str = "VmRSS") -> int:
        """Bytes of all workers: resident now, or at their peak (VmHWM) since `forget_peak`."""
        return sum(_kilobytes(pid, field) for pid in self.workers) * 1024

    def forget_peak(self) -> None:
        for pid in self.workers:
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/livez", timeout=5).status_code == 200
        except requests.RequestException:
            return False


def _kilobytes(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (value,) = (line.split()[1] for line in lines if line.startswith(f"{field}:"))
    return int(value)


@contextmanager
def web_server(
    log: Path, *, workers: int = 1, config: Path = CONFIG, **environment: str
) -> Iterator[WebServer]:
    """Serve in the environment of the `queue_mark` fixture; ends with the block, whatever happens in it."""
    port = free_port()
    given = {"PORT": str(port), "HOST": "127.0.0.1", "WEB_WORKERS": str(workers)} | environment
    command = [sys.executable, "-m", "gunicorn", "--config", str(config), "anomalyproject.wsgi"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=os.environ | given, stdout=file, stderr=file
        )
    server = WebServer(port=port, master=process.pid, prefix=environment.get("SCRIPT_NAME", ""))
    try:
        wait_until(server.answers, 60)
        wait_until(lambda: len(server.workers) == workers)
        yield server
    finally:
        process.terminate()
        process.wait(30)
