"""Real tiny models: three kinds of report whose scores are learned without an error."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import pandas as pd

from tests.factories import VersionFactory
from training import artifacts
from training.ml import bundle
from training.ml.fitting import TrainedModel, fit_and_measure
from training.ml.records import COLUMNS, SCORE_COLUMNS
from training.ml.statistics import training_statistics
from training.models import Activation, ModelVersion
from training.versions import set_active

Scores = tuple[float, float, float]

REPORTS: Mapping[str, Scores] = {
    "fuite vapeur": (1.0, 1.0, 5.0),
    "vibration palier": (4.0, 2.0, 1.0),
    "bruit anormal": (2.0, 1.0, 1.0),
}


def training_frame(reports: Iterable[tuple[str, Scores]] = tuple(REPORTS.items())) -> pd.DataFrame:
    """Twelve numbered reports of each text with its scores: enough to learn them and to hold some out."""
    rows = [
        {
            "anomaly_id": f"{text}-{n}",
            "description": f"{text} n{n}",
            "equipment_name": "Vanne",
            "equipment_id": f"eq-{n % 3}",
            "system": "",
            "section": "",
            "detected_at": pd.Timestamp(2026, 1, n + 1),
            **dict(zip(SCORE_COLUMNS, scores, strict=True)),
        }
        for text, scores in reports
        for n in range(12)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


@cache
def trained_on(reports: tuple[tuple[str, Scores], ...]) -> TrainedModel:
    return fit_and_measure(training_frame(reports))


def publish_version(*, reports: Mapping[str, Scores] = REPORTS, is_active: bool = False) -> ModelVersion:
    """A version with real files, trained on these; when active, instead of any other."""
    frame, trained = training_frame(reports.items()), trained_on(tuple(reports.items()))
    name, facts = f"published_{ModelVersion.objects.count() + 1}", dict[str, Any]()
    with artifacts.publish(ModelVersion, name, facts=facts) as directory:
        facts |= bundle.write_bundle(
            directory,
            scorer=trained.scorer,
            twin=trained.twin,
            neighbours=trained.neighbours,
            held_out=trained.held_out,
        )
    manifest = artifacts.read_back(ModelVersion, name)
    version: ModelVersion = VersionFactory.create(
        name=name,
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        dataset_rows=len(frame),
        metrics=trained.metrics,
        statistics=training_statistics(frame),
    )
    if is_active:
        activate(version)
    return version


def activate(version: ModelVersion | None) -> None:
    set_active(version=version, reason=Activation.Reason.REQUEST)
