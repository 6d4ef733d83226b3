"""Every route of /api/v1/ as nobody, as somebody without access, and as somebody with the permission."""

from dataclasses import dataclass
from typing import Any

import pytest
from django.urls import URLPattern, get_resolver
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.factories import ApprovedFactory, BackupFactory, SessionFactory, UserFactory, VersionFactory
from tests.trained import approved_records, trained_version
from tests.training.api.v1.conftest import ClientOf, granted
from training import backups
from training.api.v1 import urls
from training.label_quality import report_label_quality
from training.models import (
    Anomaly,
    Backup,
    LabelFinding,
    ModelVersion,
    QualityCheck,
    QualityReport,
    TrainingPolicy,
    TrainingSession,
)

pytestmark = pytest.mark.django_db
REPORT = {"anomaly_id": "N-1", "description": "bruit anormal", "equipment_id": "pump-1"}
REVIEW = "training.review_anomaly"


@dataclass(frozen=True)
class Route:
    name: str
    method: str
    permission: str
    permitted: int  # the status for who has the permission
    body: object = None
    needs_files: bool = False  # of a real version and a real backup, to be permitted

    def __str__(self) -> str:
        return f"{self.method} {self.name}"

    def send(self, client: APIClient) -> Any:
        body = {"format": "json", "data": self.body} if self.body else {}
        return getattr(client, self.method)(self.address(), **body)

    def address(self) -> str:
        """Of the newest row of that kind."""
        resource, verb = self.name.split("-", 1)
        path, model, key = RESOURCES[resource]
        row = (
            ""
            if verb == "list" or resource == "policy"
            else f"{model.objects.values_list(key, flat=True).latest('pk')}/"
        )
        return f"/api/v1/{path}/{row}" + ("" if verb in {"list", "detail"} else f"{verb}/")


RESOURCES: dict[str, tuple[str, Any, str]] = {
    "anomaly": ("anomalies", Anomaly, "pk"),
    "session": ("training-sessions", TrainingSession, "pk"),
    "policy": ("training-policy", TrainingPolicy, "pk"),
    "version": ("model-versions", ModelVersion, "pk"),
    "backup": ("backups", Backup, "name"),
    "quality": ("quality-reports", QualityReport, "pk"),
    "check": ("quality-checks", QualityCheck, "pk"),
    "finding": ("label-findings", LabelFinding, "pk"),
}
ROUTES = [
    Route("anomaly-list", "get", "training.view_anomaly", 200),
    Route("anomaly-list", "post", "training.add_anomaly", 201, REPORT),
    Route("anomaly-detail", "get", "training.view_anomaly", 200),
    Route("anomaly-history", "get", "training.view_anomaly", 200),
    Route("anomaly-approve", "post", REVIEW, 200, {"scores": {"availability_score": 4}}),
    Route("anomaly-reject", "post", REVIEW, 200, {"reason": "a duplicate"}),
    Route("anomaly-reopen", "post", REVIEW, 200),
    Route("anomaly-correct", "post", REVIEW, 200, {"scores": {"availability_score": 4}, "reason": "seen"}),
    Route("session-list", "get", "training.view_trainingsession", 200),
    Route("session-list", "post", "training.train_models", 202),
    Route("session-detail", "get", "training.view_trainingsession", 200),
    Route("session-cancel", "post", "training.cancel_trainingsession", 409),  # it has ended
    Route("session-log", "get", "training.view_trainingsession", 200),
    Route("policy-list", "get", "django_q.view_schedule", 200),
    Route("policy-list", "patch", "django_q.change_schedule", 200, {"minimum_new": 3}),
    Route("policy-freeze", "post", "django_q.change_schedule", 200, {"reason": "audit"}),
    Route("policy-lift", "post", "django_q.change_schedule", 409),
    Route("version-list", "get", "training.view_modelversion", 200),
    Route("version-detail", "get", "training.view_modelversion", 200),
    Route("version-metrics", "get", "training.view_modelversion", 200),
    Route("version-activate", "post", "training.activate_modelversion", 200, needs_files=True),
    Route("version-roll-back", "post", "training.activate_modelversion", 409),
    Route("backup-list", "get", "training.view_backup", 200),
    Route("backup-list", "post", "training.add_backup", 201),
    Route("backup-detail", "get", "training.view_backup", 200),
    Route("backup-verify", "post", "training.add_backup", 200, needs_files=True),
    Route("backup-preview", "get", "training.restore_backup", 200, needs_files=True),
    Route("backup-restore", "post", "training.restore_backup", 200, needs_files=True),
    Route("quality-list", "get", "training.view_qualityreport", 200),
    Route("quality-detail", "get", "training.view_qualityreport", 200),
    Route("quality-list", "post", "training.add_qualitycheck", 202, {"kind": "drift"}),
    Route("check-list", "get", "training.view_qualitycheck", 200),
    Route("check-detail", "get", "training.view_qualitycheck", 200),
    Route("finding-list", "get", "training.view_anomaly", 200),
    Route("finding-detail", "get", "training.view_anomaly", 200),
]
OPEN = {"schema", "docs"}  # the description of the API, not its data
every_route = pytest.mark.parametrize("route", ROUTES, ids=str)


