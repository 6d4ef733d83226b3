"""The queue: django-q2's cluster, and a watch over it that does not share its fate.

What django-q2 does not survive by itself (each was seen): a worker that is killed while it waits takes the
task queue's lock along, and its successor waits for ever; when the sentinel is killed, its orphans go on and
the main process ends with code 0; messages that a killed cluster had fetched stay locked until the retry
clock runs out. So a watch starts the cluster as a child, and starts a fresh one when anything in it died, or
when a session waits and nobody takes it.
"""

import argparse
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing import Event, Process
from typing import Any, TypeVar
from uuid import uuid4

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error, connection
from django_q import cluster as django_q_cluster
from django_q.signals import post_spawn

from training import nodes, schedules, sessions, tasks
from training.companions import Companions
from training.database import database_now
from training.models import TrainingSession
from training.outages import FailureLog
from training.processes import (
    StopRequest,
    die_with_parent,
    kill_group,
    spawn_command,
    stop_requests,
    tie_forks_to_their_parents,
)
from training.sender import Sender
from training.watchdog import Watchdog

logger = logging.getLogger(__name__)
failures = FailureLog(logger)

T = TypeVar("T")

TICK = 0.2  # seconds between looks at the cluster
LOOK = 2.0  # seconds between looks at the sessions
HAND_BACK = 4.0  # seconds that a worker has to give its session back
BACK_OFF = (0.2, 1, 2, 5)  # seconds before the cluster is started again
STEADY = 10.0  # seconds after which a cluster's death counts as the first


class Command(BaseCommand):
    help = (
        "Runs the queue that trains: one worker, started afresh whenever a part of it dies. Stop it with "
        "Ctrl-C or SIGTERM: a running training gets some seconds to finish, then it is given back to the "
        "queue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--grace",
            type=float,
            default=20.0,
            metavar="SECONDS",
            help="how long a running training may take to finish when the queue is stopped (default: 20)",
        )
        parser.add_argument("--unsupervised", action="store_true", help=argparse.SUPPRESS)
        parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)

    def handle(self, *, grace: float, unsupervised: bool, parent: int, **options: Any) -> None:
        if unsupervised:
            run_cluster(parent)
        else:
            watch(grace)


# --- The cluster -------------------------------------------------------------------------------


class Sentinel(django_q_cluster.Sentinel):
    """django-q2's sentinel, which ends with its processes instead of replacing one of them."""

    def reincarnate(self, process: Process) -> None:
        logger.error("A process of the queue died (%s): the queue starts afresh", process.name)
        if process in self.pool:
            # Without its worker the queue cannot even end in order: it would wait for the one to take the
            # tasks that the other processes still hand over. They die with this one.
            os._exit(1)
        self.stop_event.set()  # after the training that may run


def run_cluster(parent: int) -> None:
    """Run the sentinel with its worker, pusher and monitor until SIGTERM or until one of them dies."""
    die_with_parent(parent)
    stop = StopRequest()
    sentinel = Sentinel(stop, Event(), uuid4(), start=False)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    post_spawn.connect(load_ahead)
    tie_forks_to_their_parents()
    sentinel.start()


def load_ahead(**_: object) -> None:
    """In the worker, as soon as it is there: the first training shall not wait for it either."""
    tasks.launcher.warm()


# --- The watch ---------------------------------------------------------------------------------


def watch(grace: float) -> None:
    """Keep a cluster running, the sessions' rows true, troubles known, notices sent, long work done.

    Until SIGTERM or SIGINT.
    """
    deaths, threads, companions = 0, (Sender(), Watchdog()), Companions(settings.QUEUE_COMPANIONS)
    with stop_requests(signal.SIGTERM, signal.SIGINT) as stop:
        while not stop.is_set():
            started = time.monotonic()
            if refusal := ask_database(nodes.why_no_training, otherwise=""):
                stand_by(refusal, stop, threads, companions)
                continue
            if not ask_database(prepare, otherwise=False):  # a cluster without a database ends at once
                live(threads, companions)
                pause(LOOK, stop)
                continue
            cluster = spawn_command("qcluster", "--unsupervised", "--skip-checks")
            try:
                guard(cluster, stop, threads, companions)
                if stop.is_set() or ask_database(nodes.why_no_training, otherwise=""):
                    stop_gently(cluster, grace)
            finally:
                kill_group(cluster)
                cluster.wait()
            deaths = 1 if time.monotonic() - started > STEADY else deaths + 1
            pause(BACK_OFF[min(deaths, len(BACK_OFF)) - 1], stop)
    companions.stop()
    ask_database(sessions.recover_sessions, otherwise=0)
    for thread in threads:
        thread.stop()
    ask_database(nodes.leave, otherwise=None)


