"""A long file of reports, scored by one queue node, by two, and by three of which one is killed."""

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from nodes.fleet import Fleet, Node, wait_until
from nodes.report import Report

GAIN = 1.4  # times the rows a second that the second node brings at least, where two cores are free
PATIENCE = 1_800  # seconds that a file may take
TEXTS = ("FUITE VAPEUR VANNE DE PURGE", "VIBRATION PALIER VENTILATEUR", "BRUIT ANORMAL POMPE ALIMENTAIRE")
NAMES = ("Vanne", "Ventilateur", "Pompe")


@dataclass(frozen=True, kw_only=True)
class Done:
    """A file that was scored."""

    seconds: float  # from the first piece to the last
    digest: str  # of the result
    lines: int  # of the result, the header aside


def prediction_jobs(ours: Fleet, report: Report, *, rows: int) -> None:
    """More nodes are faster, and a node that dies changes nothing: the results are the same to the byte."""
    for node in ours.queues:
        node.kill()
    file = ours.scratch / "reports.csv"
    file.write_text("".join(_lines(rows)), encoding="utf-8")
    _start_node(ours)
    alone = _score(ours, file)
    _say(report, "one node", rows, alone)
    _start_node(ours)
    together = _score(ours, file)
    gain = alone.seconds / together.seconds
    _say(report, "two nodes", rows, together)
    report.say(f"The second node brings {gain:.2f} times the rows a second", holds=gain >= GAIN)
    _start_node(ours)
    bereft = _score(ours, file, victim=ours.queues[0])
    _say(report, "three nodes, one killed and replaced", rows, bereft)
    report.say(
        f"All results have {alone.lines:,} lines, and are the same to the byte",
        holds={alone.digest} == {together.digest, bereft.digest} and alone.lines == rows,
    )


def _start_node(ours: Fleet) -> None:
    """With one process for prediction jobs: a node more means a core more."""
    ours.start("worker", PREDICTION_PROCESSES="1", OMP_NUM_THREADS="1")
    time.sleep(10)  # its launcher loads what trainings need, and would take a core from the others


def _score(ours: Fleet, file: Path, *, victim: Node | None = None) -> Done:
    """Send it to one web node, follow it at the next one, and fetch the result from the third."""
    first, second, third = ours.webs[:3]
    route = "/api/v1/prediction-jobs/"
    with file.open("rb") as content:
        answer = requests.post(
            f"{first.url}{route}", files={"file": content}, headers=ours.authorization, timeout=600
        )
    answer.raise_for_status()
    job = f"{route}{answer.json()['id']}/"

    def state() -> dict[str, object]:
        found: dict[str, object] = requests.get(
            f"{second.url}{job}", headers=ours.authorization, timeout=60
        ).json()
        return found

    if victim is not None:
        wait_until(lambda: int(str(state()["progress"])) >= 20, "a fifth is scored", PATIENCE)
        victim.kill()
        _start_node(ours)
    while not state()["finished_at"]:
        time.sleep(0.2)
    result = requests.get(f"{third.url}{job}result/", headers=ours.authorization, timeout=600)
    result.raise_for_status()
    query = "SELECT extract(epoch FROM finished_at - started_at)::float FROM predictions_predictionjob "
    [(seconds,)] = ours.database(f"{query} ORDER BY id DESC LIMIT 1")
    return Done(
        seconds=seconds,
        digest=hashlib.sha256(result.content).hexdigest(),
        lines=result.content.count(b"\n") - 1,
    )


def _lines(rows: int) -> Iterator[str]:
    yield "anomaly_id,description,equipment_name,equipment_id\n"
    for n in range(rows):
        yield f"job-{n},{TEXTS[n % 3]} {n},{NAMES[n % 3]},eq-{n % 97}\n"


def _say(report: Report, who: str, rows: int, done: Done) -> None:
    report.say(f"{rows:,} rows by {who}: {done.seconds:.1f} s, {rows / done.seconds:,.0f} rows a second")
