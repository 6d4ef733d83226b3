"""How gunicorn serves: threads, since POST /train waits for its training without using a core."""

import atexit
import ctypes
import gc
import os
import shutil
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from anomalyproject.env import env_logging
from anomalyproject.logs import logging_config, take_over_stderr

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '5000')}"
workers = int(os.environ.get("WEB_WORKERS", "2"))
worker_class = "anomalyproject.worker.Worker"  # threads, and the form of our errors
threads = int(os.environ.get("WEB_THREADS", "16"))
timeout = 60  # of a worker that no longer answers; a waiting request does not count
graceful_timeout = 5
keepalive = 5
limit_request_line = 4_094  # bytes: a longer address, with its query, is a 400 before it reaches Django
limit_request_fields = 100  # headers of a request
limit_request_field_size = 8_190  # bytes, one header
LONG = 1_000_000  # bytes of an answer: a thousand predictions or so
# Its own lines as all the others; requests are logged by the application, which knows who asked.
logconfig_dict = {
    **logging_config(**env_logging()),
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when a worker imports it
METRICS_PREFIX = (
    "anomaly-metrics-"  # of the directory, if none is given; the master's process and a dash follow
)
control_socket_disable = True  # it would listen in the home directory


def on_starting(_server: Any) -> None:
    """Where the workers add up what they count for /metrics: empty at each start."""
    given = os.environ.get(METRICS_DIRECTORY)
    directory = Path(given) if given else Path(tempfile.mkdtemp(prefix=f"{METRICS_PREFIX}{os.getpid()}-"))
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        file.unlink()
    if not given:
        _remove_left_behind()
        os.environ[METRICS_DIRECTORY] = str(directory)
        atexit.register(_remove, directory, os.getpid())


def when_ready(_server: Any) -> None:
    take_over_stderr(**env_logging())


def post_fork(_server: Any, _worker: Any) -> None:
    take_over_stderr(**env_logging())


def _remove(directory: Path, master: int) -> None:
    """At the end of the master alone: its workers inherit what is registered."""
    if os.getpid() == master:
        shutil.rmtree(directory, ignore_errors=True)


def _remove_left_behind() -> None:
    """Of masters that were killed before they could remove theirs."""
    for directory in Path(tempfile.gettempdir()).glob(f"{METRICS_PREFIX}*-*"):
        master = directory.name.removeprefix(METRICS_PREFIX).partition("-")[0]
        if directory.stat().st_uid == os.getuid() and not Path(f"/proc/{master}").exists():
            shutil.rmtree(directory, ignore_errors=True)


def post_worker_init(worker: Any) -> None:
    """Load the active model in the background: scikit-learn takes a second that no client should wait for."""
    threading.Thread(target=_warm_up, args=(worker.log,), daemon=True).start()


def _warm_up(log: Any) -> None:
    from django.db import Error, connection  # noqa: PLC0415  # Django is set up by the time a worker is

    from predictions import predictor  # noqa: PLC0415  # as above

    try:
        predictor.current()
    except Error as error:
        log.warning("The model is loaded with the first request: %s", error)
    finally:
        connection.close()
    gc.collect()
    gc.freeze()  # what is loaded now stays: going through it again takes 0.1 s, in the middle of a request


def post_request(_worker: Any, _request: Any, _environ: Any, response: Any) -> None:
    """Once the answer is sent and forgotten, what a long one took goes back to the system."""
    if response.sent > LONG:
        threading.Timer(1.0, _give_memory_back).start()


def _give_memory_back() -> None:
    gc.collect()
    with suppress(AttributeError):  # only the GNU library has it
        ctypes.CDLL(None).malloc_trim(0)
