from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django_q.models import Schedule
from pytest_django import DjangoAssertNumQueries

from tests.training.admin.people import said, staff, superuser
from training import schedules

pytestmark = pytest.mark.django_db
LIST = reverse("admin:django_q_schedule_changelist")
MAY_CHANGE = ("django_q.view_schedule", "django_q.change_schedule")


@pytest.fixture
def schedule() -> Schedule:
    return schedules.ensure_schedule()


@pytest.fixture
def owner() -> Client:
    return staff(*MAY_CHANGE)


def page(schedule: Schedule) -> str:
    return reverse("admin:django_q_schedule_change", args=[schedule.pk])


def test_the_form_shows_the_time_of_the_settings(owner: Client, schedule: Schedule) -> None:
    form = owner.get(page(schedule)).context["adminform"].form
    assert form.initial == {"enabled": True, "day": "0", "at": datetime(2026, 1, 1, 2, 0, tzinfo=UTC).time()}
    assert list(form.fields) == ["enabled", "day", "at"]


def test_a_new_time_is_kept_and_survives_the_next_start(owner: Client, schedule: Schedule) -> None:
    response = owner.post(page(schedule), {"day": "3", "at": "04:30", "enabled": "on"})
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.schedule_type, schedule.repeats) == ("30 4 * * 3", Schedule.CRON, -1)
    assert (schedule.next_run.weekday(), schedule.next_run.hour, schedule.next_run.minute) == (2, 4, 30)
    assert schedule.next_run > timezone.now()
    assert said(response)[0].startswith("The next training starts on ")
    assert schedules.ensure_schedule().cron == "30 4 * * 3"
    assert schedules.problem_of(schedule) is None


def test_every_day_is_a_choice(owner: Client, schedule: Schedule) -> None:
    owner.post(page(schedule), {"day": "*", "at": "23:05", "enabled": "on"})
    schedule.refresh_from_db()
    assert schedule.cron == "5 23 * * *"


def test_switching_it_off_keeps_the_time(owner: Client, schedule: Schedule) -> None:
    response = owner.post(page(schedule), {"day": "0", "at": "02:00"})
    schedule.refresh_from_db()
    assert (schedule.repeats, schedule.cron) == (schedules.DISABLED, "0 2 * * 0")
    assert said(response) == ["Scheduled training is switched off."]
    assert "\nswitched off\n" in owner.get(LIST).content.decode()


def test_no_function_can_be_named(owner: Client, schedule: Schedule) -> None:
    forged = {
        "day": "0",
        "at": "02:00",
        "enabled": "on",
        "func": "os.system",
        "args": "'true'",
        "kwargs": "x=1",
        "hook": "os.system",
        "cron": "* * * * *",
    }
    owner.post(page(schedule), forged)
    fresh = Schedule.objects.get()
    assert (fresh.func, fresh.args, fresh.hook, fresh.cron) == (
        schedules.TRAIN_ON_SCHEDULE,
        None,
        None,
        "0 2 * * 0",
    )
    assert fresh.kwargs == schedule.kwargs


@pytest.mark.parametrize(
    ("typed", "field"),
    [({"day": "7", "at": "02:00"}, "day"), ({"day": "0", "at": "25:00"}, "at"), ({"at": "02:00"}, "day")],
)
def test_what_is_no_time_is_refused(
    owner: Client, schedule: Schedule, typed: dict[str, str], field: str
) -> None:
    response = owner.post(page(schedule), typed)
    assert list(response.context["adminform"].form.errors) == [field]
    schedule.refresh_from_db()
    assert schedule.cron == "0 2 * * 0"


def test_a_time_that_the_form_cannot_show_is_left_blank(owner: Client, schedule: Schedule) -> None:
    Schedule.objects.update(cron="0 2 1 * *")
    assert owner.get(page(schedule)).context["adminform"].form.initial == {"enabled": True}


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
    with django_assert_num_queries(9):
        client.get(LIST)
