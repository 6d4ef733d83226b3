"""The time line tells everything once, in order, a page at a time."""

from datetime import UTC, datetime, timedelta

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.factories import SessionFactory, UserFactory, VersionFactory
from training.models import Activation, ModelVersion, TrainingPolicy
from training.policy import change_policy, freeze, lift_freeze
from training.timeline import Kind, events
from training.versions import keep_champion

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def trained(hours: int) -> ModelVersion:
    version: ModelVersion = VersionFactory.create()
    SessionFactory.create(
        status="succeeded", model_version=version, finished_at=NOON + timedelta(hours=hours), trigger="api"
    )
    return version


def activated(version: ModelVersion, hours: int, reason: str = "request", note: str = "") -> Activation:
    entry: Activation = Activation.objects.create(version=version, reason=reason, note=note)
    Activation.objects.filter(pk=entry.pk).update(activated_at=NOON + timedelta(hours=hours))
    return entry


def test_everything_in_order_newest_first() -> None:
    user = UserFactory.create()
    first, second = trained(0), trained(2)
    activated(first, 1)
    activated(second, 3, "override", "the gate is wrong")
    activated(first, 4, "restore", "Restored from backup_1")
    ModelVersion.objects.filter(pk=first.pk).update(is_active=True)
    keep_champion(candidate=second, user=user)
    freeze(user=user, reason="outage")
    change_policy(user=user, changes={"minimum_new": 3})
    lift_freeze(user=user)
    found = events(limit=50)
    assert [(event.kind.value, event.version, event.note) for event in found] == [
        ("lifted", None, ""),
        ("planned", None, ""),
        ("frozen", None, "outage"),
        ("declined", second, ""),
        ("restored", first, "Restored from backup_1"),
        ("activated", second, "the gate is wrong"),
        ("trained", second, "REST API"),
        ("activated", first, ""),
        ("trained", first, "REST API"),
    ]
    assert [event.who for event in found[:4]] == [user] * 4
    assert found[1].changed == ("minimum_new",)
    assert [event.at for event in found] == sorted((event.at for event in found), reverse=True)


def test_some_kinds_alone() -> None:
    version = trained(0)
    activated(version, 1)
    freeze(user=None, reason="outage")
    assert [event.kind for event in events(limit=9, kinds=frozenset({Kind.ACTIVATED}))] == [Kind.ACTIVATED]
    assert [event.kind for event in events(limit=9, kinds=frozenset({Kind.LIFTED}))] == []


def test_a_page_goes_on_where_the_last_one_ended() -> None:
    for hours in range(0, 10, 2):
        activated(trained(hours), hours + 1)
    everything = events(limit=99)
    assert len(everything) == 10
    pages, before = [], None
    while page := events(limit=3, before=before):
        pages += page
        before = page[-1].at
    assert pages == everything


def test_what_was_chosen_at_once_is_one_entry_and_the_empty_row_none() -> None:
    change_policy(user=None, changes={})
    assert TrainingPolicy.history.count() == 1
    assert events(limit=9) == []


@pytest.mark.parametrize("count", [1, 3])
def test_it_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for hours in range(count):
        activated(trained(hours), hours)
    with django_assert_num_queries(5):
        events(limit=50)
