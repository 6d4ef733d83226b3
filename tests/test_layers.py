"""The arrow predictions → training → training.ml, and the layers inside training (docs/architecture.md)."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"ml", "errors", "outages", "processes", "launcher", "database"},
    {"models", "criticality", "shelves"},
    {
        "rules",
        "datafiles",
        "frames",
        "artifacts",
        "retention",
        "sample",
        "posting",
        "roles",
        "acts",
        "findings",
        "gate",
        "idempotency",
    },
    {
        "records",
        "validation",
        "review",
        "double_review",
        "versions",
        "backups",
        "restoring",
        "moving",
        "sessions",
        "session_log",
        "timeline",
        "estimates",
        "policy",
        "importing",
        "file_imports",
        "label_quality",
        "quality_checks",
        "notices",
        "deliveries",
        "nodes",
        "upkeep",
        "adopting",
        "repairs",
    },
    {"runner", "supervisor", "schedules", "sender", "companions", "dependencies", "troubles", "watchdog"},
    {"tasks"},
    {"admin", "api", "management", "checks", "doctor", "apps"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
OURS = {"anomalyproject", "training", "predictions", "tests"}
MODULES = sorted(
    path
    for app in ("training", "predictions")
    for path in (ROOT / app).rglob("*.py")
    if "migrations" not in path.parts and path.name != "__init__.py"
)


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Every module of ours that the file imports, anywhere in it, as a dotted name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {
        name for name in found if name.split(".")[0] in {"training", "predictions", "anomalyproject", "tests"}
    }


def room(name: str) -> str:
    return ([*name.split("."), ""])[1]


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_follow_the_arrow(path: Path) -> None:
    name = dotted(path)
    for imported in imports(path):
        assert not imported.startswith("tests"), f"{name} imports {imported}"
        if name.startswith("training.ml."):
            assert imported.startswith("training.ml."), f"{name} imports {imported}"
        elif name.startswith("training."):
            assert not imported.startswith("predictions"), f"{name} imports {imported}"


@pytest.mark.parametrize("path", [p for p in MODULES if dotted(p).startswith("training.")], ids=dotted)
def test_training_imports_from_the_same_layer_or_below(path: Path) -> None:
    name = dotted(path)
    assert room(name) in LEVEL, f"{name} stands in no layer: add it to docs/architecture.md and here"
    for imported in imports(path):
        if imported.startswith("training.") and room(imported) != room(name):
            assert LEVEL[room(imported)] <= LEVEL[room(name)], f"{name} imports {imported}"


def test_ml_knows_no_django() -> None:
    for path in (ROOT / "training" / "ml").rglob("*.py"):
        assert "django" not in path.read_text(encoding="utf-8").replace("No Django", ""), path


def test_starting_does_not_load_scikit_learn() -> None:
    """It takes a second and a hundred megabytes: only who fits, or loads a model, pays."""
    script = (
        "import sys, django; django.setup(); import anomalyproject.urls; "
        "print([name for name in ('sklearn', 'scipy') if name in sys.modules])"
    )
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "anomalyproject.settings"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("[]\n", 0), done.stderr


def reaches(imported: set[str], module: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for name in imported)


def test_there_are_no_import_circles() -> None:
    used = {dotted(path): imports(path) for path in MODULES}
    edges = {name: {other for other in used if other != name and reaches(used[name], other)} for name in used}
    while leaves := {name for name, targets in edges.items() if not targets & edges.keys()}:
        edges = {name: targets for name, targets in edges.items() if name not in leaves}
    assert not edges, f"import circle among {sorted(edges)}"
