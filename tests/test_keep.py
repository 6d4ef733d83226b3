"""`make run` goes on when a process of it is killed: real processes, as the Procfile has them."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from django.conf import settings

from anomalyproject.keep import how
from tests.queue_processes import KEEPER, Running, running, wait_until
from tests.sampling import on_sqlite_alone
from training import nodes
from training.models import QueueNode

pytestmark = [
    pytest.mark.queue,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc; orphans are killed by the kernel"),
    on_sqlite_alone,
]
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def leader(mark: str, *words: str) -> Running | None:
    """The oldest process, keeper and honcho aside, whose arguments hold these words."""
    return next(
        (
            process
            for process in running(mark)
            if all(any(word in argument for argument in process.arguments) for word in words)
            and not any(word in argument for argument in process.arguments for word in ("keep", "honcho"))
            and "--unsupervised" not in process.arguments
        ),
        None,
    )


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL")])
def test_how_it_died(code: int, words: str) -> None:
    assert how(code) == words


def keeper(mark: str, *words: str) -> Running | None:
    """The keeper of the command with these words."""
    found = [each for each in running(mark) if any(KEEPER in argument for argument in each.arguments)]
    return next((each for each in found if each.arguments[3] in words), None)


def test_what_dies_is_started_again_and_what_is_stopped_is_not(queue_mark: str, tmp_path: Path) -> None:
    """As `make run` starts it: a keeper of honcho, honcho, and a keeper of each of its lines."""
    procfile, log = tmp_path / "Procfile", tmp_path / "log"
    procfile.write_text((settings.BASE_DIR / "Procfile").read_text().replace(".venv/bin", str(BIN)))
    port = free_port()
    environment = os.environ | {"PORT": str(port), "HOST": "127.0.0.1", "WEB_WORKERS": "1"}
    honcho = [str(BIN / "honcho"), "start", "--procfile", str(procfile), "--app-root", str(settings.BASE_DIR)]
    with log.open("wb") as output:
        outermost = subprocess.Popen(
            [sys.executable, "-m", KEEPER, "honcho", *honcho],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url) and nodes.alive().exists(), 60)

        queue = leader(queue_mark, "qcluster")
        assert queue is not None
        queue.signal(signal.SIGKILL)
        wait_until(lambda: queue not in running(queue_mark))
        wait_until(lambda: nodes.alive().exclude(pid=queue.pid).exists(), 60)
        assert list(QueueNode.objects.exclude(pid=queue.pid)) == list(QueueNode.objects.all())

        web = leader(queue_mark, "gunicorn")
        assert web is not None
        web.signal(signal.SIGKILL)
        # Its worker answers for a second more: what counts is that a new one is told of, and answers.
        wait_until(lambda: "web died (killed by SIGKILL): it starts again in 0.5 s" in log.read_text())
        wait_until(lambda: leader(queue_mark, "gunicorn") not in {None, web})
        wait_until(lambda: answers(url), 60)
        assert "queue died (killed by SIGKILL): it starts again in 0.5 s" in log.read_text()

        # A keeper that is killed takes its command along, and honcho the rest: all of it starts again.
        (inner,) = [keeper(queue_mark, "queue")]
        assert inner is not None
        inner.signal(signal.SIGKILL)
        wait_until(lambda: "honcho died" in log.read_text(), 60)
        wait_until(lambda: keeper(queue_mark, "queue") not in {None, inner}, 60)
        wait_until(lambda: answers(url), 60)
        assert outermost.poll() is None
    finally:
        outermost.terminate()
        outermost.wait(60)
        print(log.read_text())  # noqa: T201  # pytest shows it on failure
    wait_until(lambda: running(queue_mark) == [], 10)


def test_honcho_that_is_killed_leaves_nobody_behind(queue_mark: str, tmp_path: Path) -> None:
    procfile, log = tmp_path / "Procfile", tmp_path / "log"
    sleep = f"exec {sys.executable} -m {KEEPER} it sleep 600"
    procfile.write_text(f"one: {sleep}\ntwo: {sleep}\n")
    honcho = [str(BIN / "honcho"), "start", "--procfile", str(procfile), "--app-root", str(settings.BASE_DIR)]
    with log.open("wb") as output:
        command = [sys.executable, "-m", KEEPER, "honcho", *honcho]
        outermost = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=output, stderr=output)

    def sleepers() -> set[int]:
        return {each.pid for each in running(queue_mark) if each.arguments[0] == "sleep"}

    try:
        before = wait_until(lambda: len(sleepers()) == 2 and sleepers())
        (main,) = [each for each in running(queue_mark) if each.parent == outermost.pid]
        main.signal(signal.SIGKILL)
        wait_until(lambda: len(sleepers()) == 2 and not sleepers() & before, 60)
        assert "honcho died (killed by SIGKILL): it starts again in 0.5 s" in log.read_text()
    finally:
        outermost.terminate()
        outermost.wait(60)
    wait_until(lambda: running(queue_mark) == [], 10)


def test_it_is_started_later_each_time_and_ends_with_its_keeper(queue_mark: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    script = f"open({str(started)!r}, 'a').write('x'); raise SystemExit(3)"
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "anomalyproject.keep", "it", sys.executable, "-c", script]
        keeper = subprocess.Popen(command, cwd=settings.BASE_DIR, stderr=log)
    wait_until(lambda: started.exists() and started.read_text() == "xxx")
    assert (tmp_path / "log").read_text().splitlines()[:2] == [
        "it died (exit code 3): it starts again in 0.5 s",
        "it died (exit code 3): it starts again in 1 s",
    ]
    keeper.kill()
    keeper.wait()
    wait_until(lambda: running(queue_mark) == [], 5)
