"""The one row that says what happens by itself: settings beneath it, freezes, and who changed what."""

from datetime import UTC, datetime, timedelta
from importlib import import_module

import pytest
from django.apps import apps
from django.db import IntegrityError, transaction
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import Settings

from tests.factories import UserFactory
from training.errors import FrozenError, NotAllowedNowError
from training.models import TrainingPolicy
from training.policy import change_policy, current_policy, freeze, lift_freeze, refuse_frozen

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
pytestmark = pytest.mark.django_db


class TestPolicy:
    def test_what_nobody_chose_follows_the_settings(self, settings: Settings) -> None:
        settings.TRAINING_SCHEDULE, settings.TRAINING_SCHEDULE_MINIMUM = "1 2 * * 3", 7
        settings.KEEP_BACKUPS, settings.KEEP_MODEL_VERSIONS = 8, 9
        policy = current_policy()
        assert (policy.cron_line, policy.minimum) == ("1 2 * * 3", 7)
        assert (policy.backups_kept, policy.versions_kept) == (8, 9)
        assert (policy.enabled, policy.activation, policy.is_frozen) == (True, "gate", False)
        assert not TrainingPolicy.objects.exists()

    def test_what_was_chosen_goes_first_and_is_kept_with_who(self) -> None:
        user = UserFactory.create()
        changes = {"cron": "0 4 * * *", "minimum_new": 3, "keep_backups": 4, "keep_versions": 5}
        change_policy(user=user, changes=changes)
        policy = current_policy()
        assert (policy.cron_line, policy.minimum) == ("0 4 * * *", 3)
        assert (policy.backups_kept, policy.versions_kept) == (4, 5)
        newest = TrainingPolicy.history.latest()
        assert (newest.history_user, newest.history_type, newest.minimum_new) == (user, "~", 3)

    def test_nobody_for_two_is_a_choice_too(self, settings: Settings) -> None:
        settings.DOUBLE_REVIEW_PERCENT = 20
        assert current_policy().share_for_two == 20
        change_policy(user=None, changes={"double_review_percent": 0})
        assert current_policy().share_for_two == 0

    def test_what_stays_as_it_is_leaves_no_history(self) -> None:
        change_policy(user=None, changes={"minimum_new": 3})
        before = TrainingPolicy.history.count()
        change_policy(user=None, changes={"minimum_new": 3})
        assert TrainingPolicy.history.count() == before

    @pytest.mark.parametrize(
        "row",
        [
            {"pk": 2},
            {"pk": 1, "minimum_new": 0},
            {"pk": 1, "keep_backups": 0},
            {"pk": 1, "double_review_percent": 101},
            {"pk": 1, "activation": "sometimes"},
            {"pk": 1, "frozen_at": MOMENT},
            {"pk": 1, "frozen_until": MOMENT},
        ],
        ids=str,
    )
    def test_the_database_refuses(self, row: dict[str, object]) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            TrainingPolicy.objects.create(**row)


class TestFreeze:
    def test_it_says_who_until_when_and_why(self) -> None:
        user = UserFactory.create(username="ines")
        until = timezone.now() + timedelta(days=2)
        freeze(user=user, reason=" outage of unit 2 ", until=until)
        policy = current_policy()
        assert (policy.is_frozen, policy.frozen_by, policy.frozen_until) == (True, user, until)
        with pytest.raises(FrozenError) as refusal:
            refuse_frozen(current_policy())
        assert str(refusal.value) == (
            f"Training and activation are frozen by ines until {until:%Y-%m-%d %H:%M} UTC: outage of unit 2"
        )

    def test_without_an_end_it_lasts_until_it_is_lifted(self) -> None:
        freeze(user=None, reason="outage")
        with pytest.raises(FrozenError, match=r"are frozen until it is lifted: outage"):
            refuse_frozen(current_policy())
        user = UserFactory.create()
        lift_freeze(user=user)
        refuse_frozen(current_policy())
        assert (current_policy().freeze_reason, current_policy().frozen_by) == ("", None)
        assert TrainingPolicy.history.latest().history_user == user

    def test_it_ends_by_itself(self) -> None:
        freeze(user=None, reason="outage", until=timezone.now() + timedelta(days=1))
        TrainingPolicy.objects.update(frozen_until=timezone.now())
        refuse_frozen(current_policy())
        freeze(user=None, reason="another")
        assert current_policy().freeze_reason == "another"

    def test_what_makes_no_sense_is_refused(self) -> None:
        with pytest.raises(NotAllowedNowError, match="needs a reason"):
            freeze(user=None, reason=" ")
        with pytest.raises(NotAllowedNowError, match="must lie ahead"):
            freeze(user=None, reason="x", until=timezone.now())
        with pytest.raises(NotAllowedNowError, match="is not frozen"):
            lift_freeze(user=None)
        freeze(user=None, reason="first")
        with pytest.raises(NotAllowedNowError, match="frozen already"):
            freeze(user=None, reason="second")
        assert current_policy().freeze_reason == "first"


class TestCarriedOver:
    """What was set on the queue's own row before there was a policy."""

    migration = import_module("training.migrations.0011_carry_schedule")

    def schedule(self, **values: object) -> Schedule:
        row = {
            "func": "training.tasks.train_on_schedule",
            "schedule_type": Schedule.CRON,
            "cron": "0 2 * * 0",
        }
        configured = repr({"q_options": {"configured": "0 2 * * 0"}})
        schedule: Schedule = Schedule.objects.create(**row | {"kwargs": configured} | values)
        return schedule

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({}, None),
            ({"cron": "15 3 * * *"}, ("15 3 * * *", True)),
            ({"repeats": 0}, ("", False)),
            ({"kwargs": "x"}, None),
            ({"kwargs": None}, None),
        ],
    )
    def test_it(self, values: dict[str, object], expected: tuple[str, bool] | None) -> None:
        self.schedule(**values)
        self.migration.carry(apps, None)
        assert TrainingPolicy.objects.values_list("cron", "enabled").first() == expected

    def test_nothing_scheduled(self) -> None:
        self.migration.carry(apps, None)
        assert not TrainingPolicy.objects.exists()
