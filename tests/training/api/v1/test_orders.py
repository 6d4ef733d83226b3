"""Orders that a client may ask for are read from an index: what a page costs does not grow with the rows."""

import pytest
from django.db import connection
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from predictions.api_v1 import PredictionViewSet
from training.api.v1.anomalies import AnomalyViewSet
from training.api.v1.filters import StableOrderingFilter

pytestmark = pytest.mark.django_db
VIEWS = (AnomalyViewSet, PredictionViewSet)
ORDERS = [(view, sign + field) for view in VIEWS for field in view.ordering_fields for sign in ("", "-")]


@pytest.fixture
def reluctant() -> None:
    """PostgreSQL would sort a table as small as this: now it does only when there is no other way."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off; SET LOCAL enable_seqscan = off")


@pytest.mark.usefixtures("reluctant")
@pytest.mark.parametrize(("view", "name"), ORDERS)
def test_no_order_sorts_the_table(view: type[AnomalyViewSet | PredictionViewSet], name: str) -> None:
    request = Request(APIRequestFactory().get("/", {"ordering": name}))
    rows = StableOrderingFilter().filter_queryset(request, view.queryset, view())
    plan = rows[:50].explain()
    assert f"{name.removeprefix('-')}" in str(rows.query.order_by)
    assert "USE TEMP B-TREE FOR ORDER BY" not in plan, plan
    assert "->  Sort" not in plan, plan
