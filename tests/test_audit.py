"""The audit of dependencies does not take silence for health."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

PATH = Path(__file__).parent.parent / ".ci" / "audit.py"
SOUND = {"name": "django", "version": "5.2.19", "vulns": []}
SILENT = {"name": "numpy", "skip_reason": "not found"}
BROKEN = {"name": "pillow", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}


def verdict(packages: list[dict[str, Any]] | None) -> tuple[str, bool]:
    spec = importlib.util.spec_from_file_location("audit", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told: tuple[str, bool] = module.verdict(packages)
    return told


@pytest.mark.parametrize(
    ("packages", "text", "lenient", "strict"),
    [
        ([SOUND], "No known hole in 1 packages.", True, True),
        ([SOUND, BROKEN], "Known holes:\npillow 1.0: CVE-1, mended in 1.1", False, False),
        ([SILENT, BROKEN], "Known holes:\npillow 1.0: CVE-1, mended in 1.1", False, False),
        ([SILENT], "NOT AUDITED: the advisories know none of the 1 packages: numpy", True, False),
        ([SOUND, SILENT], "NOT AUDITED: the advisories know all but 1 of the 2 packages: numpy", True, False),
        (None, "NOT AUDITED: the advisories cannot be asked from here.", True, False),
    ],
)
def test_the_verdict(
    packages: list[dict[str, Any]] | None,
    text: str,
    lenient: bool,
    strict: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUDIT", raising=False)
    assert verdict(packages) == (text, lenient)
    monkeypatch.setenv("AUDIT", "required")
    assert verdict(packages) == (text, strict)
