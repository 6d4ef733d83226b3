import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.authtoken.models import Token

from predictions import predictor
from predictions.wording import DESCRIPTIONS
from tests.factories import ApprovedFactory, QueueNodeFactory, UserFactory, user_with
from tests.predictions.published import REPORTS, activate, publish_version
from training import artifacts, frames
from training.ml import libraries
from training.ml.records import TARGETS
from training.models import Anomaly, Finding, ModelVersion

LEAK = {"anomaly_id": "A-1", "description": "fuite vapeur", "equipment_id": "eq-1", "equipment_name": "Vanne"}
SHAKE = {"anomaly_id": "A-2", "description": "vibration palier", "equipment_id": "eq-2"}
NO_MODEL = "No model is active: train one with POST /train, then activate it with POST /train/reload."
VIEW = "training.view_anomaly"
ROUTES = ["/predict", "/health", "/models/info", "/models/metrics"]

pytestmark = pytest.mark.django_db


def predict(client: Client, payload: object, query: str = "", **headers: str) -> tuple[int, Any]:
    response = client.post(
        f"/predict{query}", json.dumps(payload), content_type="application/json", headers=headers
    )
    return response.status_code, response.json()


def get(client: Client, route: str) -> tuple[int, Any]:
    response = client.get(route)
    return response.status_code, response.json()


def said_by(version: ModelVersion, record: dict[str, str]) -> dict[str, dict[str, Any]]:
    """What the version's files say of the record, rounded as in an answer."""
    frame = frames.anomalies_frame([Anomaly(**record)])
    suggestions = artifacts.load_scorer(version).predict(frame)
    return {
        target: {
            "distribution": [round(share, 4) for share in suggestions[target].distribution[0].tolist()],
            "expected": round(suggestions[target].expected[0].item(), 4),
            "confidence": round(suggestions[target].confidence[0].item(), 4),
            "needs_attention": suggestions[target].needs_attention[0].item(),
        }
        for target in TARGETS
    }


def test_one_object_is_answered_field_by_field(client: Client, version: ModelVersion) -> None:
    status, body = predict(client, LEAK)
    said = said_by(version, LEAK)
    assert status == 200
    seconds = body.pop("processing_time_seconds")
    assert isinstance(seconds, float)
    assert 0 < seconds < 60
    assert body == {
        "anomaly_id": "A-1",
        "equipment_id": "eq-1",
        "equipment_name": "Vanne",
        "predictions": {
            "availability": {
                "score": 1,
                "description": "No effect on the availability of the equipment",
                **said["availability"],
            },
            "reliability": {
                "score": 1,
                "description": "No effect on the reliability and integrity of the equipment",
                **said["fiability"],
            },
            "process_safety": {
                "score": 5,
                "description": DESCRIPTIONS["process_safety"][4],
                **said["process_safety"],
            },
        },
        "overall_score": 2.33,
        "total_sum": 7,
        "needs_attention": True,
        "risk_assessment": {
            "overall_risk_level": "HIGH",
            "recommended_action": "Priority: plan the repair at the next opportunity",
            "critical_factors": ["process_safety"],
            "weakest_aspect": "process_safety",
            "criticality": 7,
            "band": "high",
        },
        "maintenance_recommendations": [
            "Plan the repair at the next opportunity and check the equipment until then.",
            "Check the safety barriers concerned and secure the area until the repair is done.",
        ],
        "model_version": version.pk,
        "status": "success",
    }


def test_reasons_come_on_request_and_change_nothing_else(client: Client, version: ModelVersion) -> None:
    plain = predict(client, LEAK)[1]
    assert predict(client, LEAK, query="?explain=false")[1].keys() == plain.keys()
    status, body = predict(client, LEAK, query="?explain=true")
    assert status == 200
    assert body.pop("similar_anomalies") == []
    for aspect in body["predictions"].values():
        explanation = aspect.pop("explanation")
        assert list(explanation) == ["base", "expected", "contributions"]
        total = explanation["base"] + sum(found["value"] for found in explanation["contributions"])
        assert total == pytest.approx(explanation["expected"], abs=1e-9)
        assert round(total, 4) == aspect["expected"]
    assert {**body, "processing_time_seconds": 0} == {**plain, "processing_time_seconds": 0}


def test_each_of_a_list_has_its_own_reasons(client: Client, version: ModelVersion) -> None:
    status, body = predict(client, [LEAK, SHAKE], query="?explain=true")
    assert status == 200
    alone = [predict(client, record, query="?explain=true")[1] for record in (LEAK, SHAKE)]
    for result, single in zip(body["results"], alone, strict=True):
        assert {**result, "processing_time_seconds": 0} == {**single, "processing_time_seconds": 0}


