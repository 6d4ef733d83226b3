"""A version that serves, a backup of it, and a world that went on after the backup."""

from datetime import UTC, datetime

import pytest
from django.utils import timezone

from tests.factories import AnomalyFactory, ApprovedFactory
from tests.trained import approved_records, trained_version
from training import backups, versions
from training.models import Activation, Anomaly, Backup, ModelVersion


@pytest.fixture
def version() -> ModelVersion:
    approved_records()
    return trained_version("version_1", is_active=True)


@pytest.fixture
def backup(version: ModelVersion) -> Backup:
    return backups.create_backup(kind=Backup.Kind.MANUAL)


@pytest.fixture
def second(backup: Backup) -> ModelVersion:
    """The world goes on after the backup: other records, other scores, another version."""
    ApprovedFactory.create(anomaly_id="new-1")
    ApprovedFactory.create(anomaly_id="new-2", detected_at=datetime(2026, 2, 3, tzinfo=UTC))
    AnomalyFactory.create(anomaly_id="waiting")
    Anomaly.objects.filter(anomaly_id="T-000").update(availability_score=5, fiability_score=5)
    Anomaly.objects.filter(anomaly_id="T-001").update(
        status=Anomaly.Status.REJECTED, process_safety_score=1.5
    )
    Anomaly.objects.filter(anomaly_id="T-002").update(status=Anomaly.Status.PENDING, availability_score=None)
    Anomaly.objects.filter(anomaly_id="T-003").update(description="another text", detected_at=timezone.now())
    Anomaly.objects.filter(anomaly_id="T-004").update(system="another system")
    Anomaly.objects.filter(anomaly_id="T-005").delete()
    Anomaly.objects.filter(anomaly_id="T-010", detected_at=None).update(detected_at=timezone.now())
    newer = trained_version("version_2")
    versions.set_active(version=newer, reason=Activation.Reason.RELOAD)
    return newer
