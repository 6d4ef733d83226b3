"""Trainings that everybody asks for at once, while the nodes that train are killed and paused."""

import itertools
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests

from nodes.fleet import LEASE, Fleet, is_healthy, started_at, wait_until
from nodes.report import Report

CLOCK = 0.05  # seconds by which the clock of processes may be behind
CLIENTS = 6  # that ask for trainings at a time
PAUSE = 0.5  # seconds from an answer to the client's next request


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


@dataclass(kw_only=True)
class Trainings:
    """What was asked for, and what the answers were."""

    fleet: Fleet
    report: Report
    watch: Watch
    answers: Counter[int] = field(default_factory=Counter)
    lost: int = 0  # answers, with the node that was asked
    numbers: Iterator[int] = field(default_factory=itertools.count)

    @classmethod
    @contextmanager
    def watched(cls, ours: Fleet, report: Report) -> "Iterator[Trainings]":
        """Never two at once as long as the block lasts, and all of them succeed."""
        watch = Watch(fleet=ours)
        watcher = threading.Thread(target=watch.look)
        watcher.start()
        trainings = cls(fleet=ours, report=report, watch=watch)
        try:
            yield trainings
            wait_until(lambda: not trainings._is_active(), "the last training ends")
        finally:
            watch.stop.set()
            watcher.join()
        trainings._judge()

    def lose_holders(self) -> None:
        """Kill who trains, pause who trains: each time another node makes the training good."""
        killed = self._begin()
        victim, _ = wait_until(self.fleet.trainings, "somebody trains")[0]
        victim.kill()
        self.fleet.start("worker")
        self._wait_for_end(killed)
        self.report.say(
            f"{victim.name} was killed while it trained: {self._outcome(killed)} elsewhere",
            holds=self._outcome(killed) == "attempt 2 succeeded",
        )
        paused = self._pause_beyond_the_lease()
        names = [name for (name,) in self.fleet.database("SELECT name FROM training_modelversion")]
        published = [name for name in names if name.split("_")[3] == str(paused)]
        self.report.say(
            f"A holder paused for {LEASE + 3} s came back: {self._outcome(paused)}, "
            f"and what is published is {', '.join(published)}",
            holds=self._outcome(paused) == "attempt 2 succeeded"
            and [name.rpartition("_")[2] for name in published] == ["2"],
        )

    @contextmanager
    def asked_for(self, requests: int) -> Iterator[None]:
        """So many requests, beside what the block does."""
        with ThreadPoolExecutor(CLIENTS) as pool:
            asked = [pool.submit(self._ask) for _ in range(requests)]
            yield
            for request in asked:
                request.result()

    def _pause_beyond_the_lease(self) -> int:
        """The session whose holder was paused, and woke after another had taken over."""
        session = self._begin()
        node, pid = wait_until(self.fleet.trainings, "somebody trains")[0]
        node.signal(signal.SIGSTOP)
        self.watch.resumed.add(pid)
        time.sleep(LEASE + 3)
        node.signal(signal.SIGCONT)
        self._wait_for_end(session)
        time.sleep(3)  # for the one that woke up, were it to publish
        return session

    def _begin(self) -> int:
        """A session that will run, when no process of an earlier one is left."""
        wait_until(lambda: not self.fleet.trainings(), "nobody trains")
        session: int = self._request()["training_session_id"]
        return session

    def _ask(self) -> None:
        self._request()
        time.sleep(PAUSE)

    def _request(self) -> dict[str, int]:
        """To the nodes in turn. Who gets no answer asks the next one, with the same key."""
        number = next(self.numbers)
        headers = {"Prefer": "respond-async", "Idempotency-Key": f"training-{number}"}
        for node in self.fleet.webs[number % len(self.fleet.webs) :] + self.fleet.webs:
            try:
                response = self.fleet.ask(node, "/train", [_record(number)], **headers)
            except requests.ConnectionError:
                if is_healthy(node):
                    raise
                self.lost += 1  # the node was killed, or has only just been started
                continue
            self.answers[response.status_code] += 1
            answer: dict[str, int] = response.json()
            return answer
        raise RuntimeError("No web node answers.")

    def _is_active(self) -> bool:
        query = "SELECT count(*) FROM training_trainingsession WHERE status IN ('queued', 'running')"
        return bool(self.fleet.database(query)[0][0])

    def _wait_for_end(self, session: int) -> None:
        query = "SELECT id FROM training_trainingsession WHERE finished_at IS NOT NULL"
        wait_until(lambda: (session,) in self.fleet.database(query), f"session {session} ends")

    def _outcome(self, session: int) -> str:
        rows = self.fleet.database("SELECT id, attempts, status FROM training_trainingsession")
        return next(f"attempt {attempts} {status}" for key, attempts, status in rows if key == session)

    def _judge(self) -> None:
        query = "SELECT status, attempts FROM training_trainingsession WHERE trigger = 'api'"
        rows = self.fleet.database(query)
        statuses = Counter(status for status, _ in rows)
        # 200: sent again once the node that had accepted it was dead, and trained meanwhile.
        accepted, refused = self.answers[202] + self.answers[200], self.answers[409]
        self.report.say(
            f"{self.answers.total()} requests for trainings: {accepted} accepted, {refused} refused "
            f"because one ran, {self.answers.total() - accepted - refused} others; {self.lost} asked again, "
            "since their node was down",
            holds=set(self.answers) <= {200, 202, 409},
        )
        self.report.say(
            f"Sessions: {dict(statuses)}, one for each request accepted, with "
            f"{sum(attempts for _, attempts in rows)} attempts",
            holds=set(statuses) == {"succeeded"} and len(rows) == accepted,
        )
        self.report.say(
            f"Trainings at once: at most {self.watch.most}, in {self.watch.looks} looks",
            holds=self.watch.most == 1,
        )


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
