"""`make nodes`: three web nodes, three queue nodes, one database, one S3 server, one Redis; some are killed.

First trainings, while a queue node is killed and another one paused beyond its lease; then activations under
load, while a web node and a queue node are killed. All of it on this machine, with loopback addresses only.
"""

import argparse
import itertools
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nodes.fleet import LEASE, Fleet, Node, fleet, is_healthy, started_at, wait_until
from nodes.judging import Activated, steps_back, switch_times
from nodes.load import Load

WORKERS = (3, 3, 2)  # of the web nodes
LIMIT = 2.0  # seconds until every worker has switched
VERSIONS = 5  # that take turns
BETWEEN = 1.0  # seconds from one activation to the next
CLOCK = 0.05  # seconds by which the clock of processes may be behind
CLIENTS = 6  # that ask for trainings at a time


@dataclass
class Report:
    """What was found, a line each; `wrong` counts what must not be."""

    wrong: int = 0

    def say(self, text: str, *, holds: bool = True) -> None:
        self.wrong += not holds
        print(f"{'  ' if holds else '! '}{text}", flush=True)


@dataclass(kw_only=True)
class Watch:
    """Looks at the processes, again and again: how many train at once."""

    fleet: Fleet
    most: int = 0
    looks: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    resumed: set[int] = field(default_factory=set)  # lost their session while they were paused: they leave

    def look(self) -> None:
        while not self.stop.wait(0.05):
            self.looks += 1
            found = [pid for _, pid in self.fleet.trainings() if pid not in self.resumed]
            if len(found) > self.most:
                self.most = max(self.most, sum(not self._has_ended(pid) for pid in found))

    def _has_ended(self, pid: int) -> bool:
        """The process began in a session that is closed by now: it does not train any more, it leaves."""
        ended = self.fleet.database(
            "SELECT extract(epoch FROM started_at), extract(epoch FROM finished_at) "
            "FROM training_trainingsession WHERE finished_at IS NOT NULL"
        )
        moment = started_at(pid) + CLOCK
        return any(start <= moment <= end for start, end in ended)


def main() -> int:
    options = _options()
    report = Report()
    with tempfile.TemporaryDirectory(prefix="nodes-") as scratch:
        with fleet(Path(scratch), options.server, options.redis) as ours:
            began = time.monotonic()
            for workers in WORKERS:
                ours.start("web", WEB_WORKERS=str(workers))
            for _ in range(3):
                ours.start("worker")
            for node in ours.webs:
                wait_until(partial(is_healthy, node), f"{node.name} is healthy")
            ready = time.monotonic() - began
            report.say(f"3 web nodes ({sum(WORKERS)} workers) and 3 queue nodes: ready in {ready:.1f} s")
            trainings(ours, report, requests=40 if options.short else 500)
            activations(ours, report, count=12 if options.short else 50)
        print("All of it holds." if not report.wrong else f"{report.wrong} of these do not hold.")
    return int(report.wrong > 0)


# --- Trainings ---------------------------------------------------------------------------------


def trainings(ours: Fleet, report: Report, *, requests: int) -> None:
    """Ask for more trainings than can be; kill who trains, pause who trains."""
    watch = Watch(fleet=ours)
    watcher = threading.Thread(target=watch.look)
    watcher.start()
    answers: Counter[int] = Counter()
    try:
        killed = _begin_training(ours, answers)
        victim, _ = wait_until(ours.trainings, "somebody trains")[0]
        victim.kill()
        ours.start("worker")
        _wait_for_end(ours, killed)
        paused, version = _pause_beyond_the_lease(ours, watch, answers)
        _ask_for_trainings(ours, answers, requests)
        wait_until(lambda: not _active(ours), "the last training ends")
    finally:
        watch.stop.set()
        watcher.join()
    sessions = ours.database(
        "SELECT s.id, s.status, s.attempts, v.name FROM training_trainingsession s "
        "LEFT JOIN training_modelversion v ON v.id = s.model_version_id ORDER BY s.id"
    )
    ended = {row[0]: row[1:] for row in sessions}
    report.say(
        f"{sum(answers.values())} requests for trainings: {answers[202]} accepted, {answers[409]} refused "
        f"because one ran, {sum(answers.values()) - answers[202] - answers[409]} others",
        holds=set(answers) <= {202, 409},
    )
    statuses = Counter(status for status, *_ in ended.values())
    attempts = sum(row[1] for row in ended.values())
    report.say(f"Sessions: {dict(statuses)}, with {attempts} attempts", holds=set(statuses) == {"succeeded"})
    report.say(f"Trainings at once: at most {watch.most}, in {watch.looks} looks", holds=watch.most == 1)
    report.say(
        f"{victim.name} was killed while it trained: attempt {ended[killed][1]} succeeded elsewhere",
        holds=ended[killed][:2] == ("succeeded", 2),
    )
    report.say(
        f"A holder paused for {LEASE + 3} s came back and published nothing: {version} is attempt 2's",
        holds=ended[paused][:2] == ("succeeded", 2) and version.endswith("_2"),
    )


