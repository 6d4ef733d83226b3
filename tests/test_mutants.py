"""Every mutant of `python -m tests.mutations` still breaks the product, and names suites that exist."""

import re
from pathlib import Path

import pytest
from django.conf import settings

from faults.__main__ import FIGURES
from tests.mutations.mutants import FAULTS, MUTANTS, Mutant, NotApplicableError

ROOT = Path(settings.BASE_DIR)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies(mutant: Mutant, tmp_path: Path) -> None:
    copy = tmp_path / mutant.path
    copy.parent.mkdir(parents=True)
    original = (ROOT / mutant.path).read_text(encoding="utf-8")
    copy.write_text(original, encoding="utf-8")
    assert mutant.apply(tmp_path) == original
    broken = copy.read_text(encoding="utf-8")
    assert broken != original
    compile(broken, mutant.path, "exec")
    mutant.restore(tmp_path, original)
    assert copy.read_text(encoding="utf-8") == original


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_suite_exists(mutant: Mutant) -> None:
    for suite in mutant.suites:
        if suite.startswith(FAULTS):
            assert int(suite.removeprefix(FAULTS)) in FIGURES
            continue
        path, *names = suite.split("::")
        source = (ROOT / path).read_text(encoding="utf-8")
        for name in names:
            assert re.search(rf"(?:def|class) {name}\b", source), f"{suite} does not exist"


def test_a_mutant_whose_place_is_gone_is_told(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text("a = 1\na = 1\n")
    twice = Mutant(name="twice", path="module.py", old="a = 1", new="a = 2", suites=())
    gone = Mutant(name="gone", path="module.py", old="b = 1", new="b = 2", suites=())
    for mutant, count in ((twice, 2), (gone, 0)):
        with pytest.raises(NotApplicableError, match=f"{count} places in module.py instead of one"):
            mutant.apply(tmp_path)


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
