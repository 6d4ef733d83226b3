"""Rows for tests, each valid as it comes."""

from datetime import UTC, datetime

import factory
from django.contrib.auth.models import Permission, User

from training.ml import libraries
from training.models import (
    Anomaly,
    Backup,
    MailSubscription,
    ModelVersion,
    QueueNode,
    TrainingSession,
    Webhook,
    WebNode,
)
from training.models.notices import CHOOSABLE
from training.records import ScoredReport


class UserFactory(factory.django.DjangoModelFactory[User]):
    class Meta:
        model = User

    username = factory.Sequence(lambda n: f"user{n}")


def user_with(*permissions: str) -> User:
    """Somebody with exactly these, such as "training.train_models"; with none of them, no access."""
    codenames = [permission.partition(".")[2] for permission in permissions]
    found = list(Permission.objects.filter(codename__in=codenames))
    assert len(found) == len(codenames)
    user: User = UserFactory.create()
    user.user_permissions.set(found)
    return user


class AnomalyFactory(factory.django.DjangoModelFactory[Anomaly]):
    class Meta:
        model = Anomaly

    anomaly_id = factory.Sequence(lambda n: f"A-{n:05d}")
    description = factory.Sequence(lambda n: f"fuite vapeur vanne {n}")
    equipment_id = "eq-1"
    equipment_name = "Vanne de purge"


class ApprovedFactory(AnomalyFactory):
    status = Anomaly.Status.APPROVED
    availability_score = 2.0
    fiability_score = 1.0
    process_safety_score = 3.0
    reviewed_at = datetime(2026, 1, 1, tzinfo=UTC)


class SessionFactory(factory.django.DjangoModelFactory[TrainingSession]):
    class Meta:
        model = TrainingSession

    trigger = TrainingSession.Trigger.COMMAND


class VersionFactory(factory.django.DjangoModelFactory[ModelVersion]):
    """A row alone: its files do not exist."""

    class Meta:
        model = ModelVersion

    name = factory.Sequence(lambda n: f"version_{n}")
    digest = "0" * 64
    size_bytes = 1
    created_at = factory.Sequence(lambda n: datetime(2026, 1, 1, 0, n % 60, tzinfo=UTC))
    dataset_rows = 1
    dataset_fingerprint = factory.Sequence(lambda n: f"{n:064d}")
    dataset_read_at = datetime(2026, 1, 1, tzinfo=UTC)


class BackupFactory(factory.django.DjangoModelFactory[Backup]):
    """A row alone: its files do not exist."""

    class Meta:
        model = Backup

    name = factory.Sequence(lambda n: f"backup_20260101_{n:06d}")
    digest = "0" * 64
    size_bytes = 1
    created_at = factory.Sequence(lambda n: datetime(2026, 1, 1, 0, n % 60, tzinfo=UTC))
    kind = Backup.Kind.BEFORE_TRAINING
    record_count = 1


class WebNodeFactory(factory.django.DjangoModelFactory[WebNode]):
    """One with this process's libraries."""

    class Meta:
        model = WebNode

    host = "web-1"
    pid = factory.Sequence(lambda n: n + 1)
    libraries = factory.LazyFunction(libraries.installed)


class QueueNodeFactory(factory.django.DjangoModelFactory[QueueNode]):
    """One that lives."""

    class Meta:
        model = QueueNode

    host = "queue-1"
    pid = factory.Sequence(lambda n: n + 1)


class WebhookFactory(factory.django.DjangoModelFactory[Webhook]):
    """Of all events."""

    class Meta:
        model = Webhook

    name = factory.Sequence(lambda n: f"hook {n}")
    url = "https://hook.example/"
    events = [event.value for event in CHOOSABLE]


class MailSubscriptionFactory(factory.django.DjangoModelFactory[MailSubscription]):
    """Of all events."""

    class Meta:
        model = MailSubscription

    user = factory.SubFactory(UserFactory, email="ines@plant.example")
    language = "en"
    events = [event.value for event in CHOOSABLE]


def report(n: int = 1, **changes: object) -> ScoredReport:
    values = {
        "anomaly_id": f"R-{n}",
        "description": f"vibration palier {n}",
        "equipment_name": "Ventilateur",
        "equipment_id": "fan-1",
        "availability_score": 3.0,
        "fiability_score": 2.0,
        "process_safety_score": 4.0,
    }
    return ScoredReport(**(values | changes))  # type: ignore[arg-type]  # keys are the fields
