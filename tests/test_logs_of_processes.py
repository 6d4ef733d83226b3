"""With LOG_FORMAT=json each line of web, queue and their children is one object, whatever happens to them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings

from tests.queue_processes import Queue, launchers, running, wait_until
from tests.test_keep import free_port

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]


def lines_of(log: Path) -> list[dict[str, Any]]:
    """Every line, parsed; fails at the first that is none."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def messages_of(log: Path) -> list[str]:
    return [line["message"] for line in lines_of(log)]


@pytest.fixture
def web(queue_mark: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    monkeypatch.setenv("LOG_FORMAT", "json")
    port, log = free_port(), tmp_path / "web.log"
    environment = os.environ | {"PORT": str(port), "HOST": "127.0.0.1", "WEB_WORKERS": "1"}
    config = ["--config", "anomalyproject/gunicorn.py", "anomalyproject.wsgi"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *config],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(f"{url}/livez", timeout=5).ok
        except requests.RequestException:
            return False

    wait_until(answers, 60)
    yield url, log
    process.terminate()
    process.wait(30)


def test_a_web_server_that_is_asked_and_harmed(web: tuple[str, Path], queue_mark: str) -> None:
    url, log = web
    for path in ("/livez", "/readyz", "/health", "/metrics", "/nowhere", "/models/info"):
        requests.get(f"{url}{path}", timeout=30)
    requests.post(f"{url}/predict", data="{", timeout=30)
    (worker,) = [each for each in running(queue_mark) if each.parent in {p.pid for p in running(queue_mark)}]
    worker.signal(signal.SIGKILL)
    wait_until(lambda: any("SIGKILL" in message for message in messages_of(log)))
    asked = [line["route"] for line in lines_of(log) if line["logger"] == "training.access"]
    assert "/nowhere" not in asked
    assert {"unknown", "/models/info", "/predict"} <= set(asked)
    assert not {"/livez", "/health", "/metrics"} & set(asked)  # probes that went well


def test_a_queue_whose_parts_are_killed(
    queue: Queue, monkeypatch: pytest.MonkeyPatch, queue_mark: str
) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")  # its dump is written past Python's logging
    queue.start()
    launcher = wait_until(lambda: launchers(queue_mark))[0]
    launcher.signal(signal.SIGKILL)
    died = "The launcher of trainings died (killed by SIGKILL): the next training starts another"
    wait_until(lambda: died in messages_of(queue.log))
    before = queue.sentinel()
    worker = queue.parts()[0]
    worker.signal(signal.SIGSEGV)
    wait_until(lambda: queue.sentinel() not in {None, before} and len(queue.parts()) == 3, 60)
    queue.stop()
    told = messages_of(queue.log)
    assert any("Segmentation fault" in message for message in told)
    assert any("starts afresh" in message for message in told)


@pytest.mark.parametrize("command", ["run_training", "keep_files", "qcluster"])
def test_a_service_that_cannot_start(command: str) -> None:
    arguments = [sys.executable, str(settings.BASE_DIR / "manage.py"), command, "--no-such-option"]
    environment = os.environ | {"LOG_FORMAT": "json"}
    ended = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    lines = [json.loads(line)["message"] for line in ended.stderr.splitlines()]
    assert "unrecognized arguments: --no-such-option" in lines[-1] or "required" in lines[-1]
