"""The OpenAPI description is complete, clean, and true: real answers have the shape that it promises."""

import re
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from jsonschema import Draft202012Validator
from rest_framework.test import APIClient

from predictions.drift import report_drift
from tests.factories import AnomalyFactory, ApprovedFactory, SessionFactory, UserFactory
from tests.trained import TEXTS, approved_records, trained_version
from training import backups, frames, review
from training.label_quality import report_label_quality
from training.ml.evaluate import measure
from training.ml.records import SCORE_COLUMNS
from training.ml.scorer import AnomalyScorer
from training.models import Anomaly, Backup, LabelFinding, ModelVersion, QualityCheck, TrainingSession
from training.session_log import note_event

pytestmark = pytest.mark.django_db
PAGE = Path(__file__).parent.parent / "docs" / "api.md"
NOT_DESCRIBED = ("admin/", "i18n/", "api/v1/schema/", "api/v1/docs/")
RECORD = {"anomaly_id": "P-1", "description": "fuite", "equipment_id": "eq-1", "equipment_name": ""}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("openapi") / "schema.yaml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(path), stdout=StringIO())
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def routed(patterns: list[URLPattern | URLResolver], prefix: str = "") -> set[str]:
    found: set[str] = set()
    for pattern in patterns:
        route = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            found |= routed(pattern.url_patterns, route)
        elif route and not route.startswith(NOT_DESCRIBED):
            found.add(route)
    return found


def test_every_route_is_described(document: dict[str, Any]) -> None:
    assert len(routed(get_resolver().url_patterns)) == len(document["paths"]) > 20