def test_reasons_are_given_for_a_hundred(client: Client, version: ModelVersion) -> None:
    assert predict(client, [LEAK] * 100, query="?explain=true")[0] == 200
    assert predict(client, [LEAK] * 101, query="?explain=true") == (
        400,
        {
            "error": "Bad Request",
            "message": "Data validation failed",
            "validation_errors": ["Reasons are given for up to 100 anomalies, got 101"],
        },
    )


@pytest.mark.parametrize("value", ["", "1", "True", "\0", "x" * 2_000])
def test_explain_is_true_or_false(client: Client, version: ModelVersion, value: str) -> None:
    status, body = predict(client, LEAK, query=f"?explain={quote(value)}")
    assert (status, body["error"]) == (400, "Bad Request")
    assert body["message"].startswith("explain must be true or false, got ")
    assert len(body["message"]) < 200


def similar(response: tuple[int, Any]) -> list[str] | None:
    status, body = response
    assert status == 200
    found = body["similar_anomalies"]
    return None if found is None else [anomaly["anomaly_id"] for anomaly in found]


def test_who_may_see_anomalies_sees_similar_ones(
    client: Client, version: ModelVersion, settings: Settings
) -> None:
    ApprovedFactory.create(anomaly_id="fuite vapeur-4", description="fuite vapeur n4")
    settings.ANONYMOUS_READ, settings.OPEN_DEVELOPMENT_MODE = True, False
    ask = "?explain=true"
    assert similar(predict(client, LEAK, query=ask)) is None
    for permission, expected in (("predictions.view_prediction", None), (VIEW, ["fuite vapeur-4"])):
        token = Token.objects.create(user=user_with(permission))
        found = similar(predict(client, LEAK, query=ask, authorization=f"Token {token.key}"))
        assert found == expected
    settings.OPEN_DEVELOPMENT_MODE = True
    assert similar(predict(client, LEAK, query=ask)) == ["fuite vapeur-4"]
    assert similar(predict(client, LEAK, query=ask, **{"x-forwarded-for": "10.1.2.3"})) is None


def test_scores_are_whole_numbers_and_distributions_are_probabilities(
    client: Client, version: ModelVersion
) -> None:
    _, body = predict(client, LEAK)
    for aspect in body["predictions"].values():
        assert type(aspect["score"]) is int
        assert len(aspect["distribution"]) == 5
        assert sum(aspect["distribution"]) == pytest.approx(1, abs=0.0003)
        assert aspect["confidence"] == aspect["distribution"][aspect["score"] - 1]


def test_a_list_is_answered_field_by_field(client: Client, version: ModelVersion) -> None:
    status, body = predict(client, [LEAK, SHAKE])
    assert status == 200
    assert set(body) == {"batch_info", "results", "model_version", "status"}
    assert body["status"] == "completed"
    assert body["model_version"] == version.pk
    info = body["batch_info"]
    assert list(info) == [
        "total_anomalies",
        "successful_predictions",
        "failed_predictions",
        "processing_time_seconds",
        "average_time_per_anomaly",
    ]
    assert [info["total_anomalies"], info["successful_predictions"], info["failed_predictions"]] == [2, 2, 0]
    assert info["average_time_per_anomaly"] == pytest.approx(info["processing_time_seconds"] / 2, abs=0.0001)
    assert [result["anomaly_id"] for result in body["results"]] == ["A-1", "A-2"]
    assert [result["total_sum"] for result in body["results"]] == [7, 7]
    assert [result["status"] for result in body["results"]] == ["success", "success"]


def test_a_result_of_a_list_is_that_of_the_object_alone(client: Client, version: ModelVersion) -> None:
    _, batch = predict(client, [LEAK, SHAKE])
    for record, result in zip([LEAK, SHAKE], batch["results"], strict=True):
        _, alone = predict(client, record)
        assert {**result, "processing_time_seconds": 0} == {**alone, "processing_time_seconds": 0}


def test_a_list_of_one_is_answered_as_a_list(client: Client, version: ModelVersion) -> None:
    assert predict(client, [LEAK])[1]["batch_info"]["total_anomalies"] == 1


def test_what_was_not_said_is_answered_as_such(client: Client, version: ModelVersion) -> None:
    _, body = predict(client, {"description": "fuite vapeur", "equipment_id": "eq-1"})
    assert body["anomaly_id"] is None
    assert body["equipment_name"] == ""


