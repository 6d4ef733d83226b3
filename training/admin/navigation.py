"""The side bar: the places that the user may see, in the order of the loop."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from training.models import Anomaly

# title, icon, name of the admin page, permission to see it
Place = tuple[Promise, str, str, str]
GROUPS: list[tuple[Promise | None, list[Place]]] = [
    (
        None,
        [
            (_("Start"), "home", "index", ""),
            (_("Review"), "rate_review", "review", "training.review_anomaly"),
            (_("Adjudication"), "balance", "adjudication", "training.adjudicate_anomaly"),
            (_("Anomalies"), "report", "training_anomaly_changelist", "training.view_anomaly"),
            (
                _("Predictions"),
                "psychology",
                "predictions_prediction_changelist",
                "predictions.view_prediction",
            ),
            (
                _("Prediction jobs"),
                "table_view",
                "predictions_predictionjob_changelist",
                "predictions.view_predictionjob",
            ),
            (_("Imports"), "upload_file", "training_fileimport_changelist", "training.view_anomaly"),
            (_("Doubtful labels"), "rule", "training_labelfinding_changelist", "training.view_anomaly"),
        ],
    ),
    (
        _("Models"),
        [
            (
                _("Training sessions"),
                "model_training",
                "training_trainingsession_changelist",
                "training.view_trainingsession",
            ),
            (
                _("Model versions"),
                "deployed_code",
                "training_modelversion_changelist",
                "training.view_modelversion",
            ),
            (_("Time line"), "timeline", "training_activation_changelist", "training.view_activation"),
            (_("Backups"), "backup", "training_backup_changelist", "training.view_backup"),
            (
                _("Quality checks"),
                "troubleshoot",
                "training_qualitycheck_changelist",
                "training.view_qualitycheck",
            ),
        ],
    ),
    (
        _("Queue"),
        [
            (_("Findings"), "health_and_safety", "training_finding_changelist", "training.view_finding"),
            (
                _("Training schedule"),
                "schedule",
                "django_q_schedule_changelist",
                "django_q.view_schedule",
            ),
            (_("Waiting tasks"), "hourglass_empty", "django_q_ormq_changelist", "django_q.view_ormq"),
            (_("Finished tasks"), "task_alt", "django_q_success_changelist", "django_q.view_success"),
            (_("Failed tasks"), "error", "django_q_failure_changelist", "django_q.view_failure"),
        ],
    ),
    (
        _("People"),
        [
            (_("Users"), "person", "auth_user_changelist", "auth.view_user"),
            (_("Groups"), "group", "auth_group_changelist", "auth.view_group"),
            (_("API tokens"), "key", "authtoken_tokenproxy_changelist", "authtoken.view_tokenproxy"),
            (_("Failed logins"), "lock", "axes_accessattempt_changelist", "axes.view_accessattempt"),
        ],
    ),
    (
        _("Notices"),
        [
            (_("Webhooks"), "webhook", "training_webhook_changelist", "training.view_webhook"),
            (
                _("E-mail notices"),
                "mail",
                "training_mailsubscription_changelist",
                "training.view_mailsubscription",
            ),
            (_("Deliveries"), "outbox", "training_delivery_changelist", "training.view_delivery"),
        ],
    ),
]


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """unfold's groups of links, without those that the user may not follow."""
    groups = [
        (title, [_item(place) for place in places if not place[3] or request.user.has_perm(place[3])])
        for title, places in GROUPS
    ]
    _mark_where(request, [item for _title, items in groups for item in items])
    return [{"title": title, "items": items} for title, items in groups if items]


def _mark_where(request: HttpRequest, items: list[dict[str, Any]]) -> None:
    """One place is where the user is: the longest of the addresses that lead there."""
    start = reverse("admin:index")
    leading = [item["link"] for item in items if item["link"] != start or request.path == start]
    here = max((link for link in leading if request.path.startswith(link)), key=len, default=None)
    for item in items:
        item["active"] = item["link"] == here


def _item(place: Place) -> dict[str, Any]:
    title, icon, view, _permission = place
    item: dict[str, Any] = {"title": title, "icon": icon, "link": reverse(f"admin:{view}")}
    if view == "training_anomaly_changelist":
        return item | _pending_badge()
    return item


def _pending_badge() -> dict[str, Any]:
    waiting = Anomaly.objects.pending().count()
    return {"badge": str(waiting), "badge_variant": "warning"} if waiting else {}
