"""The time line's page: what happened, when, why and by whom."""

from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.urls import reverse

from tests.factories import SessionFactory, UserFactory, VersionFactory
from tests.training.admin.people import staff, superuser
from training.admin import timeline
from training.models import Activation
from training.policy import change_policy, freeze

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_activation_changelist")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def client() -> Client:
    return superuser()


def entries(client: Client, query: str = "") -> list[tuple[str, str]]:
    shown = client.get(LIST + query).context["events"]
    return [(str(entry["what"]), str(entry["who"])) for entry in shown]


def test_what_happened_and_by_whom(client: Client) -> None:
    ines = UserFactory.create(username="ines")
    version = VersionFactory.create(comparison={"passed": False})
    session = SessionFactory.create(
        status="succeeded", model_version=version, finished_at=NOON, trigger="admin", requested_by=ines
    )
    entry = Activation.objects.create(
        version=version, reason="override", note="new unit in service", activated_by=ines
    )
    freeze(user=ines, reason="outage")
    assert entries(client) == [
        ("Training schedule", "ines"),
        (f"{version} (activated against the gate)", "ines"),
        (f"{version} (admin)", "ines"),
    ]
    html = client.get(LIST).content.decode()
    for words in ("new unit in service", "outage", "refused by the gate", "frozen"):
        assert words in html
    assert reverse("admin:training_trainingsession_change", args=[session.pk]) in html
    assert reverse("admin:training_activation_change", args=[entry.pk]) in html


def test_a_changed_plan_says_what_changed(client: Client) -> None:
    change_policy(user=None, changes={"minimum_new": 5, "cron": "0 4 * * *"})
    assert entries(client) == [
        ("cron line (UTC), newly approved anomalies needed", "the product itself"),
    ]
    schedule = reverse("admin:django_q_schedule_changelist")
    main = client.get(LIST).content.decode().partition('class="tp-timeline"')[2]
    assert schedule in main


def test_links_lead_only_where_one_may_go() -> None:
    SessionFactory.create(status="succeeded", model_version=VersionFactory.create(), finished_at=NOON)
    html = staff("training.view_activation").get(LIST).content.decode()
    assert "/admin/training/trainingsession/" not in html


def test_nobody_is_the_product_itself(client: Client) -> None:
    Activation.objects.create(version=None, reason="restore")
    assert entries(client) == [("no model (restored from a backup)", "the product itself")]


def test_one_kind_alone(client: Client) -> None:
    version = VersionFactory.create()
    SessionFactory.create(status="succeeded", model_version=version, finished_at=NOON, trigger="api")
    Activation.objects.create(version=version, reason="reload")
    assert entries(client, "?kind=trained") == [(f"{version} (REST API)", "the product itself")]
    assert entries(client, "?kind=restored") == []
    assert len(entries(client, "?kind=anything")) == 2


def test_older_entries_follow(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "PER_PAGE", 2)
    made = VersionFactory.create_batch(3)
    for hours, version in enumerate(made):
        entry = Activation.objects.create(version=version, reason="reload")
        Activation.objects.filter(pk=entry.pk).update(activated_at=NOON + timedelta(hours=hours))
    first = client.get(f"{LIST}?kind=activated").context
    second = client.get(f"{LIST}?{first['older']}").context
    assert [entry["what"] for entry in [*first["events"], *second["events"]]] == [
        f"{version} (reloaded by a client)" for version in reversed(made)
    ]
    assert second["older"] == ""


@pytest.mark.parametrize(
    "before",
    [
        *("", "x", "2026-13-01T00:00:00Z", "0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"),
        *("2026-01-01T00:00:00%EF%BF%BD", "1e9", "\u0663"),
    ],
)
def test_an_address_that_makes_no_sense_shows_the_newest(client: Client, before: str) -> None:
    Activation.objects.create(version=None, reason="restore")
    assert len(entries(client, f"?before={before}")) == 1


def test_before_the_first_entry_it_says_so(client: Client) -> None:
    assert "Nothing has happened yet" in client.get(LIST).content.decode()
