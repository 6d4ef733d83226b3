"""Whatever is sent, the answer is never a server error, and what is refused stores nothing."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from tests.factories import AnomalyFactory, UserFactory
from training.models import Anomaly

pytestmark = pytest.mark.django_db
fuzz = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)

# Anything JSON can spell, also what only Python's JSON can: NaN, Infinity, NUL, lone surrogates.
texts = st.text(st.characters(), max_size=12) | st.sampled_from(
    ["", " ", "\0", "\ud800", "x" * 2_001, "1_000", "é", "🙂", "2026-01-01", "0001-01-01T00:00:00+14:00"]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.sampled_from([10**400, -(10**25), 5e-324])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3)
)
FIELDS = ["anomaly_id", "description", "equipment_id", "equipment_name", "system", "section", "detected_at"]
records = st.fixed_dictionaries(
    dict.fromkeys(FIELDS[:3], texts | values), optional=dict.fromkeys([*FIELDS[3:], "status"], values)
)
FILTERS = [
    "status", "source", "system", "anomaly_id", "criticality_min", "criticality_max", "detected_after",
    "created_before", "kind", "target", "suspicion_min", "search", "ordering", "page", "page_size",
]  # fmt: skip


@pytest.fixture
def superuser(db: None) -> APIClient:
    client = APIClient()
    client.force_authenticate(UserFactory.create(is_superuser=True))
    return client


def post(client: APIClient, address: str, value: Any) -> Any:
    return client.post(address, json.dumps(value), content_type="application/json")


@fuzz
@given(payload=st.lists(records | values, max_size=4) | records | values)
@example(payload=[{"anomaly_id": "\ud800", "description": "x", "equipment_id": "x"}])
def test_reports(payload: Any, superuser: APIClient) -> None:
    Anomaly.objects.all().delete()
    response = post(superuser, "/api/v1/anomalies/", payload)
    count = len(payload) if isinstance(payload, list) else 1
    assert response.status_code in {201, 400}
    assert Anomaly.objects.count() == (count if response.status_code == 201 else 0)
    assert response.status_code == 201 or response.json()["success"] is False


@fuzz
@given(
    verb=st.sampled_from(["approve", "correct", "reject", "reopen"]),
    body=st.dictionaries(st.sampled_from(["scores", "reason"]) | texts, values, max_size=3) | values,
)
@example(verb="approve", body={"scores": {"availability_score": 3.0}, "reason": "\ud800"})
def test_reviews(verb: str, body: Any, superuser: APIClient) -> None:
    anomaly = AnomalyFactory.create()
    response = post(superuser, f"/api/v1/anomalies/{anomaly.pk}/{verb}/", body)
    assert response.status_code in {200, 400, 409}
    assert anomaly.history.count() == (2 if response.status_code == 200 else 1)
    anomaly.delete()


@fuzz
@given(
    resource=st.sampled_from(
        [
            "anomalies",
            "training-sessions",
            "model-versions",
            "backups",
            "predictions",
            "quality-reports",
            "label-findings",
        ]
    ),
    query=st.dictionaries(
        st.sampled_from(FILTERS),
        st.text(st.characters(exclude_categories=["Cs"])) | st.from_regex("[-+0-9_.eE]+"),
        max_size=4,
    ),
)
@example(resource="anomalies", query={"search": '"'})
@example(resource="anomalies", query={"search": "\\"})
@example(resource="backups", query={"model_version": "9" * 30})
@example(resource="backups", query={"model_version": "\0"})
def test_queries(resource: str, query: dict[str, str], superuser: APIClient) -> None:
    assert superuser.get(f"/api/v1/{resource}/", query).status_code in {200, 400, 404}