def test_time_system_and_section_are_accepted(client: Client, version: ModelVersion) -> None:
    more = {"system": "vapeur", "section": "34MC", "detected_at": "2026-03-01T06:30:00Z"}
    status, body = predict(client, [LEAK | more, LEAK])
    assert status == 200
    assert len(body["results"]) == 2


def test_every_report_gets_its_own_scores(client: Client, version: ModelVersion) -> None:
    reports = [{"description": text, "equipment_id": "eq-1"} for text in REPORTS] * 4
    _, body = predict(client, reports)
    answered = [
        tuple(aspect["score"] for aspect in result["predictions"].values()) for result in body["results"]
    ]
    assert answered == list(REPORTS.values()) * 4


def test_the_direction_of_the_scale_decides_the_risk(
    client: Client, version: ModelVersion, settings: Settings
) -> None:
    settings.SCORE_DIRECTION = "1_is_most_critical"
    _, body = predict(client, LEAK)
    assert body["total_sum"] == 7
    assert body["risk_assessment"]["criticality"] == 11
    assert body["risk_assessment"]["overall_risk_level"] == "CRITICAL"
    assert body["risk_assessment"]["critical_factors"] == ["availability", "reliability"]


@pytest.mark.parametrize("count", [1, 3])
def test_a_batch_costs_one_query_however_long(
    client: Client, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    predict(client, LEAK)
    with django_assert_num_queries(1):
        assert predict(client, [LEAK] * count)[0] == 200
    with django_assert_num_queries(1):
        assert predict(client, LEAK)[0] == 200


def test_6000_are_answered_and_6001_are_not(client: Client, version: ModelVersion) -> None:
    status, body = predict(client, [SHAKE | {"anomaly_id": n} for n in range(6_000)])
    assert status == 200
    assert body["batch_info"]["successful_predictions"] == 6_000
    assert [result["anomaly_id"] for result in body["results"]] == list(range(6_000))
    assert predict(client, [SHAKE] * 6_001) == (
        400,
        {
            "error": "Bad Request",
            "message": "Data validation failed",
            "validation_errors": ["A batch holds 1 to 6,000 anomalies, got 6,001"],
        },
    )


def test_one_bad_record_refuses_the_list(client: Client, version: ModelVersion) -> None:
    assert predict(client, [LEAK, {"description": " "}, 5]) == (
        400,
        {
            "error": "Bad Request",
            "message": "Data validation failed",
            "validation_errors": [
                "Record 2: Missing required fields: ['equipment_id']",
                "Record 2: description must not be blank",
                "Record 3: must be a JSON object, got int",
            ],
        },
    )


def test_one_bad_object_is_told_what_is_wrong(client: Client, version: ModelVersion) -> None:
    assert predict(client, {"description": "fuite"}) == (
        400,
        {"error": "Bad Request", "message": "Missing required fields: ['equipment_id']"},
    )


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", "application/json", 400),
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"description=fuite", "application/x-www-form-urlencoded", 415),
        (b'"text"', "application/json", 400),
        (b"[NaN]", "application/json", 400),
        (b'{"description": "a\\ud800", "equipment_id": "\\u0000"}', "application/json", 400),
    ],
)
def test_what_is_no_request_is_refused_in_the_older_form(
    client: Client, version: ModelVersion, body: bytes, content_type: str, status: int
) -> None:
    response = client.post("/predict", body, content_type=content_type)
    assert response.status_code == status
    answer = response.json()
    assert set(answer) - {"validation_errors"} == {"error", "message"}
    assert answer["message"]


def test_other_methods_are_refused_in_the_older_form(client: Client) -> None:
    assert get(client, "/predict") == (
        405,
        {"error": "Method Not Allowed", "message": 'Method "GET" not allowed.'},
    )


# --- Before the first model, and after it broke ------------------------------------------------


@pytest.mark.parametrize("payload", [LEAK, [LEAK]])
def test_before_the_first_model_nothing_is_predicted(client: Client, payload: object) -> None:
    status, body = predict(client, payload)
    assert status == 503
    assert body == {"error": "Service Unavailable", "message": NO_MODEL}


def test_before_the_first_model_the_health_is_degraded(client: Client) -> None:
    QueueNodeFactory.create()
    assert get(client, "/health") == (
        200,
        {
            "status": "degraded",
            "models_loaded": False,
            "message": NO_MODEL,
            "model_version": None,
            "problems": [],
            "app_name": "Equipment Anomaly Training Pipeline",
            "version": "1.0.0",
        },
    )


