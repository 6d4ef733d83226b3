"""The statements that are written by hand do what the plain ones do."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory
from training.models import Anomaly

pytestmark = pytest.mark.django_db


def test_sections_are_those_of_a_distinct_select() -> None:
    assert Anomaly.objects.sections() == []
    for section in ("34MC", "", "34EL", "34MC", "é", "34el"):
        AnomalyFactory.create(section=section)
    plain = Anomaly.objects.order_by("section").values_list("section", flat=True).distinct()
    assert Anomaly.objects.sections() == list(plain)
    assert len(plain) == 5


@pytest.mark.parametrize("by_somebody", [True, False])
def test_history_is_noted_as_simple_history_does(by_somebody: bool) -> None:
    user: User | None = UserFactory.create() if by_somebody else None
    ApprovedFactory.create_batch(2, reviewed_by=user, section="34MC")
    AnomalyFactory.create(detected_at=None)
    Anomaly.history.all().delete()
    Anomaly.history.bulk_history_create(
        Anomaly.objects.order_by("pk"), update=True, default_user=user, default_change_reason="why"
    )
    plain = list(Anomaly.history.order_by("history_id").values())
    Anomaly.history.all().delete()

    with CaptureQueriesContext(connection) as queries:
        Anomaly.objects.all().note_history("~", user=user, reason="why")

    noted = list(Anomaly.history.order_by("history_id").values())
    own = ("history_id", "history_date")
    assert [{k: v for k, v in row.items() if k not in own} for row in noted] == [
        {k: v for k, v in row.items() if k not in own} for row in plain
    ]
    assert len({row["history_date"] for row in noted}) == 1
    assert noted[0]["history_date"] > plain[-1]["history_date"]
    assert (len(noted), len(queries)) == (3, 1)
