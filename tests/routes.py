"""Every route of the product, walked from its URLconf, and an address for each."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from axes.models import AccessAttempt
from django.contrib.auth.models import Group, User
from django.core.files.base import ContentFile
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from django_q.models import Failure, OrmQ, Success
from django_q.tasks import async_task
from rest_framework.authtoken.models import Token

from predictions.drift_api import REPORT
from predictions.models import Prediction, PredictionJob
from tests.factories import (
    AnomalyFactory,
    ApprovedFactory,
    BackupFactory,
    MailSubscriptionFactory,
    SessionFactory,
    UserFactory,
    VersionFactory,
    WebhookFactory,
)
from training import notices
from training.file_imports import receive_files
from training.label_quality import report_label_quality
from training.models import (
    Activation,
    Anomaly,
    Delivery,
    FileImport,
    Finding,
    LabelFinding,
    QualityCheck,
    QualityReport,
)
from training.schedules import ensure_schedule

HEADER = b"description,equipment_name,equipment_id,availability_score,fiability_score,process_safety_score\n"


def routes() -> list[str]:
    """As patterns, each once, in the order of the URLconf."""
    return list(dict.fromkeys(_walked(get_resolver().url_patterns)))


def _walked(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLPattern):
            yield route
        else:
            yield from _walked(pattern.url_patterns, route)


def one_of_each() -> dict[str, Any]:
    """What the addresses name: a row of each kind, by the part of the path that stands before it."""
    anomaly: Anomaly = ApprovedFactory.create(description="fuite")
    ApprovedFactory.create(description="fuite", fiability_score=4)
    report_label_quality()
    user: User = UserFactory.create()
    version = VersionFactory.create(is_active=True)
    task = {"name": "n", "func": "f", "started": timezone.now(), "stopped": timezone.now()}
    async_task("training.tasks.run_session", 1)
    hook = WebhookFactory.create()
    notices.send_test(listener=hook, user=user)
    backup = BackupFactory.create(model_version=version)
    scores = dict.fromkeys(("availability_score", "fiability_score", "process_safety_score"), 1)
    suggestion = Prediction.objects.create(
        anomaly=AnomalyFactory.create(), model_version=version, distributions={}, confidence=0.5, **scores
    )
    received = receive_files(files=[ContentFile(HEADER)], status=Anomaly.Status.APPROVED, user=user)
    received.refused_path.write_bytes(b"refused")
    FileImport.objects.filter(pk=received.pk).update(rows_read=1, rows_refused=1)
    columns = {"created_at", "record_count", "seconds"}
    drift = {name: value for name, value in REPORT.items() if name not in columns}
    QualityReport.objects.create(kind="drift", record_count=1, seconds=1, content=drift)
    check = QualityCheck.objects.create(kind="drift", trigger="api", status="failed")
    session = SessionFactory.create(status="failed")
    job = PredictionJob.objects.create(file_name="a.csv", model_version=version, status="queued", rows=1)
    trouble = Finding.objects.create(code=Finding.Code.SCHEDULE_OFF, severity=Finding.Severity.WARNING)
    finding, report = LabelFinding.objects.earliest("rank"), QualityReport.objects.latest("pk")
    return {
        "anomaly": anomaly.pk,
        "anomalies": anomaly.pk,
        "trainingsession": session.pk,
        "training-sessions": session.pk,
        "modelversion": version.pk,
        "model-versions": version.pk,
        "backup": backup.pk,
        "backups": backup.name,
        "restore": backup.name,
        "activation": Activation.objects.create(version=version, reason="first").pk,
        "prediction": suggestion.pk,
        "predictions": suggestion.pk,
        "predictionjob": job.pk,
        "prediction-jobs": job.pk,
        "finding": trouble.pk,
        "fileimport": received.pk,
        "labelfinding": finding.pk,
        "label-findings": finding.pk,
        "quality-reports": report.pk,
        "quality-checks": check.pk,
        "qualitycheck": check.pk,
        "webhook": hook.pk,
        "mailsubscription": MailSubscriptionFactory.create().pk,
        "delivery": Delivery.objects.get().pk,
        "user": user.pk,
        "group": Group.objects.create(name="a group").pk,
        "tokenproxy": Token.objects.create(user=user).user_id,
        "accessattempt": AccessAttempt.objects.create(
            username="x", ip_address="192.0.2.1", path_info="/admin/login/", failures_since_start=1
        ).pk,
        "success": Success.objects.create(id="1" * 32, success=True, **task).pk,
        "failure": Failure.objects.create(id="2" * 32, success=False, **task).pk,
        "ormq": OrmQ.objects.earliest("pk").pk,
        "schedule": ensure_schedule().pk,
        "history": anomaly.history.latest().pk,
        "r": 1,
    }


def address(route: str, rows: Mapping[str, Any]) -> str:
    """The route with the rows in it."""
    if route.endswith("(?P<url>.*)$"):
        return "/admin/nothing/"
    path = re.sub(r"[\^$]", "", route.replace("([^/]+)", "<id>")).replace(
        "(?P<app_label>training|auth|authtoken|axes|django_q|predictions)", "auth"
    )
    parts = path.split("/")
    for number, part in enumerate(parts):
        if part.startswith(("<", "(")):
            parts[number] = str(rows.get(parts[number - 1], rows["r"]))
    return "/" + "/".join(parts)
