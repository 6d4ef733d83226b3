import html
from datetime import UTC, datetime, time, timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import DjangoAssertNumQueries, Settings

from tests.training.admin.people import said, staff, superuser, user_of
from training import schedules
from training.models import Finding, TrainingPolicy
from training.policy import current_policy

pytestmark = pytest.mark.django_db
LIST = reverse("admin:django_q_schedule_changelist")
MAY_CHANGE = ("django_q.view_schedule", "django_q.change_schedule")


@pytest.fixture
def schedule() -> Schedule:
    return schedules.ensure_schedule()


@pytest.fixture
def owner() -> Client:
    return staff(*MAY_CHANGE)


def page(schedule: Schedule, name: str = "change") -> str:
    return reverse(f"admin:django_q_schedule_{name}", args=[schedule.pk])


def test_what_the_watch_found_about_it_stands_on_its_pages(schedule: Schedule) -> None:
    for code, subject in ((Finding.Code.SCHEDULE_WRONG, ""), (Finding.Code.CLOCK_OFF, "north")):
        facts = {"reason": "it is missing", "host": "north", "seconds": 9}
        Finding.objects.create(
            code=code, subject=subject, facts=facts, severity=Finding.Severity.WARNING, since=timezone.now()
        )
    sees, does_not = superuser(), staff(*MAY_CHANGE)
    for address in (LIST, page(schedule)):
        shown = sees.get(address).content.decode()
        assert "not what the training policy says: it is missing." in html.unescape(shown)
        assert "The clock of north" not in shown
        assert "not what the training policy says" not in does_not.get(address).content.decode()


TYPED = {"day": "0", "at": "02:00", "enabled": "on", "activation": "gate", "quality_enabled": "on"}


def test_the_form_shows_the_time_of_the_settings(owner: Client, schedule: Schedule) -> None:
    form = owner.get(page(schedule)).context["adminform"].form
    assert form.initial == {
        "enabled": True,
        "day": "0",
        "at": time(2, 0),
        "activation": "gate",
        "minimum_new": None,
        "keep_backups": None,
        "keep_versions": None,
        "quality_enabled": True,
        "quality_cron": "",
    }
    assert form.fields["quality_cron"].help_text == (
        "Empty: 0 4 * * 0, from the setting QUALITY_REPORT_SCHEDULE."
    )
    assert form.fields["minimum_new"].help_text == "Empty: 10, from the setting TRAINING_SCHEDULE_MINIMUM."


def test_a_new_time_is_kept_and_survives_the_next_start(owner: Client, schedule: Schedule) -> None:
    response = owner.post(page(schedule), TYPED | {"day": "3", "at": "04:30"})
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.schedule_type, schedule.repeats) == ("30 4 * * 3", Schedule.CRON, -1)
    assert (schedule.next_run.weekday(), schedule.next_run.hour, schedule.next_run.minute) == (2, 4, 30)
    assert schedule.next_run > timezone.now()
    assert said(response)[0].startswith("The next training starts on ")
    assert schedules.ensure_schedule().cron == "30 4 * * 3"
    assert schedules.problem_of(schedule) is None
    newest = TrainingPolicy.history.latest()
    assert (newest.cron, newest.history_user) == ("30 4 * * 3", user_of(owner))


def test_every_day_is_a_choice(owner: Client, schedule: Schedule) -> None:
    owner.post(page(schedule), TYPED | {"day": "*", "at": "23:05"})
    schedule.refresh_from_db()
    assert schedule.cron == "5 23 * * *"


def test_a_time_that_stays_the_setting_s_keeps_following_it(
    owner: Client, schedule: Schedule, settings: Settings
) -> None:
    owner.post(page(schedule), TYPED | {"minimum_new": "3"})
    assert (TrainingPolicy.objects.get().cron, TrainingPolicy.objects.get().minimum_new) == ("", 3)
    settings.TRAINING_SCHEDULE = "30 4 * * 1"
    assert schedules.ensure_schedule().cron == "30 4 * * 1"


