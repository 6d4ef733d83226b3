"""What the watch found, where people look."""

import pytest
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from tests.factories import QueueNodeFactory
from tests.training.admin.people import staff, superuser
from training.models import Finding

pytestmark = pytest.mark.django_db
LIST = reverse("admin:training_finding_changelist")
QUEUE = reverse("admin:django_q_ormq_changelist")
START = reverse("admin:index")
NO_QUEUE = "No queue runs: nothing is trained and no notice is sent."
OFF = "Scheduled training is switched off."
SEE = ("training.view_finding", "django_q.view_ormq")


def off(**changes: object) -> Finding:
    values = {"code": Finding.Code.SCHEDULE_OFF, "severity": Finding.Severity.WARNING}
    return Finding.objects.create(**(values | changes))


@pytest.mark.parametrize("page", [START, QUEUE, LIST])
def test_what_is_wrong_stands_on_the_page_with_what_to_do(page: str) -> None:
    off()
    html = staff(*SEE).get(page).content.decode()
    assert html.index(NO_QUEUE) < html.index(OFF)
    assert "Start it: python manage.py qcluster, or systemctl restart anomalies-queue." in html


@pytest.mark.parametrize("page", [START, QUEUE])
def test_who_may_not_see_findings_sees_none(page: str) -> None:
    off()
    html = staff("django_q.view_ormq").get(page).content.decode()
    assert NO_QUEUE not in html
    assert OFF not in html


def test_the_list_is_closed_to_who_may_not_see_it() -> None:
    assert staff().get(LIST).status_code == 403


def test_where_all_is_well_nothing_is_said() -> None:
    QueueNodeFactory.create()
    assert "What needs somebody" not in superuser().get(START).content.decode()


def test_the_queue_page_names_its_nodes() -> None:
    QueueNodeFactory.create(host="plant-2", pid=7)
    html = superuser().get(QUEUE).content.decode()
    assert "plant-2:7" in html
    assert "just now" in html


def test_what_is_gone_stays_in_the_list() -> None:
    QueueNodeFactory.create()
    mended = off(ended_at=timezone.now(), is_mended=True)
    client = superuser()
    html = client.get(LIST).content.decode()
    assert OFF in html
    assert "mended by itself" in html
    page = reverse("admin:training_finding_change", args=[mended.pk])
    assert "Switch it on under Training schedule" in client.get(page).content.decode()
    assert client.post(page, {"code": "x"}).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_for_three(
    count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    for number in range(count):
        off(subject=str(number))
    with django_assert_num_queries(9):
        client.get(LIST)
