"""What the plant is given beside the program: units, image, compose file, guides; as far as CI can."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from django.conf import settings

from tests.sampling import on_sqlite_alone

ROOT = settings.BASE_DIR
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing: apt-get install systemd"
)
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong(unit: Path, tmp_path: Path) -> None:
    """The program is not under /opt here: its place is put in, all else is as shipped."""
    text = unit.read_text().replace("/opt/anomalies/.venv/bin/python", sys.executable)
    gunicorn = str(Path(sys.executable).parent / "gunicorn")
    text = text.replace("/opt/anomalies/.venv/bin/gunicorn", gunicorn)
    copy = tmp_path / unit.name
    copy.write_text(text)
    command = ["systemd-analyze", "verify", "--man=no", str(copy)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])


def test_both_units_restart_and_read_the_same_settings() -> None:
    assert [unit.name for unit in UNITS] == ["anomalies-queue.service", "anomalies-web.service"]
    for unit in UNITS:
        lines = set(unit.read_text().splitlines())
        assert {"Restart=always", "EnvironmentFile=/etc/anomalies.env", "NoNewPrivileges=yes"} <= lines


def test_the_image_copies_what_exists() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1] for line in lines if line.startswith("COPY ")]
    assert len(copied) == 7
    assert [name for name in copied if not (ROOT / name).exists()] == []
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages - set(copied) <= {"tests", "e2e", "benchmarks", "faults", "nodes"}


def test_the_compose_file_is_whole() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    services = compose["services"]
    assert set(services) == {"database", "migrate", "web", "queue"}
    for service in services.values():
        assert {"build", "image"} & service.keys()
        assert set(service.get("depends_on", {})) <= set(services)
        assert {volume.partition(":")[0] for volume in service.get("volumes", [])} <= set(compose["volumes"])


@pytest.mark.parametrize("page", ["operations.md", "upgrade.md", "disaster_recovery.md"])
def test_the_guides_name_commands_that_exist(page: str) -> None:
    named = set(re.findall(r"manage\.py (\w+)", (ROOT / "docs" / page).read_text()))
    ours = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
    assert named <= ours | {"migrate", "collectstatic", "createsuperuser", "check"}


@pytest.mark.queue
@on_sqlite_alone
def test_a_lost_machine_is_back_by_the_guide(tmp_path: Path) -> None:
    """Its blocks, word for word, on SQLite; the environment of these tests instead of a new installation."""
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    environment |= {"DRILL_VENV": str(Path(sys.prefix)), "PORT": "5076", "SOURCE": str(ROOT)}
    environment["TMPDIR"] = str(tmp_path)
    done = subprocess.run(
        [ROOT / "deploy" / "drill.sh"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Predictions are identical." in done.stdout