def test_a_cron_line_goes_before_day_and_time(owner: Client, schedule: Schedule) -> None:
    response = owner.post(page(schedule), TYPED | {"cron_line": " 30  4 1 * * "})
    schedule.refresh_from_db()
    assert schedule.cron == "30 4 1 * *"
    assert (schedule.next_run.day, schedule.next_run.hour, schedule.next_run.minute) == (1, 4, 30)
    assert said(response)[0].startswith("The next training starts on ")
    form = owner.get(page(schedule)).context["adminform"].form
    assert (form.initial["cron_line"], "day" in form.initial) == ("30 4 1 * *", False)
    owner.post(page(schedule), {"cron_line": "30 4 2 * *", "enabled": "on", "activation": "gate"})
    assert TrainingPolicy.objects.get().cron == "30 4 2 * *"


@pytest.mark.parametrize("cron", ["soon", "0 2 * *", "61 2 * * 0", "0 0 30 2 *", "* * * * * *", "@daily"])
def test_what_is_no_cron_line_is_refused(owner: Client, schedule: Schedule, cron: str) -> None:
    response = owner.post(page(schedule), TYPED | {"cron_line": cron})
    assert response.context["adminform"].form.errors == {
        "cron_line": ["This is no cron line of five fields, or it is never due."]
    }
    assert not TrainingPolicy.objects.exists()


def test_the_quality_reports_have_a_time_of_their_own(owner: Client, schedule: Schedule) -> None:
    owner.post(page(schedule), TYPED | {"quality_cron": " 0 5 * *  1"})
    assert current_policy().quality_cron_line == "0 5 * * 1"
    owner.post(page(schedule), TYPED | {"quality_enabled": ""})
    assert (current_policy().quality_enabled, current_policy().quality_cron_line) == (False, "0 4 * * 0")
    response = owner.post(page(schedule), TYPED | {"quality_cron": "0 0 30 2 *"})
    assert response.context["adminform"].form.errors == {
        "quality_cron": ["This is no cron line of five fields, or it is never due."]
    }


def test_switching_it_off_keeps_the_time(owner: Client, schedule: Schedule) -> None:
    response = owner.post(page(schedule), {"day": "0", "at": "02:00", "activation": "gate"})
    schedule.refresh_from_db()
    assert (schedule.repeats, schedule.cron) == (schedules.DISABLED, "0 2 * * 0")
    assert said(response) == ["Scheduled training is switched off."]
    assert "\nswitched off\n" in owner.get(LIST).content.decode()


def test_condition_gate_and_retention_are_kept_and_shown_with_who(owner: Client, schedule: Schedule) -> None:
    owner.post(page(schedule), TYPED | {"minimum_new": "25"})
    owner.post(
        page(schedule),
        TYPED | {"minimum_new": "", "activation": "never", "keep_backups": "5", "keep_versions": "6"},
    )
    policy = TrainingPolicy.objects.get()
    assert (policy.minimum_new, policy.activation) == (None, "never")
    assert (policy.keep_backups, policy.keep_versions) == (5, 6)
    newest, older = owner.get(page(schedule)).context["policy_changes"]
    assert newest["who"] == user_of(owner)
    assert [tuple(map(str, change.values())) for change in older["changes"]] == [
        ("Newly approved anomalies needed", "–", "25")
    ]
    assert {str(change["field"]) for change in newest["changes"]} == {
        "Newly approved anomalies needed",
        "Activate after a scheduled training",
        "Backups kept",
        "Model versions kept",
    }


def test_no_function_can_be_named(owner: Client, schedule: Schedule) -> None:
    forged = TYPED | {"func": "os.system", "args": "'true'", "kwargs": "x=1", "hook": "os.system"}
    owner.post(page(schedule), forged)
    fresh = Schedule.objects.get()
    assert (fresh.func, fresh.args, fresh.hook, fresh.kwargs) == (
        schedules.TRAIN_ON_SCHEDULE,
        None,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"day": "7"}, ["day"]),
        ({"at": "25:00"}, ["at"]),
        ({"day": ""}, ["day"]),
        ({"day": "", "at": ""}, ["day", "at"]),
        ({"minimum_new": "0"}, ["minimum_new"]),
        ({"keep_backups": "-1"}, ["keep_backups"]),
        ({"activation": "sometimes"}, ["activation"]),
    ],
)
def test_what_makes_no_sense_is_refused(
    owner: Client, schedule: Schedule, changed: dict[str, str], fields: list[str]
) -> None:
    response = owner.post(page(schedule), TYPED | changed)
    assert list(response.context["adminform"].form.errors) == fields
    assert not TrainingPolicy.objects.exists()


