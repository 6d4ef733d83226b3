"""/api/v1/training-policy/: read, changed, frozen, lifted."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import Schedule
from rest_framework.test import APIClient

from tests.training.api.v1.conftest import ClientOf
from training import policy, schedules
from training.models import TrainingPolicy

pytestmark = pytest.mark.django_db
URL = "/api/v1/training-policy/"
SEE, CHANGE = "django_q.view_schedule", "django_q.change_schedule"


@pytest.fixture
def owner(client_of: ClientOf) -> APIClient:
    return client_of(SEE, CHANGE)


def as_json(moment: Any) -> str:
    text: str = moment.isoformat()
    return text.replace("+00:00", "Z")


def test_what_nobody_chose_follows_the_settings(owner: APIClient) -> None:
    assert owner.get(URL).json() == {
        "enabled": True,
        "cron": "",
        "minimum_new": None,
        "activation": "gate",
        "keep_backups": None,
        "keep_versions": None,
        "double_review_percent": None,
        "quality_enabled": True,
        "quality_cron": "",
        "effective": {
            "cron": "0 2 * * 0",
            "minimum_new": 10,
            "keep_backups": 20,
            "keep_versions": 10,
            "double_review_percent": 0,
            "quality_cron": "0 4 * * 0",
        },
        "next_training": as_json(schedules.next_time("0 2 * * 0")),
        "next_quality_reports": as_json(schedules.next_time("0 4 * * 0")),
        "is_frozen": False,
        "frozen_at": None,
        "frozen_until": None,
        "frozen_by": None,
        "freeze_reason": "",
    }


def test_what_is_sent_is_changed_with_who_and_the_schedule_follows(owner: APIClient) -> None:
    changes = {
        "cron": " 30  4 1 * *",
        "minimum_new": 3,
        "activation": "never",
        "keep_backups": 5,
        "keep_versions": 6,
        "double_review_percent": 15,
        "quality_enabled": False,
        "quality_cron": "0 5 * * 1",
    }
    answer = owner.patch(URL, changes, format="json").json()
    assert {name: answer[name] for name in changes} == changes | {"cron": "30 4 1 * *"}
    assert answer["effective"]["cron"] == "30 4 1 * *"
    assert answer["effective"]["double_review_percent"] == 15
    assert (answer["enabled"], answer["next_quality_reports"]) == (True, None)
    assert Schedule.objects.get().cron == "30 4 1 * *"
    newest = TrainingPolicy.history.latest()
    assert newest.history_user is not None
    back = owner.patch(URL, {"cron": "", "minimum_new": None, "enabled": False}, format="json").json()
    assert (back["effective"]["cron"], back["effective"]["minimum_new"]) == ("0 2 * * 0", 10)
    assert (back["enabled"], back["next_training"], back["keep_backups"]) == (False, None, 5)
    assert Schedule.objects.get().repeats == schedules.DISABLED


CRON = "is no cron line of five fields, or it is never due"


@pytest.mark.parametrize(
    ("body", "errors"),
    [
        ({"cron": "soon"}, [f"cron: {CRON}"]),
        ({"cron": "0 0 30 2 *"}, [f"cron: {CRON}"]),
        ({"cron": "* * * * * *"}, [f"cron: {CRON}"]),
        ({"quality_cron": "@daily"}, [f"quality_cron: {CRON}"]),
        ({"cron": 5}, ["cron: must be a string, got int"]),
        ({"cron": None}, ["cron: This field may not be null."]),
        ({"minimum_new": 0}, ["minimum_new: Ensure this value is greater than or equal to 1."]),
        ({"minimum_new": "3"}, ["minimum_new: A valid integer is required."]),
        ({"minimum_new": True}, ["minimum_new: A valid integer is required."]),
        ({"keep_backups": 1e3}, ["keep_backups: A valid integer is required."]),
        (
            {"double_review_percent": 101},
            ["double_review_percent: Ensure this value is less than or equal to 100."],
        ),
        ({"enabled": "yes"}, ["enabled: Must be a valid boolean."]),
        ({"activation": "always"}, ['activation: "always" is not a valid choice.']),
        ({"frozen_at": None}, ["frozen_at: unknown field"]),
    ],
    ids=str,
)
def test_a_wrong_value_is_named_and_nothing_changes(
    body: dict[str, Any], errors: list[str], owner: APIClient
) -> None:
    response = owner.patch(URL, body | {"keep_versions": 3}, format="json")
    assert (response.status_code, response.json()["validation_errors"]) == (400, errors)
    assert not TrainingPolicy.objects.exists()


def test_it_is_frozen_and_lifted_with_who_and_why(owner: APIClient) -> None:
    until = timezone.now() + timedelta(days=1)
    body = {"reason": "audit", "until": until.isoformat()}
    answer = owner.post(f"{URL}freeze/", body, format="json").json()
    assert (answer["is_frozen"], answer["freeze_reason"]) == (True, "audit")
    assert answer["frozen_until"] == as_json(until)
    frozen_by = policy.current_policy().frozen_by
    assert frozen_by is not None
    assert answer["frozen_by"] == frozen_by.username
    again = owner.post(f"{URL}freeze/", {"reason": "again"}, format="json")
    assert (again.status_code, again.json()) == (
        409,
        {"success": False, "error": "Training is frozen already: lift it first."},
    )
    lifted = owner.post(f"{URL}lift/").json()
    assert (lifted["is_frozen"], lifted["frozen_by"], lifted["freeze_reason"]) == (False, None, "")
    again = owner.post(f"{URL}lift/")
    assert (again.status_code, again.json()["error"]) == (409, "Training is not frozen.")


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "reason: This field is required."),
        ({"reason": " "}, "reason: must not be blank"),
        ({"reason": "audit", "until": "2020-01-01T00:00:00Z"}, "until: must lie ahead"),
        ({"reason": "audit", "who": "me"}, "who: unknown field"),
    ],
    ids=str,
)
def test_a_wrong_freeze_is_named(body: dict[str, Any], error: str, owner: APIClient) -> None:
    response = owner.post(f"{URL}freeze/", body, format="json")
    assert (response.status_code, response.json()["validation_errors"]) == (400, [error])
    assert policy.current_policy().is_frozen is False


def test_whoever_only_sees_it_changes_nothing(client_of: ClientOf) -> None:
    viewer = client_of(SEE)
    assert viewer.get(URL).status_code == 200
    assert viewer.patch(URL, {"enabled": False}, format="json").status_code == 403
    assert viewer.post(f"{URL}freeze/", {"reason": "audit"}, format="json").status_code == 403
    assert viewer.post(f"{URL}lift/").status_code == 403
    assert not TrainingPolicy.objects.exists()


def test_to_read_it_takes_one_query(owner: APIClient) -> None:
    policy.freeze(user=None, reason="audit")
    owner.get(URL)
    with CaptureQueriesContext(connection) as queries:
        owner.get(URL)
    assert len(queries) == 1