def test_every_operation_stands_on_the_page_of_routes(document: dict[str, Any]) -> None:
    described = {
        f"{method.upper()} {re.sub('{[^}]*}', '<>', path)}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    named = re.findall(r"`((?:GET|POST|PATCH) /\S+?)`", PAGE.read_text(encoding="utf-8"))
    assert {re.sub("<[^>]*>", "<>", route).partition("?")[0] for route in named} == described


def test_every_operation_has_a_summary_and_names_its_permission(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["summary"], path
            if path.startswith("/api/v1/"):
                assert "Needs `" in operation["description"], path
                assert {"401", "403"} <= operation["responses"].keys(), path


def as_json_schema(node: Any, document: dict[str, Any]) -> Any:
    """OpenAPI 3.0's `nullable` and references in the words of JSON Schema."""
    if isinstance(node, list):
        return [as_json_schema(item, document) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        return as_json_schema(document["components"]["schemas"][name], document)
    schema = {key: as_json_schema(value, document) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [schema, {"type": "null"}]} if node.get("nullable") else schema


def promised(document: dict[str, Any], method: str, path: str, status: int) -> Draft202012Validator:
    content = document["paths"][path][method]["responses"][str(status)]["content"]["application/json"]
    return Draft202012Validator(as_json_schema(content["schema"], document))


def measured() -> dict[str, Any]:
    frame = frames.approved_frame()
    figures = measure(AnomalyScorer().fit(frame).predict(frame), frame, frame)
    return {"protocol": "grouped_holdout", "rows": len(frame), **figures}


def doubtful_labels() -> None:
    """One finding of each kind."""
    for number in range(60):
        text, score = ("fuite vapeur", 5) if number % 2 else ("bruit palier", 1)
        ApprovedFactory.create(description=f"{text} {number}", process_safety_score=score)
    ApprovedFactory.create(description="fuite vapeur ici", process_safety_score=1)
    ApprovedFactory.create(description="Bruit palier 0", process_safety_score=1)
    ApprovedFactory.create(description="fuite vapeur 1", process_safety_score=5, fiability_score=3)
    report_label_quality()
    assert set(LabelFinding.objects.values_list("kind", flat=True)) == set(LabelFinding.Kind.values)


@pytest.fixture
def client() -> APIClient:
    """One of everything: a version that serves, its session, a backup, a reviewed anomaly."""
    approved_records()
    version = trained_version("version_1", is_active=True, metrics=measured())
    SessionFactory.create(status="succeeded", model_version=version)
    failed = SessionFactory.create(status="failed", reason="x")
    note_event(failed.pk, 1, "x")
    QualityCheck.objects.create(kind="labels", trigger="api", status="failed", reason="x")
    backups.create_backup(kind=Backup.Kind.MANUAL)
    doubtful_labels()
    anomaly = ApprovedFactory.create()
    report_drift()
    review.reject(anomalies=[anomaly], user=UserFactory.create(), reason="a duplicate")
    client = APIClient()
    client.force_authenticate(UserFactory.create(is_superuser=True))
    return client


GETS = [
    "/api/v1/anomalies/",
    "/api/v1/anomalies/{id}/",
    "/api/v1/anomalies/{id}/history/",
    "/api/v1/training-sessions/",
    "/api/v1/training-sessions/{id}/log/",
    "/api/v1/training-policy/",
    "/api/v1/quality-checks/",
    "/api/v1/model-versions/",
    "/api/v1/model-versions/{id}/",
    "/api/v1/model-versions/{id}/metrics/",
    "/api/v1/backups/",
    "/api/v1/backups/{name}/",
    "/api/v1/backups/{name}/preview/",
    "/api/v1/predictions/",
    "/api/v1/quality-reports/",
    "/api/v1/label-findings/",
    "/api/v1/drift/",
    "/train/status",
    "/train/backups",
    "/health",
    "/models/info",
    "/models/metrics",
]
POSTS: list[tuple[str, object, int]] = [  # in this order: one row's story
    ("/api/v1/anomalies/{id}/approve/", {"reason": "x"}, 409),
    ("/api/v1/anomalies/{id}/reopen/", None, 200),
    ("/api/v1/anomalies/{id}/approve/", {"reason": "x"}, 200),
    ("/api/v1/anomalies/{id}/correct/", {"scores": {"fiability_score": 5}, "reason": "x"}, 200),
    ("/api/v1/anomalies/{id}/reject/", {"reason": "x"}, 200),
    ("/api/v1/anomalies/{id}/reject/", {"reason": "x"}, 409),
    ("/api/v1/anomalies/", RECORD, 201),
    ("/api/v1/anomalies/", RECORD, 409),
    ("/api/v1/anomalies/", [RECORD | {"anomaly_id": "P-2"}], 201),
    ("/api/v1/anomalies/", {}, 400),
    ("/api/v1/model-versions/{id}/activate/", None, 200),
    ("/api/v1/backups/{name}/verify/", None, 200),
    ("/api/v1/backups/{name}/restore/", None, 200),
    ("/api/v1/backups/", None, 201),
    ("/api/v1/predictions/suggest/", None, 200),
    ("/predict", RECORD, 200),
    ("/predict", [RECORD], 200),
    ("/predict", {}, 400),
    ("/predict", [{}], 400),
    ("/train", [{}], 400),
    ("/train/reload", None, 200),
    ("/api/v1/training-policy/lift/", None, 409),
    ("/api/v1/training-policy/freeze/", {"reason": "x"}, 200),
    ("/api/v1/training-policy/freeze/", {"reason": "x"}, 409),
    ("/api/v1/training-policy/lift/", None, 200),
    ("/api/v1/quality-reports/", {"kind": "drift"}, 202),
    ("/api/v1/quality-reports/", {"kind": "drift"}, 409),
    ("/api/v1/training-sessions/", None, 202),
    ("/api/v1/training-sessions/", None, 409),
    ("/train", [RECORD | dict.fromkeys(SCORE_COLUMNS, 3)], 409),
]


def address(path: str) -> str:
    """Of the newest row of that kind."""
    models: dict[str, type[ModelVersion | TrainingSession]] = {
        "model-versions": ModelVersion,
        "training-sessions": TrainingSession,
    }
    model = models.get(path.split("/")[3], Anomaly) if path.startswith("/api/") else Anomaly
    backup = Backup.objects.latest("pk")
    return path.replace("{id}", str(model.objects.latest("pk").pk)).replace("{name}", backup.name)


def test_what_is_read_has_the_promised_shape(
    client: APIClient, document: dict[str, Any], subtests: pytest.Subtests
) -> None:
    for path in GETS:
        with subtests.test(path):
            response = client.get(address(path))
            assert response.status_code == 200
            promised(document, "get", path, 200).validate(response.json())


def test_reasons_have_the_promised_shape(client: APIClient, document: dict[str, Any]) -> None:
    Anomaly.objects.filter(anomaly_id__lt="T-003").update(detected_at=None)
    anomaly = AnomalyFactory.create(description=TEXTS[0])
    assert client.post("/api/v1/predictions/suggest/").json()["suggested"] == 1
    (prediction,) = anomaly.predictions.all()
    body = client.get(f"/api/v1/predictions/{prediction.pk}/reasons/").json()
    path = "/api/v1/predictions/{id}/reasons/"
    promised(document, "get", path, 200).validate(body)
    assert len(body["similar_anomalies"]) == 5
    stranger = client.post("/predict?explain=true", RECORD, format="json").json()
    for answer in (stranger, stranger | {"similar_anomalies": None}):
        promised(document, "post", "/predict", 200).validate(answer)
    listed = client.post("/predict?explain=true", [RECORD], format="json").json()
    promised(document, "post", "/predict", 200).validate(listed)
    assert stranger["similar_anomalies"] == listed["results"][0]["similar_anomalies"]
    promised(document, "get", path, 404).validate(client.get(path.format(id=999_999)).json())


def test_what_is_answered_to_a_post_has_the_promised_shape(
    client: APIClient, document: dict[str, Any], subtests: pytest.Subtests
) -> None:
    for path, body, status in POSTS:
        with subtests.test(f"{path} {status}"):
            response = client.post(address(path), body, format="json")
            assert response.status_code == status, response.json()
            promised(document, "post", path, status).validate(response.json())


@pytest.mark.parametrize("path", ["/health", "/models/info", "/train/status", "/train/backups"])
def test_the_shape_holds_before_the_first_model(path: str, document: dict[str, Any]) -> None:
    response = APIClient().get(path)
    promised(document, "get", path, 200).validate(response.json())


def test_the_shape_holds_where_nothing_was_measured(document: dict[str, Any]) -> None:
    approved_records()
    trained_version("version_1", is_active=True)
    response = APIClient().get("/models/metrics")
    promised(document, "get", "/models/metrics", 200).validate(response.json())


def test_every_example_has_its_own_shape(document: dict[str, Any]) -> None:
    count = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status, response in operation["responses"].items():
                for content in response.get("content", {}).values():
                    for example in content.get("examples", {}).values():
                        promised(document, method, path, int(status)).validate(example["value"])
                        count += 1
    assert count > 25