def _pause_beyond_the_lease(ours: Fleet, watch: Watch, answers: "Counter[int]") -> tuple[int, str]:
    """The session whose holder was paused and woke after another had taken over, and what was published."""
    session = _begin_training(ours, answers)
    node, pid = wait_until(ours.trainings, "somebody trains")[0]
    node.signal(signal.SIGSTOP)
    watch.resumed.add(pid)
    time.sleep(LEASE + 3)
    node.signal(signal.SIGCONT)
    _wait_for_end(ours, session)
    time.sleep(3)  # for the one that woke up, were it to publish
    names = [name for (name,) in ours.database("SELECT name FROM training_modelversion")]
    return session, ", ".join(name for name in names if name.split("_")[3] == str(session))


def _begin_training(ours: Fleet, answers: "Counter[int]") -> int:
    """A session that runs."""
    number = next(_numbers)
    response = ours.ask(ours.webs[number % 3], "/train", [_record(number)], Prefer="respond-async")
    answers[response.status_code] += 1
    session: int = response.json()["training_session_id"]
    return session


def _ask_for_trainings(ours: Fleet, answers: "Counter[int]", requests: int) -> None:
    def ask(number: int) -> None:
        response = ours.ask(ours.webs[number % 3], "/train", [_record(number)], Prefer="respond-async")
        answers[response.status_code] += 1
        time.sleep(0.5)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, itertools.islice(_numbers, requests)))


_numbers = itertools.count()


def _record(number: int) -> dict[str, object]:
    return {
        "anomaly_id": f"node-{number}",
        "description": f"VIBRATION PALIER VENTILATEUR {number}",
        "equipment_name": "Ventilateur",
        "equipment_id": f"fan-{number % 7}",
        "availability_score": 1 + number % 5,
        "fiability_score": 1 + number % 3,
        "process_safety_score": 5 - number % 4,
    }


def _active(ours: Fleet) -> bool:
    found = ours.database(
        "SELECT count(*) FROM training_trainingsession WHERE status IN ('queued', 'running')"
    )
    return bool(found[0][0])


def _wait_for_end(ours: Fleet, session: int) -> None:
    query = "SELECT id FROM training_trainingsession WHERE finished_at IS NOT NULL"
    wait_until(lambda: (session,) in ours.database(query), f"session {session} ends")


# --- Activations -------------------------------------------------------------------------------


def activations(ours: Fleet, report: Report, *, count: int) -> None:
    """Let versions take turns through all nodes, under load; kill a web node and a queue node meanwhile."""
    load, made, began = Load(), list[Activated](), time.monotonic()
    for node, workers in zip(ours.webs, WORKERS, strict=True):
        load.begin(node, workers)
    rows = ours.database("SELECT id FROM training_modelversion ORDER BY id DESC LIMIT 5")
    versions = itertools.cycle([row[0] for row in reversed(rows)])
    replacement: Node | None = None
    for number in range(count):
        if number == count // 3:
            ours.webs[1].kill()
            replacement = ours.start("web", WEB_WORKERS=str(WORKERS[1]))
        if number == count // 2:
            ours.queues[0].kill()
            ours.start("worker")
        if replacement and is_healthy(replacement):
            load.begin(replacement, WORKERS[1])
            replacement = None
        made.append(_activate(ours, _next_node(ours, number), next(versions), report))
        time.sleep(BETWEEN)
    time.sleep(LIMIT)
    load.end()
    _judge(load, made, report, time.monotonic() - began)
    wait_until(lambda: not replacement or is_healthy(replacement), "the new web node is healthy")


def _next_node(ours: Fleet, number: int) -> Node:
    """The nodes take turns; one that has just been started waits until it answers."""
    ready = [node for node in ours.webs if is_healthy(node)]
    return ready[number % len(ready)]


def _activate(ours: Fleet, node: Node, version: int, report: Report) -> Activated:
    asked = time.monotonic()
    response = ours.ask(node, f"/api/v1/model-versions/{version}/activate/", {"reason": "It is its turn."})
    if response.status_code != 200:
        report.say(f"{node.name} did not activate {version}: {response.text[:200]}", holds=False)
    return Activated(version=version, asked=asked, done=time.monotonic())


def _judge(load: Load, made: list[Activated], report: Report, seconds: float) -> None:
    lags = switch_times(load.answers, made)
    slowest = max(max(mine) for mine in lags.values())
    wrong = [failure for failure in load.failures if not failure.is_excused]
    back = steps_back(load.answers, made)
    report.say(
        f"{len(made)} activations while {len(load.answers)} predictions were answered by {len(lags)} workers "
        f"({len(load.answers) / seconds:.0f} a second), a web node and a queue node killed and replaced"
    )
    report.say(
        f"Failed requests: {len(wrong)}, beside {len(load.failures) - len(wrong)} at the node that was killed"
        + "".join(f"; {failure.node.name}: {failure.reason}" for failure in wrong[:3]),
        holds=not wrong,
    )
    report.say(f"Slowest switch of a worker: {slowest:.2f} s", holds=slowest <= LIMIT)
    report.say(f"Steps back to an older version: {back}", holds=not back)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nodes", description=__doc__)
    parser.add_argument("--short", action="store_true", help="40 requests and 12 activations: two minutes")
    parser.add_argument("--server", default="postgres://postgres@127.0.0.1:5432/postgres", metavar="URL")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379/0", metavar="URL")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
