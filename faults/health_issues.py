"""What the operator is told of a fault that lasts: in /health, /metrics, the log, and by `doctor`.

Named within a minute while it lasts, and gone by itself afterwards; nothing else is named at any time.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from faults.product import ANSWER, Product
from faults.table import Row
from tests.queue_processes import wait_until
from training.findings import WORDS
from training.models import Finding

FOUND = 60.0  # seconds until it is named
GONE = 90.0  # seconds until it is named no more
SCRAPED = re.compile(r'^anomaly_\w+\{[^}]*\bcode="(\w+)"[^}]*\} (?!0(?:\.0)?$)', re.MULTILINE)
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]")

Code = Finding.Code


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One that lasts until it is ended, and the health issue that names it.

    `word` is how `doctor` calls it; `also` are issues that follow from it. `sample` is a line of /metrics
    that says it where no issues can be read; `environment` that of the node which is looked at.
    """

    name: str
    code: Code
    word: str
    begin: Callable[[], object]
    end: Callable[[], object]
    also: frozenset[Code] = frozenset()
    sample: str = ""
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Logs:
    """What the product's processes log from now on."""

    scratch: Path
    read: dict[Path, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.read = {log: log.stat().st_size for log in self.scratch.glob("*.log")}

    def say(self, text: str) -> bool:
        return any(
            text.encode() in log.read_bytes()[self.read.get(log, 0) :] for log in self.scratch.glob("*.log")
        )


@contextmanager
def lasting(product: Product, row: Row, faults: Sequence[Fault]) -> Iterator[None]:
    """The faults, all at once, for the block, which begins when each of them is named everywhere.

    They end with the block, however it ends; then nothing is named any more.
    """
    newest = Finding.objects.order_by("pk").values_list("pk", flat=True).last() or 0
    logs, began = Logs(scratch=product.scratch), time.monotonic()
    with ExitStack() as stack:
        for fault in faults:
            stack.callback(fault.end)
            fault.begin()
        for fault in faults:
            _wait_until_named(product, fault, logs, began)
        row.took(time.monotonic() - began, at_most=FOUND)
        for fault in faults:
            check_doctor(product, fault)
        yield
    wait_until_well(product)
    expected = {code for fault in faults for code in (fault.code, *fault.also)}
    alarms = set(Finding.objects.filter(pk__gt=newest).values_list("code", flat=True)) - expected
    assert not alarms, f"false alarms: {', '.join(sorted(alarms))}"


def _wait_until_named(product: Product, fault: Fault, logs: Logs, began: float) -> None:
    places: dict[str, Callable[[], bool]] = {
        "/health": lambda: fault.code in named_by_health(product),
        "/metrics": lambda: named_by_metrics(product, fault),
        "the log": lambda: logs.say(sentence_of(fault.code)),
    }
    for place, is_named in places.items():
        left = FOUND - (time.monotonic() - began)
        try:
            wait_until(is_named, left)
        except AssertionError as error:
            raise AssertionError(f"{fault.name}: {place} has not named {fault.code.value}") from error


def wait_until_well(product: Product, seconds: float = GONE) -> None:
    """Until a model serves and no issue is open."""
    deadline = time.monotonic() + seconds
    while (named := named_by_health(product)) or not is_healthy(product):
        assert time.monotonic() < deadline, f"after {seconds:g} s still: {', '.join(sorted(named))}"
        time.sleep(0.2)


def is_healthy(product: Product) -> bool:
    return bool(product.get("/health").json()["status"] == "healthy")


def named_by_health(product: Product) -> set[str]:
    """The codes of the issues that a client reads."""
    answer = product.get("/health")
    assert answer.status_code == 200, f"GET /health: {answer.status_code} {answer.text[:200]}"
    return {problem["code"] for problem in answer.json().get("problems", [])}


def named_by_metrics(product: Product, fault: Fault) -> bool:
    answer = requests.get(f"{product.inside}/metrics", timeout=ANSWER)
    assert answer.status_code == 200, f"GET /metrics: {answer.status_code} {answer.text[:200]}"
    lines = answer.text.splitlines()
    return fault.code in SCRAPED.findall(answer.text) or bool(fault.sample and fault.sample in lines)


def check_doctor(product: Product, fault: Fault) -> None:
    """It comes to its end, and names the fault in what it finds wrong."""
    done = product.manage("doctor", "--json", env=product.environment | fault.environment)
    assert "Traceback" not in done.stderr, f"doctor: {done.stderr[-500:]}"
    assert done.returncode in {1, 2}, (
        f"doctor says {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
    )
    found = [result for result in json.loads(done.stdout)["results"] if result["level"] != "ok"]
    named = [f"{each['about']} {each['detail']}".lower() for each in found]
    assert any(fault.word in text for text in named), f"no {fault.word} in {named}"


def sentence_of(code: Code) -> str:
    """The longest piece of the issue's sentence that names nothing."""
    return max(PLACEHOLDER.split(str(WORDS[code][0])), key=len).strip(" :.;")
