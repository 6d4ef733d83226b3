from collections.abc import Callable

import pytest
from pytest_django import DjangoAssertNumQueries
from rest_framework.test import APIClient

from predictions.drift import report_drift
from tests.factories import ApprovedFactory, user_with
from training.models import QualityReport

URL = "/api/v1/drift/"

pytestmark = pytest.mark.django_db

ClientOf = Callable[..., APIClient]


@pytest.fixture
def client_of(db: None) -> ClientOf:
    def make(*permissions: str) -> APIClient:
        client = APIClient()
        client.force_authenticate(user_with(*permissions))
        return client

    return make


@pytest.fixture
def reader(client_of: ClientOf) -> APIClient:
    return client_of("training.view_qualityreport")


def test_the_newest_report_field_by_field(reader: APIClient) -> None:
    report_drift()
    ApprovedFactory.create()
    newest = report_drift()
    QualityReport.objects.create(kind="labels", record_count=1, seconds=1.0, content={})
    response = reader.get(URL)
    assert response.status_code == 200
    assert response.json() == {
        "created_at": newest.created_at.isoformat().replace("+00:00", "Z"),
        "record_count": 1,
        "seconds": newest.seconds,
        **newest.content,
    }


def test_before_the_first_report_it_names_the_command(reader: APIClient) -> None:
    response = reader.get(URL)
    assert response.status_code == 404
    assert response.json() == {
        "success": False,
        "error": "There is no drift report yet: make one with manage.py report_drift.",
    }


@pytest.mark.parametrize("count", [1, 3])
def test_it_costs_a_fixed_number_of_queries(
    reader: APIClient, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for _ in range(count):
        report_drift()
    with django_assert_num_queries(3):  # two for the permissions, the report
        assert reader.get(URL).status_code == 200


def test_nobody_unknown_gets_in() -> None:
    assert APIClient().get(URL).status_code == 401


def test_nobody_without_the_permission_gets_in(client_of: ClientOf) -> None:
    response = client_of("predictions.view_prediction").get(URL)
    assert response.status_code == 403
    assert response.json() == {
        "success": False,
        "error": "This needs the permission training.view_qualityreport.",
    }


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_it_is_only_read(reader: APIClient, method: str) -> None:
    report_drift()
    assert getattr(reader, method)(URL, {}, format="json").status_code == 405
    assert QualityReport.objects.count() == 1
