"""Real tiny models: versions with files, and the records that they were trained on."""

from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from tests.factories import ApprovedFactory, VersionFactory
from training import artifacts, frames
from training.ml.bundle import write_bundle
from training.ml.features import count_reports
from training.ml.neighbours import index_records
from training.ml.scorer import AnomalyScorer, Suggestion
from training.ml.statistics import training_statistics
from training.models import Anomaly, ModelVersion

# Texts that a file could mangle: quotes, line ends, formulas, NUL's neighbours, signs beyond Latin-1.
TEXTS = (
    "FUITE VAPEUR VANNE DE PURGE",
    "vibration palier ventilateur, côté libre",
    'bruit "anormal" pompe alimentaire',
    "=1+1 affichage débit",
    "température\nhuile élevée",
    "odeur de brûlé ; coffret 3 kV – œil Ω 火",
)


def approved_records(count: int = 12) -> list[Anomaly]:
    """Approved anomalies with every kind of score, text and time, always the same."""
    return [
        ApprovedFactory.create(
            anomaly_id=f"T-{n:03d}",
            description=f"{TEXTS[n % len(TEXTS)]} {n // len(TEXTS)}",
            equipment_id=f"eq-{n % 4}",
            equipment_name=["", "Pompe", "  ", "Ventilateur"][n % 4],
            system="tirage" if n % 2 else "",
            detected_at=datetime(2025, 1, 1, 6, n % 60, 7, 9 * (n % 3), tzinfo=UTC) if n % 5 else None,
            availability_score=1 + n % 5,
            fiability_score=1 + n % 3 / 2,
            process_safety_score=5 - n % 4,
        )
        for n in range(count)
    ]


def trained_version(name: str = "version_1", *, twin: bool = True, **values: Any) -> ModelVersion:
    """A version with genuine files, fitted on what is approved now."""
    frame = frames.approved_frame()
    scorer = AnomalyScorer().fit(frame)
    neighbours = index_records(scorer.features_, count_reports(frame), frame)
    facts: dict[str, Any] = {}
    with artifacts.publish(ModelVersion, name, facts=facts) as directory:
        facts |= write_bundle(directory, scorer=scorer, twin=scorer if twin else None, neighbours=neighbours)
    manifest = artifacts.read_back(ModelVersion, name)
    version: ModelVersion = VersionFactory.create(
        name=name,
        digest=manifest.digest,
        size_bytes=manifest.size_bytes,
        dataset_rows=len(frame),
        dataset_fingerprint=frames.fingerprint(frame),
        dataset_read_at=timezone.now(),
        libraries=facts,
        statistics=training_statistics(frame),
        **values,
    )
    return version


def predictions(version: ModelVersion) -> dict[str, Suggestion]:
    """What the version's files, verified and loaded, say of the first texts."""
    return artifacts.load_scorer(version).predict(
        frames.anomalies_frame([Anomaly(description=text, equipment_id="eq-1") for text in TEXTS])
    )


def identical(first: dict[str, Suggestion], second: dict[str, Suggestion]) -> bool:
    """Bit for bit."""
    return first.keys() == second.keys() and all(
        first[target].distribution.tobytes() == second[target].distribution.tobytes() for target in first
    )