def prepare() -> bool:
    """Make the schedule, and ring for who waits: a killed cluster may have taken the message along."""
    schedules.ensure_schedule()
    for session in TrainingSession.objects.filter(status=TrainingSession.Status.QUEUED):
        sessions.ring(session.pk)
    return True


def guard(
    cluster: "subprocess.Popen[bytes]",
    stop: StopRequest,
    threads: Sequence[Sender | Watchdog],
    companions: Companions,
) -> None:
    """Return when the cluster ended, or is deaf, or shall take no training, or somebody asked to stop.

    A fresh one has half as long again as POST /train waits before it counts as deaf.
    """
    started = looked = time.monotonic()
    time_to_start = settings.TRAINING_CLAIM_WAIT * 1.5
    while cluster.poll() is None and not stop.wait(TICK):
        now = time.monotonic()
        if now - looked < LOOK:
            continue
        looked = now
        live(threads, companions)
        if ask_database(must_stand_by, otherwise=False):
            return
        unheard = ask_database(somebody_waits_unheard, otherwise=False)
        if unheard and now - started > time_to_start:
            logger.error("A training session waits and the queue does not take it: it starts afresh")
            return


def stand_by(
    refusal: str, stop: StopRequest, threads: Sequence[Sender | Watchdog], companions: Companions
) -> None:
    """Live without a cluster, so that messages wait for a node that may train; until this one may."""
    logger.warning("This node takes no training: %s", refusal)
    while not stop.is_set():
        live(threads, companions)
        pause(LOOK, stop)
        if not ask_database(nodes.why_no_training, otherwise=refusal):
            logger.warning("This node takes trainings again")
            return


def live(threads: Sequence[Sender | Watchdog], companions: Companions) -> None:
    """Say that this node lives, and keep up what it does beside trainings."""
    ask_database(nodes.beat, otherwise=None)
    for thread in threads:
        thread.keep()
    ask_database(companions.keep, otherwise=None)


def must_stand_by() -> bool:
    """Whether this node has to leave trainings to others, once none runs any more."""
    is_training = TrainingSession.objects.filter(status=TrainingSession.Status.RUNNING)
    return bool(nodes.why_no_training()) and not is_training.exists()


def somebody_waits_unheard() -> bool:
    """Recover what can be; whether a session waits longer than any worker needs to take it.

    Half as long as POST /train waits: the request that meets a deaf queue may still be served by the next.
    """
    sessions.recover_sessions()
    limit = database_now() - timedelta(seconds=settings.TRAINING_CLAIM_WAIT / 2)
    waiting = TrainingSession.objects.filter(status=TrainingSession.Status.QUEUED)
    return waiting.filter(queued_at__lt=limit).exists()


def stop_gently(cluster: "subprocess.Popen[bytes]", grace: float) -> None:
    """Ask the cluster to end after the training that runs; then ask the worker to give it back."""
    cluster.terminate()
    try:
        cluster.wait(grace)
    except subprocess.TimeoutExpired:
        logger.warning("The queue still works after %g s: a training that runs is given back", grace)
        kill_group(cluster, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            cluster.wait(HAND_BACK)


def pause(seconds: float, stop: StopRequest) -> None:
    """Sleep, unless somebody asked to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and not stop.is_set():
        stop.wait(TICK)


def ask_database(question: Callable[[], T], *, otherwise: T) -> T:
    """Return the answer; the watch outlives a database that restarts, takes nothing, or is not migrated."""
    refused = f"The database refuses {question.__qualname__}"
    try:
        answer = question()
    except Error as error:
        failures.failed(refused, error)
        connection.close()
        return otherwise
    failures.succeeded(refused)
    return answer
