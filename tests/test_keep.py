"""`make run` goes on when a process of it is killed: real processes, as the Procfile has them."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import requests
from django.conf import settings

from anomalyproject import keep
from anomalyproject.keep import GRACE, how, read_procfile
from tests.queue_processes import KEEPER, Running, running, wait_until
from tests.sampling import on_sqlite_alone
from training import nodes

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


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=5).status_code == 200
    except requests.RequestException:
        return False


@contextmanager
def supervised(procfile: str, log: Path, **environment: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run the Procfile as `make run` does, and end it in order after the block."""
    path = log.with_name("Procfile")
    path.write_text(procfile)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", KEEPER, str(path)],
            cwd=settings.BASE_DIR,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(GRACE + 5)
        print(log.read_text())  # noqa: T201  # pytest shows it on failure


def product(mark: str) -> list[Running]:
    """The processes of web and queue, oldest first: no supervisor, and none that comes and goes by itself."""
    return [
        process
        for process in running(mark)
        if any(word in argument for argument in process.arguments for word in ("gunicorn", "qcluster"))
        and not any(KEEPER in argument for argument in process.arguments)
    ]


def kinds(processes: list[Running]) -> Counter[tuple[str, ...]]:
    """How many have the same command line, but for the number of the process that started them."""
    return Counter(
        tuple(argument for argument in process.arguments if not argument.startswith("--parent="))
        for process in processes
    )


def is_gone(process: Running, mark: str) -> bool:
    return process not in running(mark)


@pytest.mark.parametrize(("code", "words"), [(3, "exit code 3"), (-9, "killed by SIGKILL")])
def test_how_it_died(code: int, words: str) -> None:
    assert how(code) == words


def test_a_procfile_names_programs_and_their_arguments(tmp_path: Path) -> None:
    procfile = tmp_path / "Procfile"
    procfile.write_text("web: env A=b:c serve 'two words'\n\nworker:work\n")
    assert read_procfile(procfile) == {"web": ["env", "A=b:c", "serve", "two words"], "worker": ["work"]}


def test_each_process_that_is_killed_is_replaced(queue_mark: str, tmp_path: Path) -> None:
    """gunicorn's worker, gunicorn, the queue's cluster, the queue; test_queue.py has the cluster's parts."""
    log, port = tmp_path / "log", free_port()
    procfile = (settings.BASE_DIR / "Procfile").read_text().replace(".venv/bin", str(BIN))
    environment = {"PORT": str(port), "HOST": "127.0.0.1", "WEB_WORKERS": "1"}
    with supervised(procfile, log, **environment):

        def is_whole() -> bool:
            return (
                len(product(queue_mark)) == 7
                and answers(f"http://127.0.0.1:{port}")
                and nodes.alive().filter(pid__in=[each.pid for each in running(queue_mark)]).exists()
            )

        wait_until(is_whole, 60)
        whole = kinds(product(queue_mark))
        for word, position in itertools.product(("gunicorn", "qcluster"), (1, 0)):
            process = [each for each in product(queue_mark) if word in " ".join(each.arguments)][position]
            process.signal(signal.SIGKILL)
            wait_until(partial(is_gone, process, queue_mark))
            wait_until(lambda: is_whole() and kinds(product(queue_mark)) == whole)
        lines = log.read_text().splitlines()
        assert "system | web died (killed by SIGKILL): it starts again in 0.5 s" in lines
        assert "system | worker died (killed by SIGKILL): it starts again in 0.5 s" in lines
        assert {line.split(" | ")[0] for line in lines} == {"system", "web   ", "worker"}
    wait_until(lambda: running(queue_mark) == [], 10)  # one that was starting sees that its parent has ended


def test_nobody_outlives_the_supervisor(queue_mark: str, tmp_path: Path) -> None:
    with supervised("one: sleep 600\ntwo: sleep 600\n", tmp_path / "log") as supervisor:
        wait_until(lambda: len([each for each in running(queue_mark) if each.arguments[0] == "sleep"]) == 2)
        supervisor.kill()
        supervisor.wait()
        wait_until(lambda: running(queue_mark) == [], 5)


def test_the_supervisor_itself_is_started_again(queue_mark: str, tmp_path: Path) -> None:
    """By the shell of `make run`; what ends that ends all of it in order."""
    (tmp_path / "Procfile").write_text("one: sleep 600\n")
    recipe = next(
        line for line in (settings.BASE_DIR / "Makefile").read_text().splitlines() if KEEPER in line
    )
    loop = recipe.partition("&& ")[2].replace("$(BIN)/python", sys.executable)
    loop = loop.replace(" Procfile", f" {tmp_path / 'Procfile'}")

    def of(word: str) -> list[Running]:
        return [each for each in running(queue_mark) if word in each.arguments]

    with subprocess.Popen(["/bin/sh", "-c", loop], cwd=settings.BASE_DIR) as shell:
        (supervisor,) = wait_until(lambda: of("sleep") and of(KEEPER))
        supervisor.signal(signal.SIGKILL)
        wait_until(lambda: of(KEEPER) not in ([], [supervisor]) and len(of("sleep")) == 1)
        shell.terminate()
    wait_until(lambda: running(queue_mark) == [], 10)


def test_who_ignores_sigterm_is_killed_with_all_it_started(
    queue_mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keep, "GRACE", 0.5)
    deaf = ["sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"]
    stop = threading.Timer(1, os.kill, (os.getpid(), signal.SIGTERM))
    stop.start()
    started = time.monotonic()
    keep.supervise({"deaf": deaf})
    assert 1.5 <= time.monotonic() - started < 4
    assert running(queue_mark) == []


def test_it_is_started_later_each_time(queue_mark: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervised(
        f"it: {sys.executable} -c 'print(1); raise SystemExit(3)'\nmissing: no-such-program\n", log
    ):
        wait_until(lambda: log.read_text().count("it     | 1\n") == 3)
    lines = log.read_text().splitlines()
    assert [line for line in lines if "it died" in line][:2] == [
        "system | it died (exit code 3): it starts again in 0.5 s",
        "system | it died (exit code 3): it starts again in 1 s",
    ]
    assert [line.partition(" (")[0] for line in lines if "missing" in line][:1] == [
        "system | missing cannot be started"
    ]
    assert running(queue_mark) == []


def test_with_json_each_line_is_an_object_with_the_name(queue_mark: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = '{"time": "t", "level": "INFO", "logger": "l", "message": "m"}'
    procfile = f"echo: printf '%s\\n\\nplain\\n' '{line}'\n"
    with supervised(procfile, log, LOG_FORMAT="json"):
        wait_until(lambda: log.read_text().count("died") == 2)
    told = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(each["process"], each["message"]) for each in told} == {
        ("echo", "m"),
        ("echo", "plain"),
        ("system", "echo died (exit code 0): it starts again in 0.5 s"),
        ("system", "echo died (exit code 0): it starts again in 1 s"),
    }


def test_it_goes_on_when_nobody_reads_its_lines(queue_mark: str, tmp_path: Path) -> None:
    started = tmp_path / "started"
    procfile = tmp_path / "Procfile"
    procfile.write_text(f"it: sh -c 'echo x >> {started}; echo line'\n")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", KEEPER, str(procfile)]
    supervisor = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=writer, stderr=subprocess.DEVNULL)
    os.close(writer)
    try:
        wait_until(lambda: started.exists() and started.read_text().count("x") == 3)
    finally:
        supervisor.terminate()
        supervisor.wait(GRACE)
    assert running(queue_mark) == []
