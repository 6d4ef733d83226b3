"""What must be true after every fault, whatever it was."""

from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.db import connection

from faults.product import SCORES, Batch, Product, wait_for_end
from tests.queue_processes import wait_until
from training import artifacts, frames
from training.errors import BackupError, UnservableVersionError
from training.ml.records import TARGETS
from training.models import Anomaly, Backup, ModelVersion, SessionLogEntry, TrainingSession

PROBES = [
    {"anomaly_id": f"P{n}", "description": text, "equipment_name": "Ventilateur", "equipment_id": "fan-1"}
    for n, text in enumerate(("vibration palier", "FUITE VAPEUR VANNE", "SAFETY : garde-corps absent"))
]
ASPECTS = {"availability": "availability", "fiability": "reliability", "process_safety": "process_safety"}
APPROVED = Anomaly.Status.APPROVED.value

Stored = tuple[str, float | None, float | None, float | None]
Truth = dict[str, Stored]


def stored() -> Truth:
    """Every record: its status and its scores."""
    rows = Anomaly.objects.order_by("pk").values_list("anomaly_id", "status", *SCORES)
    return {anomaly_id: (status, *scores) for anomaly_id, status, *scores in rows}


@dataclass
class Ledger:
    """What was accepted: what the database must hold, exactly."""

    product: Product
    truth: Truth

    def accept(self, batch: Batch) -> None:
        self.truth |= with_batch({}, batch)

    def check(self, *, is_serving: bool = True) -> None:
        """Everything that must be true once the dust has settled; within a minute of the call."""
        connection.close_if_unusable_or_obsolete()
        wait_for_end(60)
        check_records(self.truth)
        check_versions()
        check_files()
        check_sessions()
        wait_until(lambda: not self.product.trainings(), 10)
        if is_serving:
            check_predictions(self.product)


def with_batch(truth: Truth, batch: Batch) -> Truth:
    """What is true once the batch was accepted."""
    return truth | {record["anomaly_id"]: (APPROVED, *(record[name] for name in SCORES)) for record in batch}


def check_records(truth: Truth) -> None:
    """Every accepted record is there with its scores, once, and no other."""
    found = stored()
    assert Anomaly.objects.count() == len(found), "a record is there twice"
    wrong = {key for key in found.keys() | truth.keys() if found.get(key) != truth.get(key)}
    told = [f"{key}: {found.get(key)}, not {truth.get(key)}" for key in sorted(wrong)[:3]]
    assert not wrong, f"{len(wrong)} records are not as accepted, such as {'; '.join(told)}"


def check_versions() -> None:
    assert ModelVersion.objects.filter(is_active=True).count() == 1, "not one active version"


def check_files() -> None:
    """No row without its files; every version and backup that is kept verifies."""
    for model in (ModelVersion, Backup):
        for row in model.objects.filter(pruned_at=None):
            try:
                assert artifacts.read_back(model, row.name).digest == row.digest, f"{row.name}: other files"
            except (UnservableVersionError, BackupError):
                row.refresh_from_db()  # it may have been pruned this moment
                if row.pruned_at is None:
                    raise


def check_sessions() -> None:
    """No two attempts at once, and at most two each, by the log of the newest sessions."""
    spans: list[tuple[Any, Any, str]] = []
    newest = TrainingSession.objects.order_by("-pk")[:30]
    for session in newest:
        assert session.attempts <= 2, f"session {session.pk} was tried {session.attempts} times"
        for attempt in range(1, session.attempts + 1):
            steps = SessionLogEntry.objects.filter(session=session, attempt=attempt, kind="step")
            if times := list(steps.order_by("pk").values_list("at", flat=True)):
                is_last = attempt == session.attempts
                ended = session.finished_at if is_last and session.finished_at else times[-1]
                spans.append((times[0], ended, f"attempt {attempt} of session {session.pk}"))
    spans.sort()
    for (_, ended, first), (began, _, second) in pairwise(spans):
        assert ended <= began, f"{second} began before {first} had ended"


_expected: dict[str, list[dict[str, list[float]]]] = {}


def expected(version: ModelVersion) -> list[dict[str, list[float]]]:
    """What the version's files say of the probes: the distributions as the API rounds them."""
    if version.digest not in _expected:
        suggested = artifacts.load_scorer(version).predict(
            frames.anomalies_frame([Anomaly(**probe) for probe in PROBES])
        )
        _expected[version.digest] = [
            {target: suggested[target].distribution[n].round(4).tolist() for target in TARGETS}
            for n in range(len(PROBES))
        ]
    return _expected[version.digest]


def check_predictions(product: Product, url: str = "") -> None:
    """What serves is the active version, and says what that version's files say."""
    version = ModelVersion.objects.get(is_active=True)

    def answer() -> dict[str, Any] | None:
        body = product.predict(PROBES, url)
        return body if body["model_version"] == version.pk else None

    results = wait_until(answer, 10)["results"]
    said = [
        {target: result["predictions"][aspect]["distribution"] for target, aspect in ASPECTS.items()}
        for result in results
    ]
    assert said == expected(version), f"{version} does not say what its files say"


def holds(file: Path, content: bytes) -> bool:
    """Whether the file is there with that content: a repair may be putting another directory in its place."""
    with suppress(FileNotFoundError):
        return file.read_bytes() == content
    return False
