"""What tests of a restore compare before and after."""

from collections.abc import Hashable
from typing import Any

from training import frames
from training.models import Activation, Anomaly, ModelVersion, TrainingSession


def training_set() -> list[dict[Hashable, Any]]:
    frame = frames.approved_frame()
    return frame.sort_values("anomaly_id").to_dict("records")


def whole_state() -> dict[str, object]:
    """All that a restore may change, except that a backup of the present may have been made."""
    return {
        "anomalies": list(Anomaly.objects.order_by("pk").values()),
        "history": list(Anomaly.history.order_by("pk").values()),
        "versions": list(
            ModelVersion.objects.order_by("pk").values("pk", "is_active", "pruned_at", "digest", "size_bytes")
        ),
        "activations": list(Activation.objects.order_by("pk").values()),
        "sessions": list(TrainingSession.objects.values()),
    }
