from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from predictions.models import Prediction
from predictions.services import suggest, suggest_pending
from tests.factories import AnomalyFactory, ApprovedFactory, VersionFactory, user_with
from tests.predictions.published import publish_version
from training.ml.records import TARGETS
from training.models import Anomaly, ModelVersion

LIST = "/api/v1/predictions/"
SUGGEST = "/api/v1/predictions/suggest/"

pytestmark = pytest.mark.django_db

ClientOf = Callable[..., APIClient]


@pytest.fixture
def client_of(db: None) -> ClientOf:
    def make(*permissions: str) -> APIClient:
        client = APIClient()
        token = Token.objects.create(user=user_with(*permissions))
        client.credentials(HTTP_AUTHORIZATION=f"Token {token.key}")
        return client

    return make


@pytest.fixture
def reader(client_of: ClientOf) -> APIClient:
    return client_of("predictions.view_prediction")


@pytest.fixture
def reviewer(client_of: ClientOf) -> APIClient:
    return client_of("training.review_anomaly")


def prediction(version: ModelVersion, **values: Any) -> Prediction:
    values = {"availability_score": 1, "fiability_score": 1, "process_safety_score": 5} | values
    distributions = {target: [0.2] * 5 for target in TARGETS}
    return Prediction.objects.create(
        **{"anomaly": AnomalyFactory.create(), "confidence": 0.9, "distributions": distributions} | values,
        model_version=version,
    )


def ids(client: APIClient, **query: str | float) -> list[int]:
    response = client.get(LIST, query)
    assert response.status_code == 200
    return [row["id"] for row in response.json()["results"]]


def test_one_prediction_field_by_field(reader: APIClient, version: ModelVersion) -> None:
    anomaly = AnomalyFactory.create(description="fuite vapeur")
    suggest(anomalies=[anomaly])
    stored = Prediction.objects.get()
    response = reader.get(f"{LIST}{stored.pk}/")
    assert response.status_code == 200
    assert response.json() == {
        "id": stored.pk,
        "anomaly": anomaly.pk,
        "anomaly_id": anomaly.anomaly_id,
        "model_version": version.pk,
        "availability_score": 1,
        "fiability_score": 1,
        "process_safety_score": 5,
        "criticality": 7,
        "band": "high",
        "distributions": stored.distributions,
        "confidence": stored.confidence,
        "needs_attention": True,
        "created_at": stored.created_at.isoformat().replace("+00:00", "Z"),
    }


def test_criticality_follows_the_direction_of_the_scale(reader: APIClient, settings: Settings) -> None:
    stored = prediction(VersionFactory.create())
    settings.SCORE_DIRECTION = "1_is_most_critical"
    body = reader.get(f"{LIST}{stored.pk}/").json()
    assert (body["criticality"], body["band"]) == (11, "critical")


def test_the_list_is_newest_first_filtered_searched_and_ordered(reader: APIClient) -> None:
    old, new = VersionFactory.create(), VersionFactory.create()
    anomaly = AnomalyFactory.create(anomaly_id="A/1 é", description="odeur de brûlé")
    first = prediction(old, anomaly=anomaly, confidence=0.5, needs_attention=True)
    second = prediction(new, anomaly=anomaly, confidence=0.9)
    third = prediction(new, confidence=0.7)
    assert ids(reader) == [third.pk, second.pk, first.pk]
    assert ids(reader, anomaly=anomaly.pk) == [second.pk, first.pk]
    assert ids(reader, anomaly_id="A/1 é") == [second.pk, first.pk]
    assert ids(reader, model_version=new.pk) == [third.pk, second.pk]
    assert ids(reader, anomaly=anomaly.pk, model_version=old.pk) == [first.pk]
    assert ids(reader, needs_attention="true") == [first.pk]
    assert ids(reader, needs_attention="false") == [third.pk, second.pk]
    assert ids(reader, search="brûlé") == [second.pk, first.pk]
    assert ids(reader, ordering="confidence") == [first.pk, third.pk, second.pk]
    assert ids(reader, created_after="2999-01-01T00:00:00Z") == []


