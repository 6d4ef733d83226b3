from collections.abc import Callable

import pytest
from django.urls import reverse
from django.utils import timezone
from django_q.models import Failure, OrmQ, Task
from django_q.tasks import async_task
from pytest_django import DjangoAssertNumQueries

from tests.training.admin.people import superuser

pytestmark = pytest.mark.django_db


def finished(*, success: bool, number: int = 1) -> Task:
    now = timezone.now()
    task: Task = Task.objects.create(
        id=f"{number:032d}",
        name=f"training session {number}",
        func="training.tasks.run_session",
        args=(number,),
        started=now,
        stopped=now,
        success=success,
        result=None if success else "OSError: disk full",
    )
    return task


def waiting(number: int) -> None:
    async_task("training.tasks.run_session", number, task_name=f"training session {number}")


@pytest.mark.parametrize(("success", "name"), [(True, "success"), (False, "failure")])
def test_a_task_can_be_read_and_nothing_else(success: bool, name: str) -> None:
    task = finished(success=success)
    client = superuser()
    page = reverse(f"admin:django_q_{name}_change", args=[task.pk])
    html = client.get(page).content.decode()
    assert "training.tasks.run_session" in html
    assert ("OSError: disk full" in html) is not success
    assert client.post(page, {"func": "os.system"}).status_code == 403
    assert client.post(reverse(f"admin:django_q_{name}_delete", args=[task.pk])).status_code == 403


def test_a_task_is_not_sent_again() -> None:
    """django-q's own page offers to resubmit; a training is started by its button alone."""
    task = finished(success=False)
    client = superuser()
    client.post(
        reverse("admin:django_q_failure_changelist"),
        {"action": "resubmit_task", "_selected_action": [task.pk]},
    )
    assert not OrmQ.objects.exists()
    assert Failure.objects.exists()


def test_what_waits_is_named() -> None:
    waiting(7)
    client = superuser()
    html = client.get(reverse("admin:django_q_ormq_changelist")).content.decode()
    assert "training session 7" in html
    page = reverse("admin:django_q_ormq_change", args=[OrmQ.objects.get().pk])
    assert client.post(page, {"payload": "x"}).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("name", "make", "queries"),
    [
        ("success", lambda number: finished(success=True, number=number), 6),
        ("failure", lambda number: finished(success=False, number=number), 6),
        ("ormq", waiting, 10),  # and the findings, twice the nodes, the active session
    ],
    ids=["finished", "failed", "waiting"],
)
def test_lists_cost_the_same_for_one_and_for_three(
    name: str,
    make: Callable[[int], object],
    queries: int,
    count: int,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    client = superuser()
    for number in range(count):
        make(number)
    with django_assert_num_queries(queries):
        client.get(reverse(f"admin:django_q_{name}_changelist"))
