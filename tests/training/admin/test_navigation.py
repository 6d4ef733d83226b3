import pytest
from django.test import RequestFactory

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory, user_with
from training.admin.navigation import navigation

pytestmark = pytest.mark.django_db


def places(*permissions: str, **user: bool) -> list[str]:
    request = RequestFactory().get("/admin/")
    request.user = UserFactory.create(**user) if user else user_with(*permissions)
    return [str(item["title"]) for group in navigation(request) for item in group["items"]]


def test_a_superuser_sees_every_place() -> None:
    assert places(is_superuser=True) == [
        "Start",
        "Review",
        "Adjudication",
        "Anomalies",
        "Predictions",
        "Prediction jobs",
        "Imports",
        "Doubtful labels",
        "Training sessions",
        "Model versions",
        "Time line",
        "Backups",
        "Quality checks",
        "Findings",
        "Training schedule",
        "Waiting tasks",
        "Finished tasks",
        "Failed tasks",
        "Users",
        "Groups",
        "API tokens",
        "Failed logins",
        "Webhooks",
        "E-mail notices",
        "Deliveries",
    ]


def test_others_see_where_they_may_go() -> None:
    assert places() == ["Start"]
    assert places("training.view_backup", "auth.view_user") == ["Start", "Backups", "Users"]


def test_one_place_is_where_the_user_is() -> None:
    def here(path: str) -> list[str]:
        request = RequestFactory().get(path)
        request.user = UserFactory.create(is_superuser=True)
        return [
            str(item["title"]) for group in navigation(request) for item in group["items"] if item["active"]
        ]

    assert here("/admin/") == ["Start"]
    assert here("/admin/training/anomaly/") == ["Anomalies"]
    assert here("/admin/training/anomaly/7/change/") == ["Anomalies"]
    assert here("/admin/training/anomaly/review/") == ["Review"]
    assert here("/admin/password_change/") == []


def test_the_badge_counts_what_waits() -> None:
    request = RequestFactory().get("/admin/")
    request.user = user_with("training.view_anomaly")
    ApprovedFactory.create()
    assert "badge" not in navigation(request)[0]["items"][1]
    AnomalyFactory.create_batch(2)
    assert navigation(request)[0]["items"][1]["badge"] == "2"