# --- Freeze ------------------------------------------------------------------------------------


def test_freezing_asks_why_and_shows_who(owner: Client, schedule: Schedule) -> None:
    assert [entry["title"] for entry in owner.get(page(schedule)).context["actions_detail"]] == ["Freeze"]
    freeze = page(schedule, "freeze")
    assert owner.get(freeze).context["confirmation"].title == "Freeze training and activation?"
    assert list(owner.post(freeze, {"reason": ""}).context["confirmation"].form.errors) == ["reason"]
    assert not current_policy().is_frozen
    tomorrow = timezone.now().date() + timedelta(days=1)
    response = owner.post(freeze, {"reason": "outage", "last_day": tomorrow.isoformat()})
    assert said(response) == ["Training and activation are frozen."]
    policy = current_policy()
    assert (policy.freeze_reason, policy.frozen_by) == ("outage", user_of(owner))
    assert policy.frozen_until == datetime.combine(tomorrow + timedelta(days=1), time(), tzinfo=UTC)
    shown = owner.get(page(schedule))
    assert [entry["title"] for entry in shown.context["actions_detail"]] == ["Lift the freeze"]
    assert f"Frozen by {user_of(owner)} since " in shown.content.decode()
    assert f"Frozen by {user_of(owner)} since " in owner.get(LIST).content.decode()


def test_a_freeze_until_today_lasts_today_and_none_until_yesterday(owner: Client, schedule: Schedule) -> None:
    today = timezone.now().date()
    yesterday = today - timedelta(days=1)
    typed = {"reason": "outage", "last_day": yesterday.isoformat()}
    response = owner.post(page(schedule, "freeze"), typed)
    assert response.context["confirmation"].form.errors == {"last_day": ["This day has passed."]}
    owner.post(page(schedule, "freeze"), typed | {"last_day": today.isoformat()})
    assert current_policy().is_frozen


def test_lifting_asks_first(owner: Client, schedule: Schedule) -> None:
    owner.post(page(schedule, "freeze"), {"reason": "outage"})
    confirmation = owner.get(page(schedule, "lift")).context["confirmation"]
    assert confirmation.changes[0].endswith("until somebody lifts it: outage")
    assert current_policy().is_frozen
    assert said(owner.post(page(schedule, "lift"))) == ["The freeze is lifted."]
    assert not current_policy().is_frozen
    assert said(owner.post(page(schedule, "lift")))[-1] == "Training is not frozen."


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("name", ["freeze", "lift"])
def test_who_may_only_look_freezes_nothing(name: str, method: str, schedule: Schedule) -> None:
    client = staff("django_q.view_schedule")
    assert getattr(client, method)(page(schedule, name), {"reason": "x"}).status_code == 403
    assert not current_policy().is_frozen


# --- Who may what ------------------------------------------------------------------------------


def test_other_schedules_are_out_of_reach(owner: Client) -> None:
    foreign = Schedule.objects.create(func="os.system", next_run=timezone.now())
    assert owner.get(page(foreign)).status_code == 302
    assert owner.post(page(foreign), {"day": "0", "at": "02:00"}).status_code == 302
    rows = owner.get(LIST).context["cl"].result_list
    assert [row.func for row in rows] == [schedules.TRAIN_ON_SCHEDULE]


def test_nobody_adds_or_deletes_one(schedule: Schedule) -> None:
    client = superuser()
    assert client.get(reverse("admin:django_q_schedule_add")).status_code == 403
    assert client.post(reverse("admin:django_q_schedule_delete", args=[schedule.pk])).status_code == 403


def test_who_may_only_look_changes_nothing(schedule: Schedule) -> None:
    client = staff("django_q.view_schedule")
    assert client.get(page(schedule)).status_code == 200
    assert client.post(page(schedule), {"day": "1", "at": "05:00"}).status_code == 403
    schedule.refresh_from_db()
    assert schedule.cron == "0 2 * * 0"


def test_the_list_costs_little(schedule: Schedule, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    client = superuser()
    with django_assert_num_queries(15):
        client.get(LIST)