@pytest.fixture(autouse=True)
def rows(db: None) -> None:
    ApprovedFactory.create(description="fuite", fiability_score=4)
    ApprovedFactory.create(description="fuite")
    report_label_quality()
    SessionFactory.create(status="failed")
    VersionFactory.create()
    BackupFactory.create()
    QualityCheck.objects.create(kind="drift", trigger="api", status="failed")


def make_files() -> None:
    approved_records()
    trained_version("real", is_active=True)
    backups.create_backup(kind=Backup.Kind.MANUAL)


def whole_state() -> list[Any]:
    models = (Anomaly, TrainingSession, Backup, QualityCheck, TrainingPolicy)
    return [list(model.objects.order_by("pk").values()) for model in models]


def test_every_route_is_tested_here() -> None:
    patterns = get_resolver(urls.__name__).url_patterns
    flat = [p for entry in patterns for p in getattr(entry, "url_patterns", [entry])]
    routed = {
        (str(pattern.name), method)
        for pattern in flat
        if isinstance(pattern, URLPattern) and pattern.name not in OPEN
        for method in pattern.callback.actions  # type: ignore[attr-defined]  # set by ViewSetMixin.as_view
        if method != "head"
    }
    assert routed == {(route.name, route.method) for route in ROUTES}


@every_route
def test_nobody_is_asked_who_it_is(route: Route) -> None:
    before = whole_state()
    response = route.send(APIClient())
    assert response.status_code == 401
    assert response["WWW-Authenticate"] == "Token"
    assert response.json() == {
        "success": False,
        "error": "Authentication credentials were not provided.",
    }
    assert whole_state() == before


@every_route
def test_a_wrong_token_is_refused(route: Route) -> None:
    client = APIClient(headers={"Authorization": "Token " + "0" * 40})
    response = route.send(client)
    assert (response.status_code, response.json()["error"]) == (401, "Invalid token.")


@every_route
def test_somebody_without_the_permission_is_told_which_one(route: Route) -> None:
    others = {other.permission for other in ROUTES} - {route.permission}
    client = APIClient()
    client.force_authenticate(granted(*others))
    before = whole_state()
    response = route.send(client)
    assert response.status_code == 403
    assert response.json() == {"success": False, "error": f"This needs the permission {route.permission}."}
    assert whole_state() == before


def make_ready(route: Route) -> None:
    """What the route works on: files, or an anomaly that waits for a decision."""
    if route.needs_files:
        make_files()
    if route.name == "anomaly-approve":
        Anomaly.objects.update(status=Anomaly.Status.PENDING)


@every_route
def test_somebody_with_the_permission_may(route: Route) -> None:
    make_ready(route)
    token = Token.objects.create(user=granted(route.permission))
    client = APIClient(headers={"Authorization": f"Token {token.key}"})
    assert route.send(client).status_code == route.permitted


@every_route
def test_a_session_works_too_and_its_writes_need_a_csrf_token(route: Route) -> None:
    make_ready(route)
    client = APIClient(enforce_csrf_checks=True)
    client.force_login(granted(route.permission), backend="django.contrib.auth.backends.ModelBackend")
    response = route.send(client)
    if route.method == "get":
        assert response.status_code == route.permitted
    else:
        assert (response.status_code, response.json()["success"]) == (403, False)
        assert response.json()["error"].startswith("CSRF Failed")
        client.cookies["csrftoken"] = "x" * 32
        client.credentials(HTTP_X_CSRFTOKEN="x" * 32)
        assert route.send(client).status_code == route.permitted


@every_route
def test_options_are_told_and_other_methods_refused(route: Route) -> None:
    client = APIClient()
    client.force_authenticate(UserFactory.create(is_superuser=True))
    assert client.options(route.address()).status_code == 200
    for method in {"put", "patch", "delete"} - {each.method for each in ROUTES if each.name == route.name}:
        assert getattr(client, method)(route.address()).status_code == 405


def test_an_inactive_user_is_refused(client_of: ClientOf) -> None:
    user = granted("training.view_anomaly")
    token = Token.objects.create(user=user)
    user.is_active = False
    user.save()
    client = APIClient(headers={"Authorization": f"Token {token.key}"})
    assert client.get("/api/v1/anomalies/").status_code == 401


@pytest.mark.parametrize("address", ["/api/v1/anomalies/", "/api/v1/schema/", "/api/v1/docs/"])
def test_the_open_development_mode_does_not_open_it(address: str, settings: Settings) -> None:
    settings.OPEN_DEVELOPMENT_MODE = True
    settings.ANONYMOUS_READ = False
    assert APIClient().get(address).status_code == 401


@pytest.mark.parametrize("address", ["/api/v1/schema/", "/api/v1/docs/"])
def test_the_description_is_open_to_who_may_read(address: str, settings: Settings) -> None:
    settings.ANONYMOUS_READ = True
    assert APIClient().get(address).status_code == 200
    settings.ANONYMOUS_READ = False
    client = APIClient()
    client.force_authenticate(granted())
    assert client.get(address).status_code == 200