def test_before_the_first_model_there_are_no_metrics(client: Client) -> None:
    status, body = get(client, "/models/metrics")
    assert status == 503
    assert body["error"] == "Service Unavailable"


def test_with_a_model_the_health_is_good(client: Client, version: ModelVersion) -> None:
    QueueNodeFactory.create()
    assert get(client, "/health") == (
        200,
        {
            "status": "healthy",
            "models_loaded": True,
            "message": f"Version {version.pk} serves.",
            "model_version": version.pk,
            "problems": [],
            "app_name": "Equipment Anomaly Training Pipeline",
            "version": "1.0.0",
        },
    )


def test_without_a_queue_the_health_says_what_to_do(client: Client, version: ModelVersion) -> None:
    _, health = get(client, "/health")
    sentence = "No queue runs: nothing is trained and no notice is sent."
    assert (health["status"], health["message"]) == ("healthy", f"Version {version.pk} serves.")
    (problem,) = health["problems"]
    assert problem.pop("since").startswith("20")
    assert problem == {
        "code": "queue_silent",
        "severity": "serious",
        "subject": "",
        "message": sentence,
        "action": "Start it: python manage.py qcluster, or systemctl restart anomalies-queue.",
    }


def test_a_warning_alone_leaves_the_health_good(client: Client, version: ModelVersion) -> None:
    QueueNodeFactory.create()
    Finding.objects.create(code="schedule_off", severity=Finding.Severity.WARNING)
    Finding.objects.create(code="disk_low", severity=1, ended_at=timezone.now())
    _, health = get(client, "/health")
    assert (health["status"], [problem["code"] for problem in health["problems"]]) == (
        "healthy",
        ["schedule_off"],
    )


