"""A scratch installation trained on real data, and the servers that serve its model side by side."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import django
import joblib

from benchmarks.answers import STATED
from benchmarks.load import Connection
from e2e.product import command_of

if TYPE_CHECKING:  # imported once the settings know the scratch database
    from training.ml.scorer import AnomalyScorer

ROOT = Path(__file__).parent.parent
WORKERS = 2  # processes of each server
PATIENCE = 180  # seconds that a server may take to start
TICKS = os.sysconf("SC_CLK_TCK")
ASPECTS = {"availability": "availability", "fiability": "reliability", "process_safety": "process_safety"}

Report: TypeAlias = dict[str, str]
Answers: TypeAlias = list[dict[str, dict[str, Any]]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Server:
    """How a server is started and asked."""

    name: str
    url: str
    command: Sequence[str]
    one: Callable[[Report], object]
    many: Callable[[list[Report]], object]
    read: Callable[[Any], Answers]
    environment: Mapping[str, str] = field(default_factory=dict)

    def single(self, report: Report) -> bytes:
        return json.dumps(self.one(report)).encode()

    def batch(self, reports: list[Report]) -> bytes:
        return json.dumps(self.many(reports)).encode()

    def answers(self, content: bytes) -> Answers:
        return self.read(json.loads(content))


def install(data: Sequence[Path], scratch: Path) -> None:
    """A database and a trained, active version under `scratch`; this process's environment points there."""
    import_data(data, scratch)
    run([sys.executable, "manage.py", "train", "--activate"])


def import_data(data: Sequence[Path], scratch: Path) -> None:
    """`install` without the version."""
    os.environ |= {
        "DATABASE_URL": f"sqlite:///{scratch / 'db.sqlite3'}",
        "MEDIA_ROOT": str(scratch / "media"),
        "LOG_LEVEL": "WARNING",
        "DJANGO_SETTINGS_MODULE": "anomalyproject.settings",
        "ARTIFACT_SIGNING_KEYS": secrets.token_hex(32),
    }
    (scratch / "media").mkdir()
    for command in (["migrate", "-v0"], ["import_anomalies", *map(str, data)]):
        run([sys.executable, "manage.py", *command])


def with_peers(directory: Path) -> Path:
    """The environment of the peers, made when it is missing."""
    directory = directory.resolve()
    if not (directory / "bin/bentoml").exists():
        print(f"Installing the peers into {directory}", file=sys.stderr)
        venv.create(directory, with_pip=True)
        requirements = str(ROOT / "benchmarks/requirements.txt")
        subprocess.run([directory / "bin/pip", "install", "--quiet", "-r", requirements], check=True)
    return directory


def trained() -> "tuple[AnomalyScorer, list[Report]]":
    """The active version's scorer, and every report of the scratch database."""
    django.setup()
    from training import artifacts  # noqa: PLC0415  # Django had to be set up first
    from training.models import Anomaly, ModelVersion  # noqa: PLC0415  # as above

    version = ModelVersion.objects.get(is_active=True)
    return artifacts.load_scorer(version), list(Anomaly.objects.order_by("pk").values("anomaly_id", *STATED))


def offered(port: int, peers: Path, scorer: "AnomalyScorer", scratch: Path) -> list[Server]:
    """The three servers, from the same fitted scorer; what they read is in `scratch`."""
    stored, model = scratch / "scorer.pkl", scratch / "mlflow"
    joblib.dump(scorer, stored)
    program = [str(peers / "bin/python"), "-m", "benchmarks.peers.mlflow_model", str(stored), str(model)]
    run(program, PYTHONPATH=str(ROOT))
    return [
        ours(port),
        mlflow(port + 1, peers, model),
        bentoml(port + 2, peers, stored),
    ]


def run(command: Sequence[str], **environment: str) -> None:
    """Raises CalledProcessError; what the command prints is shown only then."""
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


def ours(port: int) -> Server:
    """The web process of the Procfile, as it is deployed; anybody may read, as with its peers."""
    return Server(
        name="ours",
        url=f"http://127.0.0.1:{port}/predict",
        command=command_of("web"),
        environment={
            "PORT": str(port),
            "WEB_WORKERS": str(WORKERS),
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_hex(32),
            "ALLOWED_HOSTS": "127.0.0.1",
            "ANONYMOUS_READ": "1",
            "SECURE_SSL_REDIRECT": "0",
            "THROTTLE_PREDICT": "off",
            "THROTTLE_PREDICT_RECORDS": "off",
            "THROTTLE_PREDICT_CHARACTERS": "off",
        },
        one=lambda report: report,
        many=lambda reports: reports,
        read=lambda value: [_ours(result) for result in value.get("results", [value])],
    )


def _ours(result: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    names = ("score", "distribution", "expected", "confidence")
    return {
        target: {name: result["predictions"][aspect][name] for name in names}
        for target, aspect in ASPECTS.items()
    }


def mlflow(port: int, peers: Path, model: Path) -> Server:
    serve = ["models", "serve", "--model-uri", str(model), "--env-manager", "local", "--host", "127.0.0.1"]

    def split(reports: list[Report]) -> object:
        rows = [[report[name] for name in STATED] for report in reports]
        return {"dataframe_split": {"columns": STATED, "data": rows}}

    return Server(
        name="MLflow",
        url=f"http://127.0.0.1:{port}/invocations",
        command=[str(peers / "bin/mlflow"), *serve, "--port", str(port), "--workers", str(WORKERS)],
        environment=_path(peers) | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        one=lambda report: split([report]),
        many=split,
        read=lambda value: list(value["predictions"]),
    )


def bentoml(port: int, peers: Path, scorer: Path) -> Server:
    service = ["serve", "benchmarks.peers.bentoml_service:Scorer", "--host", "127.0.0.1", "--port", str(port)]
    settings = {"WORKERS": str(WORKERS), "SCORER": str(scorer), "BENTOML_DO_NOT_TRACK": "True"}
    return Server(
        name="BentoML",
        url=f"http://127.0.0.1:{port}/predict",
        command=[str(peers / "bin/bentoml"), *service],
        environment=_path(peers) | settings,
        one=lambda report: {"reports": [report]},
        many=lambda reports: {"reports": reports},
        read=list,
    )


def _path(peers: Path) -> dict[str, str]:
    """The peers' programs first, and this project where they import from."""
    return {"PATH": f"{peers / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@contextmanager
def started(server: Server, log: Path, report: Report) -> Iterator[int]:
    """The server's process id, once it answers; the whole process group is ended afterwards."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            server.command,
            cwd=ROOT,
            env=os.environ | server.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(server, process, log, report)
        yield process.pid
    finally:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signum)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)


def _wait_for(server: Server, process: "subprocess.Popen[bytes]", log: Path, report: Report) -> None:
    end = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < end:
        with suppress(OSError, RuntimeError):
            Connection(server.url).post(server.single(report))
            return
        time.sleep(0.5)
    raise RuntimeError(f"{server.name} does not answer:\n{log.read_text()[-2000:]}")


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its living descendants so far."""
    ticks = 0
    for member in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS in MB of the largest of the process and its descendants."""
    found = []
    for member in family(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{member}/smaps_rollup").read_text().splitlines()[1:]
            sizes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}  # KiB
            found.append((sizes["Rss"] * 1024 / 1e6, sizes["Pss"] * 1024 / 1e6))
    return max(found)
