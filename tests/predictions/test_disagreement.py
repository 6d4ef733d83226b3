import pytest
from django.test import Client
from django.urls import reverse

from predictions import disagreement
from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory, VersionFactory
from tests.training.admin.people import staff
from training.models import Anomaly, ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_model")]
LIST = reverse("admin:training_anomaly_changelist")


@pytest.fixture
def client() -> Client:
    return staff("training.view_anomaly")


@pytest.fixture
def active() -> ModelVersion:
    version: ModelVersion = VersionFactory.create(is_active=True)
    return version


def suggest(anomaly: Anomaly, version: ModelVersion, *scores: int) -> None:
    availability, fiability, process_safety = scores
    Prediction.objects.create(
        anomaly=anomaly,
        model_version=version,
        availability_score=availability,
        fiability_score=fiability,
        process_safety_score=process_safety,
        distributions={},
        confidence=0.5,
    )


def found(client: Client, disagrees: int | str) -> list[Anomaly]:
    return list(client.get(LIST, {"disagrees": disagrees}).context["cl"].result_list)


def test_one_score_apart_is_enough(client: Client, active: ModelVersion) -> None:
    same, near, far, half = ApprovedFactory.create_batch(4)  # each reviewed as 2, 1, 3
    pending = AnomalyFactory.create()
    suggest(same, active, 2, 1, 3)
    suggest(near, active, 2, 2, 3)
    suggest(far, active, 2, 1, 1)
    Anomaly.objects.filter(pk=half.pk).update(fiability_score=1.5)
    suggest(half, active, 2, 1, 3)
    suggest(pending, active, 5, 5, 5)
    assert found(client, 1) == [far, near]
    assert found(client, 2) == [far]
    assert found(client, "x") == [pending, half, far, near, same]


def test_the_active_version_alone_is_asked(client: Client, active: ModelVersion) -> None:
    anomaly = ApprovedFactory.create()
    suggest(anomaly, VersionFactory.create(), 5, 5, 5)
    assert found(client, 1) == []
    suggest(anomaly, active, 5, 5, 5)
    assert found(client, 1) == [anomaly]


def test_rejected_ones_with_scores_are_compared_too(client: Client, active: ModelVersion) -> None:
    anomaly = ApprovedFactory.create(status="rejected")
    suggest(anomaly, active, 5, 1, 3)
    assert found(client, 2) == [anomaly]


def test_no_more_than_the_newest_are_compared(
    client: Client, active: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    anomalies = ApprovedFactory.create_batch(3)
    for anomaly in anomalies:
        suggest(anomaly, active, 5, 1, 3)
    monkeypatch.setattr(disagreement, "NEWEST", 1)
    assert found(client, 1) == [anomalies[2]]
    monkeypatch.setattr(disagreement, "NEWEST", 3)
    assert found(client, 1) == anomalies[::-1]


def test_without_an_active_version_nothing_disagrees(client: Client) -> None:
    suggest(ApprovedFactory.create(), VersionFactory.create(), 5, 5, 5)
    assert found(client, 1) == []
