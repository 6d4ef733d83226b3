"""Versions that take turns under load, while a web node and a queue node are killed and replaced."""

import itertools
import time
from collections.abc import Sequence

from nodes.fleet import Fleet, Node, is_healthy, wait_until
from nodes.judging import Activated, steps_back, switch_times
from nodes.load import Load
from nodes.report import Report

LIMIT = 2.0  # seconds until every worker has switched
BETWEEN = 1.0  # seconds from one activation to the next


def activations(ours: Fleet, report: Report, workers: Sequence[int], *, count: int) -> None:
    """Let versions take turns through all nodes, under load; kill a web node and a queue node meanwhile.

    `workers`: how many each web node has.
    """
    load, made, began = Load(authorization=ours.authorization), list[Activated](), time.monotonic()
    for node, its_workers in zip(ours.webs, workers, strict=True):
        load.begin(node, its_workers)
    rows = ours.database("SELECT id FROM training_modelversion ORDER BY id")
    versions = itertools.cycle([row[0] for row in rows])
    replacement: Node | None = None
    for number in range(count):
        if number == count // 3:
            ours.webs[1].kill()
            replacement = ours.start("web", WEB_WORKERS=str(workers[1]))
        if number == count // 2:
            ours.queues[0].kill()
            ours.start("worker")
        if replacement and is_healthy(replacement):
            load.begin(replacement, workers[1])
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
