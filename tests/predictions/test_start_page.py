from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from predictions.dashboard import anomalies
from tests.factories import AnomalyFactory, ApprovedFactory, BackupFactory, SessionFactory, VersionFactory
from tests.predictions.test_admin import suggest
from tests.training.admin.people import staff, superuser
from training.models import Activation, Backup, ModelVersion, TrainingSession

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_model")]
START = reverse("admin:index")
TARGETS = ("availability", "fiability", "process_safety")
Status = TrainingSession.Status


def shown(client: Client) -> Any:
    """The context of the page, by name."""
    return client.get(START).context


def cards(client: Client) -> dict[str, tuple[str, str, str, str]]:
    return {c.title: (c.value, c.detail, c.tone, c.word) for c in shown(client)["cards"]}


@pytest.fixture
def version() -> ModelVersion:
    figures = {
        "model": {target: {"mae": 0.2 + n / 10} for n, target in enumerate(TARGETS)},
        "dummy": {target: {"mae": 0.94} for target in TARGETS},
    }
    version: ModelVersion = VersionFactory.create(
        is_active=True,
        created_at=timezone.now() - timedelta(days=3),
        dataset_rows=6343,
        metrics={"rows": 9} | figures,
    )
    Activation.objects.create(version=version, reason=Activation.Reason.REQUEST)
    return version


def test_the_first_line_says_what_waits(version: ModelVersion) -> None:
    AnomalyFactory.create()
    suggest(AnomalyFactory.create(), version, 5, 1, 5)
    ApprovedFactory.create(availability_score=5, process_safety_score=5)
    client = superuser()
    response = client.get(START)
    waiting = response.context["waiting"]
    assert (waiting["count"], waiting["words"], waiting["critical_words"]) == (
        2,
        "anomalies to review",
        "1 of them critical",
    )
    assert client.get(waiting["url"]).context["cl"].result_count == 2
    assert client.get(waiting["critical_url"]).context["cl"].result_count == 1
    assert f'href="{waiting["url"]}"' in response.content.decode()


def test_of_a_long_queue_some_are_looked_at(version: ModelVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anomalies, "LOOKED_AT", 2)
    AnomalyFactory.create(availability_score=5, fiability_score=5, process_safety_score=5)
    for _ in range(3):
        suggest(AnomalyFactory.create(), version, 5, 1, 5)
    waiting = superuser().get(START).context["waiting"]
    assert (waiting["count"], waiting["critical_words"]) == (4, "3+ of them critical")


def test_nothing_waits(version: ModelVersion) -> None:
    ApprovedFactory.create()
    html = superuser().get(START).content.decode()
    assert "<strong>0</strong> anomalies to review" in html
    assert "of them critical" not in html


def test_health_in_a_row(version: ModelVersion) -> None:
    now = timezone.now()
    SessionFactory.create(
        status=Status.SUCCEEDED,
        model_version=version,
        started_at=now - timedelta(hours=2, seconds=6),
        finished_at=now - timedelta(hours=2),
    )
    SessionFactory.create(status=Status.SKIPPED, reason="Only 1 newly approved anomaly.")
    BackupFactory.create(record_count=6343, size_bytes=4_400_000, created_at=now, verified_at=now)
    assert cards(superuser()) == {
        "Active model": (
            str(version),
            "trained 3\xa0days ago on 6,343 records, activated just now",
            "good",
            "serves",
        ),
        "Last training": ("2\xa0hours ago", "in 6 s", "good", "succeeded"),
        "Last backup": (
            "just now",
            "6,343 records, 4.2\xa0MB; verified just now. On disk: models 1\xa0byte, backups 4.2\xa0MB",
            "good",
            "verified",
        ),
        "Drift": ("never", "", "watch", "to do"),
    }


def test_what_is_wrong_says_so_in_words(version: ModelVersion) -> None:
    ModelVersion.objects.update(verification_error="features.pkl is truncated")
    SessionFactory.create(status=Status.FAILED, reason="The disk is full.", finished_at=timezone.now())
    BackupFactory.create(verification_error="fiabilite.csv is missing", created_at=timezone.now())
    found = cards(superuser())
    assert found["Active model"][2:] == ("bad", "damaged")
    assert found["Last training"] == ("just now", "The disk is full.", "bad", "failed")
    assert found["Last backup"] == ("just now", "fiabilite.csv is missing", "bad", "damaged")


def test_a_backup_that_nobody_verified_is_to_be_watched(version: ModelVersion) -> None:
    BackupFactory.create()
    client = superuser()
    assert cards(client)["Last backup"][2:] == ("watch", "not verified")
    Backup.objects.update(pruned_at=timezone.now())
    assert cards(client)["Last backup"] == ("never", "", "watch", "to do")


