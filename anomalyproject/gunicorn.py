"""How gunicorn serves: threads, since POST /train waits for its training without using a core."""

import atexit
import ctypes
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
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
keepalive = int(os.environ.get("WEB_KEEPALIVE", "5"))  # seconds until the next request on a connection
limit_request_line = 4_094  # bytes: a longer address, with its query, is a 400 before it reaches Django
limit_request_fields = 100  # headers of a request
limit_request_field_size = 8_190  # bytes, one header
LONG = 1_000_000  # bytes of a request or an answer: a thousand predictions or so
# Its own lines as all the others; requests are logged by the application, which knows who asked.
logconfig_dict = {
    **logging_config(**env_logging()),
    "loggers": {"gunicorn.error": {"level": "INFO", "handlers": [], "propagate": True}},
}
METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when a worker imports it
METRICS_PREFIX = (
    "anomaly-metrics-"  # of the directory, if none is given; the master's process and a dash follow
)
UNNOTED = "This web node could not be noted"
BEAT = 10.0  # seconds between this web node's signs of life
_leaving, _speaking = threading.Event(), threading.Lock()
control_socket_disable = True  # it would listen in the home directory
M_ARENA_MAX = -8  # mallopt(3)
_gives_back = threading.Lock()  # held while a timer runs


def _share_one_arena() -> None:
    """Let all threads share one memory arena, like MALLOC_ARENA_MAX=1, however gunicorn was started.

    What the threads of a pool free in arenas of their own is hardly ever given back.
    """
    with suppress(AttributeError):  # only the GNU library has it
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


_share_one_arena()  # before the workers are forked and any thread has an arena


def on_starting(server: Any) -> None:
    """Load the application before the port is open: what is accepted then is answered.

    The workers fork from here. A program that cannot start says so and ends, with nothing listening.
    """
    make_metrics_directory()  # before prometheus_client is imported
    server.app.wsgi()
    _load_the_rest()
    gc.freeze()  # shared with the workers as long as nobody touches it


def _load_the_rest() -> None:
    """Import what the first requests would: the views, and scikit-learn, unused until the workers fork."""
    from django.urls import get_resolver  # noqa: PLC0415  # Django is set up by now

    import training.ml.scorer  # noqa: F401, PLC0415  # as above

    _ = get_resolver().url_patterns


def make_metrics_directory() -> None:
    """Where the workers add up what they count for /metrics: rid of ended processes' files at each start."""
    given = os.environ.get(METRICS_DIRECTORY)
    directory = Path(given) if given else Path(tempfile.mkdtemp(prefix=f"{METRICS_PREFIX}{os.getpid()}-"))
    directory.mkdir(parents=True, exist_ok=True)
    for file in directory.glob("*.db"):
        if not _is_counted_in(file):  # by another installation's web that was given the same place
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


def _is_counted_in(file: Path) -> bool:
    """Whether the process that the file's name ends with has it open."""
    process = file.stem.rpartition("_")[2]
    try:
        return process.isdecimal() and str(file) in Path(f"/proc/{process}/maps").read_text()
    except FileNotFoundError:
        return False
    except PermissionError:
        return True


def post_worker_init(worker: Any) -> None:
    """Load the active model in the background: scikit-learn takes a second that no client should wait for.

    From then on say every few seconds that this web node lives, with which libraries.
    """
    threading.Thread(target=_live, args=(worker.log,), daemon=True).start()


def worker_exit(_server: Any, worker: Any) -> None:
    """A worker that ends in order is missed by nobody."""
    _leaving.set()
    has_spoken = _speaking.acquire(timeout=2)  # what it is saying this moment must not come after
    _ask_database(_leave, worker.log)
    if has_spoken:
        _speaking.release()


def _live(log: Any) -> None:
    _warm_up(log)
    while not _leaving.is_set():
        with _speaking:
            _ask_database(_beat, log)
        _leaving.wait(BEAT)


def _beat() -> None:
    if _leaving.is_set():
        return
    from predictions import predictor  # noqa: PLC0415  # Django is set up by the time a worker is
    from training import nodes  # noqa: PLC0415  # as above

    state = predictor.current()  # without a request, too: what the row says is so now
    failure = state.failure if state.failure and state.failure.is_incompatible else None
    nodes.beat_web(
        loaded=state.loaded.version_id if state.loaded else None,
        refused=failure.version_id if failure else None,
        refusal=failure.reason if failure else "",
    )


def _leave() -> None:
    from training import nodes  # noqa: PLC0415  # as in _beat

    nodes.leave()


def _ask_database(question: Callable[[], None], log: Any) -> None:
    """On a connection for this moment alone; a database that is away is no reason to end."""
    from django.db import Error, connection  # noqa: PLC0415  # as in _beat

    try:
        question()
    except Error as error:
        _failures(log).failed(UNNOTED, error)
    else:
        _failures(log).succeeded(UNNOTED)
    finally:
        connection.close()


@cache
def _failures(log: Any) -> Any:
    from training.outages import FailureLog  # noqa: PLC0415  # as in _beat

    return FailureLog(log)


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


def post_request(_worker: Any, _request: Any, environ: Any, response: Any) -> None:
    """Once the answer is sent and forgotten, what a long one or its request took goes back to the system."""
    received = int(environ.get("CONTENT_LENGTH") or 0)  # of a body in chunks, set once it was read
    if max(received, response.sent if response else 0) > LONG and _gives_back.acquire(blocking=False):
        threading.Timer(1.0, _give_back_once).start()


def _give_back_once() -> None:
    """For all requests that ended within the second."""
    _gives_back.release()
    _give_memory_back()


def _give_memory_back() -> None:
    gc.collect()
    with suppress(AttributeError):  # only the GNU library has it
        ctypes.CDLL(None).malloc_trim(0)
