"""The product answers what its description promises, whatever is sent; `make fuzz` sends 10,000 requests.

FUZZ_REQUESTS names a file of recorded requests, FUZZ_ANSWERS where their statuses are written. Without them a
few requests to each operation are made anew. FUZZ_KEEP names where requests are kept that were answered
wrongly.
"""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from predictions.models import PredictionJob
from predictions.services import suggest_pending
from tests.factories import AnomalyFactory
from tests.fuzzing.recording import Recorded, document, read, record, write
from tests.fuzzing.replay import Replay, problems
from tests.trained import approved_records, trained_version
from training import backups
from training.label_quality import report_label_quality
from training.models import (
    Anomaly,
    Backup,
    LabelFinding,
    ModelVersion,
    QualityCheck,
    QualityReport,
    TrainingSession,
)

pytestmark = pytest.mark.django_db
A_FEW = 400
SHOWN = 30


def requests_to_send() -> list[Recorded]:
    if name := os.environ.get("FUZZ_REQUESTS"):
        return list(read(Path(name)))
    return record(A_FEW)


def keep(recorded: Recorded) -> None:
    """In the corpus, where FUZZ_KEEP names its directory: sent again by every run of the tests."""
    if name := os.environ.get("FUZZ_KEEP"):
        digest = hashlib.sha256(f"{recorded.method} {recorded.url} {recorded.body}".encode()).hexdigest()
        write(Path(name, f"{digest[:12]}.jsonl"), [recorded])


@pytest.fixture
def replay(media_root: Path, tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Replay:
    """A plant with one of each; its queue takes every session and ends none."""
    settings.OPEN_DEVELOPMENT_MODE = settings.ANONYMOUS_READ = False
    monkeypatch.setattr("training.api.guide.wait_for_claim", lambda *_: True)
    monkeypatch.setattr("training.api.guide.wait_for_end", lambda *_: False)
    approved_records()
    AnomalyFactory.create(description="fuite vapeur")
    trained_version("version_1", is_active=True)
    backup = backups.create_backup(kind=Backup.Kind.MANUAL)
    report_label_quality()
    ended = TrainingSession.objects.create(trigger="command", status="failed", reason="x")
    suggest_pending(limit=10)
    pending = Anomaly.objects.filter(status="pending").latest("pk")
    job = PredictionJob.objects.create(
        file_name="a.csv", model_version=ModelVersion.objects.get(), status="queued", rows=1
    )
    check = QualityCheck.objects.create(kind="drift", trigger="api", status="failed")
    rows = {
        "prediction-jobs": job.pk,
        "quality-checks": check.pk,
        "anomalies": pending.pk,
        "predictions": pending.predictions.get().pk,
        "training-sessions": ended.pk,
        "model-versions": ModelVersion.objects.get().pk,
        "backups": backup.name,
        "restore": backup.name,
        "quality-reports": QualityReport.objects.latest("pk").pk,
        "label-findings": getattr(LabelFinding.objects.first(), "pk", 1),
    }
    return Replay(rows=rows, media=media_root, kept=tmp_path / "kept")


def test_whatever_is_sent_the_answer_is_as_described(replay: Replay) -> None:
    promise, found, statuses = document(), Counter[str](), []
    for recorded in requests_to_send():
        response: Any = replay.send(recorded)
        statuses.append(f"{recorded.method} {recorded.template} {response.status_code}")
        for problem in problems(recorded, response, promise):
            found[f"{recorded.method} {recorded.template} {problem}"] += 1
            keep(recorded)
    if name := os.environ.get("FUZZ_ANSWERS"):
        Path(name).write_text("\n".join(statuses) + "\n", encoding="utf-8")
    assert len(statuses) >= A_FEW
    shown = "\n".join(f"{count} × {problem}" for problem, count in found.most_common(SHOWN))
    assert shown == ""
    # What is sent does reach the product: some of it is accepted, some of it is refused.
    assert {"200", "201", "202", "400", "401", "404"} <= {status.rpartition(" ")[2] for status in statuses}
