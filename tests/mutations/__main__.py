"""`python -m tests.mutations`: break the product, one promise at a time, and see that a suite notices.

Each mutant is put into a copy of the checkout, and its suites run there, the quick ones first, until one
fails. Before that all of them pass on the copy as it is. A mutant that survives, or whose old text is gone,
ends the run with 1.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.mutants import FAULTS, Mutant, NotApplicableError, chosen

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 900  # seconds that a suite has: a mutant may make it run for ever
LINE = "{:<62} {:>5}  {}"
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+?)(?: - |$)", re.MULTILINE)
LOST = re.compile(r"^LOST on .*", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`noticed` says by what, and is empty when the suite passed. `is_broken`: it did not even begin."""

    noticed: str = ""
    is_broken: bool = False
    output: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="only mutants whose names contain one of these")
    parser.add_argument("--all", action="store_true", help="run all suites, after one has noticed too")
    parser.add_argument("--without-faults", action="store_true", help="run no figure of the fault suite")
    options = parser.parse_args()
    mutants = chosen(options.names)
    with tempfile.TemporaryDirectory(prefix="mutations-") as directory:
        copy = Path(directory) / "checkout"
        _copy_checkout(copy)
        if failed := _baseline(copy, mutants, without_faults=options.without_faults):
            print(f"Without any mutant: {failed}")
            return 1
        print(LINE.format("broken", "s", "noticed by"), flush=True)
        survived = [
            mutant.name
            for mutant in mutants
            if not _is_noticed(copy, mutant, run_all=options.all, without_faults=options.without_faults)
        ]
    print(f"{len(mutants) - len(survived)} of {len(mutants)} mutants were noticed.")
    return int(bool(survived))


def _copy_checkout(copy: Path) -> None:
    """Every file that git knows or would add, and the virtual environment by a link."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and name != ".venv":
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").symlink_to(Path(sys.prefix))


def _baseline(copy: Path, mutants: list[Mutant], *, without_faults: bool) -> str:
    """The suites pass on the copy as it is; else which one does not."""
    suites = dict.fromkeys(suite for mutant in mutants for suite in mutant.suites)
    tests = [suite for suite in suites if not suite.startswith(FAULTS)]
    figures = [] if without_faults else [suite for suite in suites if suite.startswith(FAULTS)]
    for verdict in (_test(copy, *tests), *(_fault(copy, figure) for figure in figures)):
        if verdict.noticed or verdict.is_broken:
            return f"{verdict.noticed}\n{verdict.output[-3_000:]}"
    return ""


def _is_noticed(copy: Path, mutant: Mutant, *, run_all: bool, without_faults: bool) -> bool:
    began, noticed = time.monotonic(), list[str]()
    try:
        original = mutant.apply(copy)
    except NotApplicableError as error:
        print(LINE.format(mutant.name, "-", f"DOES NOT APPLY: {error}"), flush=True)
        return False
    try:
        for suite in mutant.suites:
            if without_faults and suite.startswith(FAULTS):
                continue
            verdict = _fault(copy, suite) if suite.startswith(FAULTS) else _test(copy, suite)
            if verdict.is_broken:
                noticed = []
                print(verdict.output[-3_000:])
                break
            if verdict.noticed:
                noticed.append(verdict.noticed)
                if not run_all:
                    break
            elif run_all:
                noticed.append(f"not by {suite}")
    finally:
        mutant.restore(copy, original)
    is_noticed = any(not text.startswith("not by ") for text in noticed)
    said = "; ".join(noticed) if is_noticed else "SURVIVED"
    print(LINE.format(mutant.name, f"{time.monotonic() - began:.0f}", said), flush=True)
    return is_noticed


def _test(copy: Path, *suites: str) -> Verdict:
    """Exit code 1 is a test that failed; any other one but 0 means that no test could say anything."""
    options = ["-q", "-x", "-n", "0", "-rfE", "--tb=short", "-p", "no:cacheprovider"]
    code, output = _run(copy, "pytest", *options, *suites)
    if code is None:
        return Verdict(noticed=f"{suites[0]}, which did not end", output=output)
    if code in {0, 1}:
        found = FAILED.search(output)
        return Verdict(
            noticed=found[1] if code and found else "", is_broken=bool(code and not found), output=output
        )
    return Verdict(is_broken=True, output=output)


def _fault(copy: Path, suite: str) -> Verdict:
    """A figure of the fault suite, each fault once, on SQLite."""
    figure = suite.removeprefix(FAULTS)
    code, output = _run(copy, "faults", "--short", "--figures", figure, "--database", "sqlite")
    if code == 0:
        return Verdict(output=output)
    lost = LOST.search(output)
    words = lost[0] if lost else "which did not end" if code is None else ""
    return Verdict(noticed=words and f"{suite}: {words[:150]}", is_broken=not words, output=output)


def _run(copy: Path, module: str, *arguments: str) -> tuple[int | None, str]:
    """The exit code, None when it had to be killed, and what it said."""
    command = [str(copy / ".venv" / "bin" / "python"), "-m", module, *arguments]
    process = subprocess.Popen(
        command,
        cwd=copy,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        return None, output
    return process.returncode, output


if __name__ == "__main__":
    sys.exit(main())
