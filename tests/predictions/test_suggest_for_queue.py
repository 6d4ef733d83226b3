"""Who looks at the review queue finds suggestions there, made on the spot when they were missing."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from predictions import services
from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory
from tests.training.admin.people import superuser
from training.models import ModelVersion

pytestmark = pytest.mark.django_db
PAGES = [reverse("admin:training_anomaly_changelist"), reverse("admin:index")]


@pytest.fixture
def client() -> Client:
    return superuser()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_of_the_queue_makes_what_is_missing_once(
    page: str, client: Client, version: ModelVersion
) -> None:
    pending = AnomalyFactory.create(description="fuite vapeur n3")
    ApprovedFactory.create()
    assert client.get(page).status_code == 200
    made = Prediction.objects.get()
    assert (made.anomaly, made.model_version, made.process_safety_score) == (pending, version, 5)
    client.get(page)
    assert Prediction.objects.get() == made


@pytest.mark.parametrize("page", PAGES)
def test_without_a_model_the_queue_is_shown_all_the_same(page: str, client: Client) -> None:
    AnomalyFactory.create()
    assert client.get(page).status_code == 200
    assert not Prediction.objects.exists()


def test_one_look_makes_at_most_a_chunk(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "CHUNK", 2)
    AnomalyFactory.create_batch(3)
    services.suggest_for_queue()
    assert Prediction.objects.count() == 2


def test_when_nothing_is_missing_little_is_asked(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    services.suggest_for_queue()
    with django_assert_num_queries(2):  # which version, and what lacks one
        services.suggest_for_queue()
