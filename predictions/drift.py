"""The drift report: what changed in the plant's reports, and since the version that serves learned."""

from collections.abc import Iterator
from time import monotonic
from typing import Any

import numpy as np
import pandas as pd
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef
from django.utils import timezone

from predictions.models import Prediction
from training import frames, notices
from training.ml.backtest import backtest as backtest_of
from training.ml.drift import drift_report
from training.ml.progress import OnProgress
from training.ml.records import TARGETS
from training.ml.scorer import Suggestion
from training.ml.stretches import Suggested
from training.models import Anomaly, ModelVersion, QualityReport


def report_drift(
    *, user: User | None = None, backtest: bool = False, on_progress: OnProgress | None = None
) -> QualityReport:
    """Look at everything reported, and store what was found.

    `content` is `DriftReport.as_json()` and `model_version`, the number of the version that serves or None.
    With `backtest`, months without stored suggestions are measured too: one fit a month.
    """
    created_at, started = timezone.now(), monotonic()
    version = ModelVersion.objects.active()
    frame = frames.reported_frame()
    suggested = list(_stored_suggestions(frame["pk"]))
    if backtest and (tested := backtest_of(frame, on_progress=on_progress)):
        suggested.append(tested)
    report = drift_report(
        frame,
        suggested=suggested,
        learned=_learned(frame, version) if version else None,
        learned_by=_name(version.pk) if version else "",
    )
    with transaction.atomic():
        stored = QualityReport.objects.create(
            kind=QualityReport.Kind.DRIFT,
            record_count=int(frame["reviewed_at"].notna().sum()),
            seconds=round(monotonic() - started, 3),
            content={"model_version": version and version.pk, **report.as_json()},
            created_at=created_at,
            created_by=user,
        )
        notices.drift_reported(report=stored)
    return stored


def _name(version: int) -> str:
    return f"version {version}"


def _learned(frame: pd.DataFrame, version: ModelVersion) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    read_at = version.dataset_read_at.replace(tzinfo=None)  # USE_TZ: it is UTC
    return (frame["reviewed_at"] <= read_at).to_numpy(dtype=bool)


def _stored_suggestions(keys: "pd.Series[int]") -> Iterator[Suggested]:
    """Each version's suggestions for anomalies that were reviewed later, and never before."""
    positions = pd.Series(np.arange(len(keys)), index=keys)
    approved_before = Anomaly.history.filter(
        id=OuterRef("anomaly_id"), status=Anomaly.Status.APPROVED, history_date__lt=OuterRef("created_at")
    )
    made = (
        Prediction.objects.filter(
            anomaly__status=Anomaly.Status.APPROVED, anomaly__reviewed_at__gt=F("created_at")
        )
        .exclude(Exists(approved_before))
        .order_by("model_version_id", "pk")
    )
    columns = ["anomaly", "version", "distributions"]
    table = pd.DataFrame(
        made.values_list("anomaly_id", "model_version_id", "distributions").iterator(), columns=columns
    )
    table = table[table["anomaly"].isin(positions.index)]
    metrics = dict(ModelVersion.objects.filter(pk__in=table["version"].unique()).values_list("pk", "metrics"))
    for version, figures in metrics.items():
        rows = table[table["version"] == version]
        yield Suggested(
            by=_name(version),
            rows=positions.loc[rows["anomaly"]].to_numpy(),
            suggestions={
                target: Suggestion.of(np.array([each[target] for each in rows["distributions"]]))
                for target in TARGETS
            },
            held_out=figures.get("model", {}),
        )
