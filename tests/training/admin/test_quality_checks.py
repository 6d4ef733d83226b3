"""Quality checks in the admin: asked for in three places, followed, and told why."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import UserFactory, VersionFactory
from tests.training.admin.confirming import confirm, sentences
from tests.training.admin.people import said, staff, user_of
from training.models import QualityCheck, QualityReport
from training.policy import change_policy

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_qualitycheck_changelist")
FINDINGS = reverse("admin:training_labelfinding_changelist")
START = reverse("admin:index")
SEE = ("training.view_qualitycheck", "training.view_anomaly", "training.view_qualityreport")
ASK = (*SEE, "training.add_qualitycheck")
PLACES = [
    ("training_qualitycheck_look_for_labels", "labels"),
    ("training_qualitycheck_look_for_drift", "drift"),
    ("training_labelfinding_check_now", "labels"),
]


def text(response: Any) -> str:
    content: str = response.content.decode()
    return content


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_whoever_may_has_a_check_made(place: str, kind: str) -> None:
    client = staff(*ASK)
    asked = client.get(reverse(f"admin:{place}"))
    assert sentences(asked) == [
        "A new report takes the place of the newest one; no score is changed.",
        "It is made beside trainings, at low priority; the page may be left.",
    ]
    assert said(confirm(client, asked)) == ["The check is queued; a queue that runs takes it within seconds."]
    check = QualityCheck.objects.get()
    assert (check.kind, check.trigger, check.requested_by) == (kind, "admin", user_of(client))
    assert sentences(client.get(reverse(f"admin:{place}")))[0] == "A check waits for the queue."


@pytest.mark.parametrize(("place", "kind"), PLACES)
def test_nobody_else_has(place: str, kind: str) -> None:
    client = staff(*SEE)
    assert client.get(reverse(f"admin:{place}")).status_code == 403
    assert client.post(reverse(f"admin:{place}")).status_code == 403
    assert not QualityCheck.objects.exists()
    for page in (LIST, FINDINGS, START):
        assert "Check now" not in text(client.get(page))
        assert "Look for drift" not in text(client.get(page))


def test_two_at_once_are_refused_in_words() -> None:
    client = staff(*ASK)
    asked = client.get(reverse("admin:training_labelfinding_check_now"))
    QualityCheck.objects.create(kind="labels", trigger="api")
    assert said(confirm(client, asked)) == ["A quality check of this kind is queued or running already."]


def test_what_goes_on_is_said_wherever_it_matters() -> None:
    VersionFactory.create()  # no longer an empty installation, whose start page tells the first steps
    check = QualityCheck.objects.create(kind="labels", trigger="api", status="running", progress=40)
    page = reverse("admin:training_qualitycheck_change", args=[check.pk])
    for place in (FINDINGS, START):
        assert f'href="{page}">A check is under way: 40 %.' in text(staff(*SEE).get(place))
    assert "running 40 %" in text(staff(*SEE).get(LIST))


def test_the_list_tells_how_each_ended_and_leads_to_what_was_found() -> None:
    report = QualityReport.objects.create(kind="drift", record_count=1, seconds=1, content={})
    began = timezone.now()
    ended = began + timedelta(seconds=72)
    QualityCheck.objects.create(
        kind="drift",
        trigger="schedule",
        status="succeeded",
        report=report,
        started_at=began,
        finished_at=ended,
    )
    QualityCheck.objects.create(
        kind="labels",
        trigger="admin",
        status="failed",
        reason="It took more than 14400 s.",
        requested_by=UserFactory.create(username="ines"),
    )
    html = text(staff(*SEE).get(LIST))
    for words in (f'href="{START}#drift"', "1 min 12 s", "It took more than 14400 s.", "admin · ines"):
        assert words in html


def test_the_list_says_when_the_next_one_comes() -> None:
    context = staff(*SEE).get(LIST).context
    assert context["next_check"].startswith("By themselves: when a version starts to serve, and next on ")
    assert context["policy_url"] == ""
    change_policy(user=None, changes={"quality_enabled": False})
    context = staff(*SEE, "django_q.view_schedule").get(LIST).context
    assert context["next_check"] == (
        "Nothing is looked for by itself: that is switched off in the training schedule."
    )
    assert context["policy_url"] == reverse("admin:django_q_schedule_changelist")


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_takes_few_queries_whatever_its_length(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client: Client = staff(*SEE)
    for _ in range(count):
        report = QualityReport.objects.create(kind="drift", record_count=1, seconds=1, content={})
        QualityCheck.objects.create(
            kind="drift",
            trigger="admin",
            status="succeeded",
            report=report,
            requested_by=UserFactory.create(),
        )
    client.get(LIST)
    with django_assert_num_queries(9):
        client.get(LIST)
