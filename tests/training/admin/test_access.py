"""Every page of the admin: it renders for the owner, and nobody else gets in without a permission."""

from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.db.models import Model
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ
from django_q.tasks import async_task
from rest_framework.authtoken.models import Token
from unfold.admin import ModelAdmin

from predictions.models import Prediction, PredictionJob
from tests.factories import (
    AnomalyFactory,
    ApprovedFactory,
    BackupFactory,
    SessionFactory,
    UserFactory,
    VersionFactory,
)
from tests.training.admin.people import client_of, staff, superuser
from training.file_imports import receive_files
from training.label_quality import report_label_quality
from training.models import (
    Activation,
    Anomaly,
    Backup,
    FileImport,
    Finding,
    LabelFinding,
    ModelVersion,
    QualityCheck,
    TrainingSession,
)
from training.schedules import ensure_schedule

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
LOW = {"host": "plant-1", "free": 100, "needed": 1024}
ADD = {
    "auth_user",
    "auth_group",
    "authtoken_tokenproxy",
    "training_anomaly",
    "training_fileimport",
    "training_mailsubscription",
    "training_webhook",
}
OURS: dict[type[Model], str] = {
    Anomaly: "training.view_anomaly",
    TrainingSession: "training.view_trainingsession",
    ModelVersion: "training.view_modelversion",
    Activation: "training.view_activation",
    Backup: "training.view_backup",
    FileImport: "training.view_anomaly",
    LabelFinding: "training.view_anomaly",
    Finding: "training.view_finding",
    QualityCheck: "training.view_qualitycheck",
    Prediction: "predictions.view_prediction",
    PredictionJob: "predictions.view_predictionjob",
}
models = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
ours = pytest.mark.parametrize(("model", "permission"), OURS.items(), ids=str)


def page(model: type[Model], name: str = "changelist", **kwargs: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", **kwargs)


@pytest.fixture
def rows() -> dict[type[Model], Any]:
    """A row of each kind, as the address of its page names it."""
    anomaly: Anomaly = ApprovedFactory.create(description="fuite")
    ApprovedFactory.create(description="fuite", fiability_score=4)
    report_label_quality()
    version: ModelVersion = VersionFactory.create(is_active=True)
    user: User = UserFactory.create()
    Token.objects.create(user=user)
    async_task("training.tasks.run_session", 1)
    upload = ContentFile(
        b"description,equipment_name,equipment_id,availability_score,fiability_score,process_safety_score\n"
    )
    received = receive_files(files=[upload], status=Anomaly.Status.APPROVED, user=user)
    return {
        Anomaly: anomaly.pk,
        ModelVersion: version.pk,
        Backup: BackupFactory.create(model_version=version).pk,
        TrainingSession: SessionFactory.create().pk,
        Activation: Activation.objects.create(version=version, reason="first").pk,
        Prediction: Prediction.objects.create(
            anomaly=anomaly,
            model_version=version,
            availability_score=1,
            fiability_score=1,
            process_safety_score=1,
            distributions={},
            confidence=0.5,
        ).pk,
        PredictionJob: PredictionJob.objects.create(
            file_name="night.csv", model_version=version, status=PredictionJob.Status.QUEUED
        ).pk,
        FileImport: received.pk,
        LabelFinding: LabelFinding.objects.earliest("rank").pk,
        Finding: Finding.objects.create(code=Finding.Code.DISK_LOW, severity=1, facts=LOW).pk,
        QualityCheck: QualityCheck.objects.create(kind="drift", trigger="admin").pk,
        User: user.pk,
        Group: Group.objects.create(name="reviewers").pk,
        OrmQ: OrmQ.objects.get().pk,
    }


def test_every_model_of_ours_and_of_the_queue_has_its_page() -> None:
    assert [model._meta.label for model in MODELS] == [
        "auth.Group",
        "auth.User",
        "authtoken.TokenProxy",
        "axes.AccessAttempt",
        "django_q.Failure",
        "django_q.OrmQ",
        "django_q.Schedule",
        "django_q.Success",
        "predictions.Prediction",
        "predictions.PredictionJob",
        "training.Activation",
        "training.Anomaly",
        "training.Backup",
        "training.Delivery",
        "training.FileImport",
        "training.Finding",
        "training.LabelFinding",
        "training.MailSubscription",
        "training.ModelVersion",
        "training.QualityCheck",
        "training.TrainingSession",
        "training.Webhook",
    ]
    assert all(isinstance(admin.site._registry[model], ModelAdmin) for model in MODELS)


@models
def test_lists_render_for_a_superuser(model: type[Model], rows: dict[type[Model], Any]) -> None:
    assert superuser().get(page(model)).status_code == 200


@models
def test_pages_of_one_row_render_for_a_superuser(model: type[Model], rows: dict[type[Model], Any]) -> None:
    client = superuser()
    if model._meta.label == "django_q.Schedule":
        rows[model] = ensure_schedule().pk
    if model in rows:
        assert client.get(page(model, "change", args=[rows[model]])).status_code == 200
    name = f"{model._meta.app_label}_{model._meta.model_name}"
    assert client.get(page(model, "add")).status_code == (200 if name in ADD else 403)


@models
@pytest.mark.parametrize("name", ["changelist", "add"])
def test_who_is_not_staff_is_sent_to_the_login(model: type[Model], name: str) -> None:
    response = client_of(UserFactory.create()).get(page(model, name))
    assert (response.status_code, response["Location"].partition("?")[0]) == (302, reverse("admin:login"))


@models
def test_staff_without_permissions_see_no_list(model: type[Model]) -> None:
    assert staff().get(page(model)).status_code == 403


@ours
def test_the_permission_to_view_opens_the_list_and_the_row_and_no_more(
    model: type[Model], permission: str, rows: dict[type[Model], Any]
) -> None:
    client = staff(permission)
    row = page(model, "change", args=[rows[model]])
    assert client.get(page(model)).status_code == 200
    assert client.get(row).status_code == 200
    assert client.post(row, {"reason": "x"}).status_code == 403
    assert client.get(page(model, "add")).status_code == 403
    assert client.post(page(model, "delete", args=[rows[model]]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_not_even_a_superuser_deletes_what_the_loop_has_written(
    model: type[Model], rows: dict[type[Model], Any]
) -> None:
    response = superuser().post(page(model, "delete", args=[rows[model]]), {"post": "yes"})
    assert response.status_code == 403
    assert model._default_manager.filter(pk=rows[model]).exists()


def test_the_start_page_is_for_staff() -> None:
    assert client_of(UserFactory.create()).get(reverse("admin:index")).status_code == 302
    assert staff().get(reverse("admin:index")).status_code == 200
    assert Client().get(reverse("admin:index")).status_code == 302


def test_a_wrong_address_is_404_or_leads_back() -> None:
    client = superuser()
    for model in (Anomaly, TrainingSession, ModelVersion, Backup):
        assert client.get(page(model, "change", args=["x"])).status_code == 302
    assert client.get(reverse("admin:training_backup_restore", args=["9"])).status_code == 404
    assert client.post(reverse("admin:training_modelversion_activate", args=["9"])).status_code == 404
    assert client.post(reverse("admin:training_trainingsession_cancel", args=["9"])).status_code == 404


def test_pages_carry_no_script_of_their_own_and_forbid_others() -> None:
    AnomalyFactory.create()
    response = superuser().get(page(Anomaly))
    policy = response["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "default-src 'self'" in policy
    html = response.content.decode()
    assert [part for part in html.split("<script")[1:] if "src=" not in part.split(">")[0]] == []
    assert " onclick=" not in html