@pytest.mark.parametrize(
    "query",
    [
        {"anomaly": "x"},
        {"anomaly": "9" * 30},
        {"model_version": 999},
        {"created_after": "yesterday"},
        {"anomaly_id": "a\0b"},
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(reader: APIClient, query: dict[str, str | float]) -> None:
    response = reader.get(LIST, query)
    assert response.status_code == 400
    assert response.json()["success"] is False


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_a_fixed_number_of_queries(
    reader: APIClient, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    version = VersionFactory.create()
    for _ in range(count):
        prediction(version)
    # The token, two for the permissions, the count and the page.
    with django_assert_num_queries(5):
        assert len(ids(reader)) == count


def test_suggest_stores_what_the_serving_version_says(reviewer: APIClient, version: ModelVersion) -> None:
    pending = AnomalyFactory.create_batch(2)
    ApprovedFactory.create()
    response = reviewer.post(SUGGEST)
    assert response.status_code == 200
    assert response.json() == {"model_version": version.pk, "suggested": 2, "remaining": 0}
    assert list(Prediction.objects.order_by("pk").values_list("anomaly", "model_version")) == [
        (anomaly.pk, version.pk) for anomaly in pending
    ]
    assert reviewer.post(SUGGEST).json()["suggested"] == 0


def test_suggest_is_bounded_and_says_what_remains(
    reviewer: APIClient, version: ModelVersion, settings: Settings
) -> None:
    settings.PREDICTION_BATCH_LIMIT = 2
    AnomalyFactory.create_batch(3)
    assert reviewer.post(SUGGEST).json() == {"model_version": version.pk, "suggested": 2, "remaining": 1}
    assert reviewer.post(SUGGEST).json() == {"model_version": version.pk, "suggested": 1, "remaining": 0}


def test_suggest_before_the_first_model(reviewer: APIClient) -> None:
    AnomalyFactory.create()
    response = reviewer.post(SUGGEST)
    assert response.status_code == 503
    assert response.json() == {
        "success": False,
        "error": "No model is active: train one with POST /train, then activate it with POST /train/reload.",
    }
    assert not Prediction.objects.exists()


def test_after_a_new_version_pending_anomalies_want_its_suggestions(
    reviewer: APIClient, version: ModelVersion
) -> None:
    AnomalyFactory.create()
    suggest_pending()
    newer = publish_version(is_active=True)
    assert reviewer.post(SUGGEST).json() == {"model_version": newer.pk, "suggested": 1, "remaining": 0}


def test_reasons_field_by_field(client_of: ClientOf, version: ModelVersion) -> None:
    learned = ApprovedFactory.create(
        anomaly_id="fuite vapeur-4",
        description="fuite vapeur n4",
        detected_at=datetime(2026, 1, 5, 6, 30, tzinfo=UTC),
    )
    suggest(anomalies=[AnomalyFactory.create(description="fuite vapeur n4", equipment_name="Vanne")])
    stored = Prediction.objects.get()
    client = client_of("predictions.view_prediction", "training.view_anomaly")
    response = client.get(f"{LIST}{stored.pk}/reasons/")
    assert response.status_code == 200
    body = response.json()
    assert list(body) == ["reasons", "similar_anomalies"]
    assert list(body["reasons"]) == list(TARGETS)
    for target, explanation in body["reasons"].items():
        values = [found["value"] for found in explanation["contributions"]]
        assert explanation["base"] + sum(values) == pytest.approx(explanation["expected"], abs=1e-9)
        shares = stored.distributions[target]
        assert explanation["expected"] == pytest.approx(
            sum(score * share for score, share in enumerate(shares, start=1)), abs=0.001
        )
        assert {frozenset(found) for found in explanation["contributions"]} == {
            frozenset({"kind", "text", "value", "usual"})
        }
    (similar,) = body["similar_anomalies"]
    similarity = similar.pop("similarity")
    assert 0.9 < similarity <= 1
    assert similar == {
        "id": learned.pk,
        "anomaly_id": "fuite vapeur-4",
        "description": "fuite vapeur n4",
        "equipment_id": "eq-1",
        "equipment_name": "Vanne de purge",
        "detected_at": "2026-01-05T06:30:00Z",
        "availability_score": 2.0,
        "fiability_score": 1.0,
        "process_safety_score": 3.0,
    }


def test_reasons_that_cannot_be_given(client_of: ClientOf, version: ModelVersion) -> None:
    client = client_of("predictions.view_prediction", "training.view_anomaly")
    assert client.get(f"{LIST}1/reasons/").status_code == 404
    older = prediction(VersionFactory.create())
    changed = prediction(version)
    for stored, begin in ((older, "Version "), (changed, "The report has changed ")):
        response = client.get(f"{LIST}{stored.pk}/reasons/")
        assert response.status_code == 409
        assert response.json()["success"] is False
        assert response.json()["error"].startswith(begin)


@pytest.mark.parametrize("held", ["predictions.view_prediction", "training.view_anomaly"])
def test_reasons_need_both_permissions(client_of: ClientOf, version: ModelVersion, held: str) -> None:
    suggest(anomalies=[AnomalyFactory.create(description="fuite vapeur")])
    response = client_of(held).get(f"{LIST}{Prediction.objects.get().pk}/reasons/")
    assert response.status_code == 403
    (missing,) = {"predictions.view_prediction", "training.view_anomaly"} - {held}
    assert response.json() == {"success": False, "error": f"This needs the permission {missing}."}


@pytest.mark.parametrize("count", [1, 3])
def test_reasons_cost_a_fixed_number_of_queries(
    client_of: ClientOf, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for n in range(count):
        ApprovedFactory.create(anomaly_id=f"fuite vapeur-{n}", description=f"fuite vapeur n{n}")
    suggest(anomalies=[AnomalyFactory.create(description="fuite vapeur")])
    route = f"{LIST}{Prediction.objects.get().pk}/reasons/"
    client = client_of("predictions.view_prediction", "training.view_anomaly")
    client.get(route)
    # The token, two for the permissions, the prediction, the active version, the similar anomalies.
    with django_assert_num_queries(6):
        assert len(client.get(route).json()["similar_anomalies"]) == count


ROUTES = [("get", LIST), ("get", f"{LIST}1/"), ("get", f"{LIST}1/reasons/"), ("post", SUGGEST)]


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_nobody_unknown_gets_in(method: str, route: str) -> None:
    assert getattr(APIClient(), method)(route).status_code == 401


@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_nobody_without_the_permission_gets_in(client_of: ClientOf, method: str, route: str) -> None:
    response = getattr(client_of("training.view_anomaly"), method)(route)
    assert response.status_code == 403
    assert response.json()["success"] is False


def test_a_reader_makes_no_suggestions_and_a_reviewer_needs_the_other_permission_to_read(
    reader: APIClient, reviewer: APIClient, version: ModelVersion
) -> None:
    AnomalyFactory.create()
    assert reader.post(SUGGEST).status_code == 403
    assert reviewer.get(LIST).status_code == 403
    assert Anomaly.objects.pending().count() == 1
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_predictions_are_neither_written_nor_deleted(reader: APIClient, method: str) -> None:
    stored = prediction(VersionFactory.create())
    assert getattr(reader, method)(f"{LIST}{stored.pk}/", {}, format="json").status_code == 405
    assert getattr(reader, method)(LIST, {}, format="json").status_code == 405
    assert Prediction.objects.filter(pk=stored.pk).exists()
