"""What each role may open and do, page by page and route by route."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from rest_framework.authtoken.models import Token

from predictions.models import Prediction
from tests.factories import AnomalyFactory, ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.training.admin.people import client_of
from tests.training.roles import ROLES, user_as
from training.models import Anomaly
from training.schedules import ensure_schedule

pytestmark = pytest.mark.django_db

VIEWER, REVIEWER, TRAINER, ADMINISTRATOR = ROLES
EVERYBODY = {*ROLES}
ADMINISTRATORS = {ADMINISTRATOR}
# Who sees the list of each model, and who may add one.
LISTS: dict[str, set[str]] = {
    "auth.Group": ADMINISTRATORS,
    "auth.User": ADMINISTRATORS,
    "authtoken.TokenProxy": ADMINISTRATORS,
    "axes.AccessAttempt": ADMINISTRATORS,
    "django_q.Failure": EVERYBODY,
    "django_q.OrmQ": EVERYBODY,
    "django_q.Schedule": EVERYBODY,
    "django_q.Success": EVERYBODY,
    "predictions.Prediction": EVERYBODY,
    "predictions.PredictionJob": EVERYBODY,
    "training.Activation": EVERYBODY,
    "training.Anomaly": EVERYBODY,
    "training.Backup": EVERYBODY,
    "training.Delivery": ADMINISTRATORS,
    "training.FileImport": EVERYBODY,
    "training.Finding": EVERYBODY,
    "training.LabelFinding": EVERYBODY,
    "training.MailSubscription": ADMINISTRATORS,
    "training.ModelVersion": EVERYBODY,
    "training.QualityCheck": EVERYBODY,
    "training.TrainingSession": EVERYBODY,
    "training.Webhook": ADMINISTRATORS,
}
ADDED_BY: dict[str, set[str]] = {
    "auth.Group": ADMINISTRATORS,
    "auth.User": ADMINISTRATORS,
    "authtoken.TokenProxy": ADMINISTRATORS,
    "training.Anomaly": {REVIEWER, ADMINISTRATOR},
    "training.FileImport": {REVIEWER, ADMINISTRATOR},
    "training.MailSubscription": ADMINISTRATORS,
    "training.Webhook": ADMINISTRATORS,
}
# The pages that ask before something changes.
ACTIONS: dict[str, set[str]] = {
    "training_trainingsession_train_now": {TRAINER, ADMINISTRATOR},
    "training_trainingsession_cancel": {TRAINER, ADMINISTRATOR},
    "training_modelversion_activate": {TRAINER, ADMINISTRATOR},
    "training_backup_back_up_now": {TRAINER, ADMINISTRATOR},
    "training_backup_verify": {TRAINER, ADMINISTRATOR},
    "training_backup_prune": ADMINISTRATORS,
    "training_qualitycheck_look_for_labels": {REVIEWER, TRAINER, ADMINISTRATOR},
    "training_qualitycheck_look_for_drift": {REVIEWER, TRAINER, ADMINISTRATOR},
    "training_labelfinding_check_now": {REVIEWER, TRAINER, ADMINISTRATOR},
    "review": {REVIEWER, ADMINISTRATOR},
    "adjudication": {TRAINER, ADMINISTRATOR},
}
REVIEWERS, TRAINERS = {REVIEWER, ADMINISTRATOR}, {TRAINER, ADMINISTRATOR}
# Reads; then writes which, permitted, find nothing to work on: what they are answered.
ROUTES: list[tuple[str, str, set[str], int]] = [
    *(
        ("get", f"/api/v1/{name}/", EVERYBODY, 200)
        for name in (
            "anomalies",
            "training-sessions",
            "model-versions",
            "backups",
            "quality-reports",
            "quality-checks",
            "label-findings",
            "predictions",
            "prediction-jobs",
        )
    ),
    ("get", "/api/v1/drift/", EVERYBODY, 404),
    ("get", "/train/status", EVERYBODY, 200),
    ("get", "/train/backups", EVERYBODY, 200),
    ("post", "/api/v1/anomalies/", REVIEWERS, 400),
    ("post", "/api/v1/anomalies/0/approve/", REVIEWERS, 404),
    ("post", "/api/v1/anomalies/0/reject/", REVIEWERS, 404),
    ("post", "/api/v1/anomalies/0/reopen/", REVIEWERS, 404),
    ("post", "/api/v1/anomalies/0/correct/", REVIEWERS, 404),
    ("post", "/api/v1/predictions/suggest/", REVIEWERS, 503),
    ("post", "/api/v1/prediction-jobs/0/cancel/", REVIEWERS | TRAINERS, 404),
    ("get", "/api/v1/prediction-jobs/0/result/", EVERYBODY, 404),
    ("get", "/api/v1/training-policy/", EVERYBODY, 200),
    ("patch", "/api/v1/training-policy/", TRAINERS, 200),
    ("post", "/api/v1/training-policy/freeze/", TRAINERS, 400),
    ("post", "/api/v1/training-policy/lift/", TRAINERS, 409),
    ("get", "/api/v1/training-sessions/0/log/", EVERYBODY, 404),
    ("post", "/api/v1/quality-reports/", REVIEWERS | TRAINERS, 400),
    ("post", "/api/v1/training-sessions/", TRAINERS, 409),
    ("post", "/api/v1/training-sessions/0/cancel/", TRAINERS, 404),
    ("post", "/api/v1/model-versions/0/activate/", TRAINERS, 404),
    ("post", "/api/v1/backups/", TRAINERS, 201),
    ("post", "/api/v1/backups/0/verify/", TRAINERS, 404),
    ("get", "/api/v1/backups/0/preview/", TRAINERS, 404),
    ("post", "/api/v1/backups/0/restore/", TRAINERS, 404),
    ("post", "/train", TRAINERS, 400),
    ("post", "/train/reload", TRAINERS, 500),
    ("post", "/train/restore/backup_0", TRAINERS, 404),
]
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
roles = pytest.mark.parametrize("role", ROLES)
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)


def page(model: type[Model], name: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


def allowed(role: str, permitted: set[str]) -> int:
    return 200 if role in permitted else 403


def test_the_tables_here_name_every_page() -> None:
    assert [model._meta.label for model in MODELS] == list(LISTS)


@roles
@models
def test_lists(role: str, model: type[Model]) -> None:
    client = client_of(user_as(role))
    assert client.get(page(model, "changelist")).status_code == allowed(role, LISTS[model._meta.label])
    added_by = ADDED_BY.get(model._meta.label, set())
    assert client.get(page(model, "add")).status_code == allowed(role, added_by)


@roles
def test_the_start_page(role: str) -> None:
    assert client_of(user_as(role)).get(reverse("admin:index")).status_code == 200


@roles
@pytest.mark.parametrize(("name", "permitted"), ACTIONS.items())
def test_actions(role: str, name: str, permitted: set[str]) -> None:
    rows: dict[str, Any] = {
        "trainingsession_cancel": SessionFactory,
        "modelversion_activate": VersionFactory,
        "backup_verify": BackupFactory,
    }
    factory = rows.get(name.removeprefix("training_"))
    url = reverse(f"admin:{name}", args=[factory.create().pk] if factory else [])
    assert client_of(user_as(role)).get(url).status_code == allowed(role, permitted)


@roles
def test_who_may_not_restore_is_told_so(role: str) -> None:
    url = reverse("admin:training_backup_restore", args=[BackupFactory.create().pk])
    response = client_of(user_as(role)).get(url)
    permitted = role in {TRAINER, ADMINISTRATOR}
    assert response.status_code == (302 if permitted else 403)  # back with a message: it has no files


@roles
def test_only_reviewers_review(role: str) -> None:
    anomaly = AnomalyFactory.create()
    client = client_of(user_as(role))
    scores = dict.fromkeys(("availability_score", "fiability_score", "process_safety_score"), "2")
    response = client.post(page(Anomaly, "change", anomaly.pk), {**scores, "_approve": ""})
    is_reviewer = role in {REVIEWER, ADMINISTRATOR}
    assert response.status_code == (302 if is_reviewer else 403)
    anomaly.refresh_from_db()
    assert anomaly.status == ("approved" if is_reviewer else "pending")
    assert (anomaly.reviewed_by is not None) == is_reviewer


@roles
def test_only_trainers_set_the_schedule(role: str) -> None:
    schedule = ensure_schedule()
    url = page(type(schedule), "change", schedule.pk)
    client = client_of(user_as(role))
    assert client.get(url).status_code == 200
    typed = {"day": "1", "at": "03:30", "enabled": "on", "activation": "gate"}
    response = client.post(url, typed)
    may = role in {TRAINER, ADMINISTRATOR}
    assert response.status_code == (302 if may else 403)
    schedule.refresh_from_db()
    assert schedule.cron == ("30 3 * * 1" if may else "0 2 * * 0")


@roles
@pytest.mark.parametrize(
    ("method", "path", "permitted", "answer"),
    ROUTES,
    ids=lambda value: None if isinstance(value, set) else str(value),
)
def test_routes(role: str, method: str, path: str, permitted: set[str], answer: int) -> None:
    token = Token.objects.create(user=user_as(role))
    client = Client(headers={"authorization": f"Token {token.key}"})
    response = client.generic(method, path, "{}" if method == "post" else "", content_type="application/json")
    assert response.status_code == (answer if role in permitted else 403), response.content


@roles
def test_everybody_predicts_and_exports(role: str) -> None:
    ApprovedFactory.create()
    client = client_of(user_as(role))
    assert client.get(reverse("admin:training_anomaly_export")).status_code == 200
    assert client.get("/health").status_code == 200


@roles
def test_what_everybody_sees_nobody_edits(role: str) -> None:
    version = VersionFactory.create()
    prediction = Prediction.objects.create(
        anomaly=AnomalyFactory.create(),
        model_version=version,
        availability_score=1,
        fiability_score=1,
        process_safety_score=1,
        distributions={},
        confidence=0.5,
    )
    client = client_of(user_as(role))
    for row in (version, prediction, BackupFactory.create(), SessionFactory.create()):
        url = page(type(row), "change", row.pk)
        assert (client.get(url).status_code, client.post(url, {}).status_code) == (200, 403)
        assert client.post(page(type(row), "delete", row.pk), {"post": "yes"}).status_code == 403


@roles
def test_people_are_managed_by_administrators(role: str) -> None:
    other = User.objects.create(username="ines")
    group = Group.objects.create(name="nobody's")
    client = client_of(user_as(role))
    expected = allowed(role, ADMINISTRATORS)
    assert client.get(page(User, "change", other.pk)).status_code == expected
    assert client.get(page(Group, "change", group.pk)).status_code == expected
    password = reverse("admin:auth_user_password_change", args=[other.pk])
    assert client.get(password).status_code == expected
