"""docs/security.md names tests that are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
MADE = {"check --deploy", ".ci/run", "make fuzz", "tests/matrix.txt"}


def test_every_promise_is_shown_by_a_test_that_exists() -> None:
    page = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
    promises = re.findall(r"^\|(?P<promise>[^|]+)\|[^|]+\|(?P<shown>[^|]+)\|$", page, re.MULTILINE)
    shown = {name for _promise, cell in promises for name in re.findall("`([^`]+)`", cell)}
    tests = {name for name in shown - MADE if re.search(r"(^|/)(test_|datafiles|fuzzing)", name)}
    there = {str(path.relative_to(ROOT)).removesuffix(".py") for path in (ROOT / "tests").rglob("*")}
    missing = [name for name in tests if not any(path.endswith(f"/{name}") for path in there)]
    assert len(tests) > 20
    assert missing == []