def test_the_error_of_each_score_stands_beside_the_dummys(version: ModelVersion) -> None:
    client = superuser()
    assert [(str(s["name"]), s["mae"], s["dummy"]) for s in shown(client)["scores"]] == [
        ("availability", "0.20", "0.94"),
        ("fiability", "0.30", "0.94"),
        ("process safety", "0.40", "0.94"),
    ]
    assert "0.94 for always the same score" in client.get(START).content.decode()


def test_a_version_that_could_not_be_measured_has_dashes() -> None:
    unmeasured = {target: {"mae": None} for target in TARGETS}
    VersionFactory.create(is_active=True, metrics={"rows": 0, "model": unmeasured, "dummy": unmeasured})
    assert [score["mae"] for score in shown(superuser())["scores"]] == ["–", "–", "–"]


def test_train_now_says_what_is_new_and_a_running_training_is_followed(version: ModelVersion) -> None:
    SessionFactory.create(status=Status.SUCCEEDED, model_version=version)
    ApprovedFactory.create(reviewed_at=timezone.now())
    client = superuser()
    training = shown(client)["training"]
    assert training["sentence"] == f"1 newly approved record since {version}."
    assert training["url"] == reverse("admin:training_trainingsession_train_now")
    session = SessionFactory.create(
        status=Status.RUNNING, step=TrainingSession.Step.FIT, progress=40, queued_at=timezone.now()
    )
    page = reverse("admin:training_trainingsession_change", args=[session.pk])
    assert shown(client)["training"]["url"] == page
    assert cards(client)["Last training"] == ("just now", "fitting, 40 %", "watch", "running")


def test_an_empty_installation_shows_three_steps() -> None:
    client = superuser()
    assert [(step.title, step.is_done) for step in shown(client)["steps"]] == [
        ("Import", False),
        ("Train", False),
        ("Review", False),
    ]
    assert [client.get(step.url).status_code for step in shown(client)["steps"]] == [200, 200, 200]
    assert cards(client) == {}
    assert "to review" not in client.get(START).content.decode()
    ApprovedFactory.create()
    assert [step.is_done for step in shown(client)["steps"]] == [True, False, False]


def test_a_first_training_that_failed_says_why_beside_the_steps() -> None:
    SessionFactory.create(status=Status.FAILED, reason="The disk is full.", finished_at=timezone.now())
    client = superuser()
    assert len(shown(client)["steps"]) == 3
    assert cards(client)["Last training"] == ("just now", "The disk is full.", "bad", "failed")


def test_a_version_that_nobody_activated_is_to_do() -> None:
    VersionFactory.create()
    client = superuser()
    assert shown(client)["steps"] == []
    assert cards(client)["Active model"][2:] == ("bad", "to do")


def test_everybody_sees_what_they_may_see(version: ModelVersion) -> None:
    page = shown(staff())
    assert (page["waiting"], page["cards"], page["scores"], page["training"]) == (None, [], [], None)
    assert (page["figures"], page["charts"], page["confusions"]) == ([], [], [])
    assert "totals" not in page
    assert "labels" not in page
    page = shown(staff("training.view_backup", "training.train_models"))
    assert [card.title for card in page["cards"]] == ["Last backup"]
    assert [chart.name for chart in page["charts"]] == ["storage"]
    assert [figure.title for figure in page["figures"]] == ["Backup storage"]
    assert page["training"] is not None
    assert page["waiting"] is None


CHARTS = ["weeks", "accuracy", "drift", "frequency", "time", "records", "storage"]


def test_every_chart_says_its_finding_or_that_there_is_none_yet(version: ModelVersion) -> None:
    client = superuser()
    assert [chart.name for chart in shown(client)["charts"]] == CHARTS
    html = client.get(START).content.decode()
    assert html.count("<canvas") == 1
    assert "Nothing was trained within a year." in html
    ApprovedFactory.create(detected_at=timezone.now())
    html = client.get(START).content.decode()
    assert html.count("<canvas") == 2
    assert '<figure class="tp-panel tp-figure" id="weeks" aria-labelledby="weeks-title">' in html
    assert 'src="/static/predictions/dashboard.js"' in html


def test_an_empty_installation_has_no_charts() -> None:
    client = superuser()
    assert "charts" not in shown(client)
    assert "dashboard.js" not in client.get(START).content.decode()


def test_the_page_costs_the_same_for_few_and_for_many(
    version: ModelVersion, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for _ in range(3):
        suggest(AnomalyFactory.create(), version, 5, 1, 5)
        BackupFactory.create(model_version=version)
    with django_assert_num_queries(27):
        client.get(START)