def test_the_health_costs_four_queries(
    client: Client, version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    """The active version, the findings, the nodes, the active session."""
    get(client, "/health")
    with django_assert_num_queries(4):
        get(client, "/health")


def test_what_this_node_s_libraries_cannot_load_is_its_own_trouble(
    client: Client, version: ModelVersion
) -> None:
    QueueNodeFactory.create()
    libraries.pretend("scikit-learn=1.0.0")
    try:
        status, body = predict(client, LEAK)
        _, health = get(client, "/health")
    finally:
        libraries.pretend("")
    assert status == 503
    assert body["message"].endswith(
        "Install the release that trained it on this node, or activate another version."
    )
    assert [problem["code"] for problem in health["problems"]] == ["node_incompatible"]
    version.refresh_from_db()
    assert version.verification_error == ""


def test_a_broken_new_version_leaves_the_old_one_serving(client: Client, version: ModelVersion) -> None:
    assert predict(client, LEAK)[1]["model_version"] == version.pk
    broken = publish_version(is_active=True)
    (artifacts.directory_of(broken) / "features.pkl").unlink()
    assert predict(client, LEAK)[1]["model_version"] == version.pk
    status, health = get(client, "/health")
    assert status == 200
    assert health["status"] == "degraded"
    assert health["models_loaded"] is True
    assert health["message"] == (
        f"Version {version.pk} serves: version {broken.pk} is active but cannot be loaded"
        " (published_2 lacks 'features.pkl'). Activate another version or restore a backup."
    )


def test_a_broken_first_version_answers_503_with_the_reason(client: Client, version: ModelVersion) -> None:
    (artifacts.directory_of(version) / "features.pkl").unlink()
    reason = (
        f"No model serves: version {version.pk} is active but cannot be loaded"
        " (published_1 lacks 'features.pkl'). Activate another version or restore a backup."
    )
    assert predict(client, LEAK) == (503, {"error": "Service Unavailable", "message": reason})
    status, health = get(client, "/health")
    assert status == 200
    assert (health["status"], health["models_loaded"], health["message"]) == ("degraded", False, reason)


def test_a_newly_activated_version_answers_the_next_request(client: Client, version: ModelVersion) -> None:
    assert predict(client, LEAK)[1]["predictions"]["process_safety"]["score"] == 5
    newer = publish_version(reports={**REPORTS, "fuite vapeur": (1.0, 1.0, 2.0)}, is_active=True)
    _, body = predict(client, LEAK)
    assert body["model_version"] == newer.pk
    assert body["predictions"]["process_safety"]["score"] == 2
    activate(version)
    assert predict(client, LEAK)[1]["model_version"] == version.pk


@contextmanager
def no_database() -> Iterator[None]:
    def refuse(*args: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    with connection.execute_wrapper(refuse):
        yield


def test_health_answers_without_a_database(client: Client, version: ModelVersion) -> None:
    with no_database():
        status, health = get(client, "/health")
    assert status == 200
    assert (health["status"], health["models_loaded"]) == ("degraded", False)
    assert health["message"] == "The database does not answer."


def test_health_without_a_database_knows_what_serves(client: Client, version: ModelVersion) -> None:
    predictor.current()
    with no_database():
        _, health = get(client, "/health")
    assert (health["status"], health["models_loaded"]) == ("degraded", True)
    assert health["model_version"] == version.pk


# --- Who may ask -------------------------------------------------------------------------------


def ask(client: Client, route: str, **headers: str) -> int:
    if route == "/predict":
        return predict(client, LEAK, **headers)[0]
    return client.get(route, headers=headers).status_code


@pytest.fixture
def user(db: None) -> User:
    user: User = UserFactory.create()
    return user


@pytest.mark.parametrize("route", ROUTES)
def test_anybody_may_ask_where_anonymous_reads_are_on(
    client: Client, version: ModelVersion, route: str
) -> None:
    assert ask(client, route) == 200


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_unknown_may_ask_where_they_are_off(
    client: Client, version: ModelVersion, settings: Settings, route: str
) -> None:
    settings.ANONYMOUS_READ = False
    assert ask(client, route) == (200 if route == "/health" else 401)
    assert ask(client, route, Authorization="Token wrong") == 401


def test_health_tells_nobody_unknown_more_than_whether_it_serves(
    client: Client, version: ModelVersion, settings: Settings, user: User
) -> None:
    QueueNodeFactory.create()
    settings.ANONYMOUS_READ = False
    short = {"status": "healthy", "models_loaded": True, "message": "A model serves."}
    about = {"app_name": settings.APP_NAME, "version": settings.VERSION}
    assert client.get("/health").json() == short | about
    client.force_login(user)
    whole = {"message": f"Version {version.pk} serves.", "model_version": version.pk, "problems": []}
    assert client.get("/health").json() == short | about | whole


def test_health_answers_without_a_database_whoever_asks(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise OperationalError("gone")

    settings.ANONYMOUS_READ = False
    monkeypatch.setattr(
        "training.api.authentication.WatchedTokenAuthentication.authenticate_credentials", gone
    )
    monkeypatch.setattr("predictions.predictor.current", gone)
    response = client.get("/health", headers={"authorization": "Token " + "0" * 40})
    assert (response.status_code, response.json()["message"]) == (200, "No model serves.")


@pytest.mark.parametrize("route", ROUTES)
def test_whoever_is_known_may_ask(
    client: Client, version: ModelVersion, settings: Settings, user: User, route: str
) -> None:
    settings.ANONYMOUS_READ = False
    token = Token.objects.create(user=user)
    assert ask(client, route, Authorization=f"Token {token.key}") == 200
    client.force_login(user)
    assert ask(client, route) == 200


@pytest.mark.parametrize("route", ROUTES)
def test_wrong_credentials_are_refused_even_where_none_are_needed(client: Client, route: str) -> None:
    assert ask(client, route, Authorization="Token wrong") == 401


def test_refusals_have_the_older_form(client: Client, settings: Settings) -> None:
    settings.ANONYMOUS_READ = False
    assert predict(client, LEAK) == (
        401,
        {"error": "Unauthorized", "message": "Authentication credentials were not provided."},
    )


def test_a_session_needs_its_csrf_token(version: ModelVersion, user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    status, body = predict(client, LEAK)
    assert status == 403
    assert set(body) == {"error", "message"}


# --- Anything at all ---------------------------------------------------------------------------

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
fields = ("anomaly_id", "description", "equipment_name", "equipment_id", "system", "section", "detected_at")
plausible = st.fixed_dictionaries({"description": st.text(min_size=1), "equipment_id": st.text(min_size=1)})
records = plausible | st.dictionaries(st.sampled_from(fields), anything, max_size=len(fields)) | anything


@hypothesis_settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payload=st.lists(records, max_size=3) | records)
def test_whatever_is_posted_is_answered_or_refused(
    client: Client, version: ModelVersion, payload: object
) -> None:
    status, body = predict(client, payload)
    assert status in {200, 400}
    assert ("status" in body) if status == 200 else {"error", "message"} <= set(body)
