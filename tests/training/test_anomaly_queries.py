"""The statements that are written by hand do what the plain ones do."""

from collections.abc import Callable
from copy import copy
from datetime import datetime, timedelta, timezone

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.timezone import now

from tests.factories import AnomalyFactory, ApprovedFactory, UserFactory
from training.models import Anomaly

pytestmark = pytest.mark.django_db
OWN = ("id", "created_at", "updated_at")


def test_sections_are_those_of_a_distinct_select() -> None:
    assert Anomaly.objects.sections() == []
    for section in ("34MC", "", "34EL", "34MC", "é", "34el"):
        AnomalyFactory.create(section=section)
    plain = Anomaly.objects.order_by("section").values_list("section", flat=True).distinct()
    assert Anomaly.objects.sections() == list(plain)
    assert len(plain) == 5


def test_rows_are_upserted_as_bulk_create_does() -> None:
    user: User = UserFactory.create()
    known, _ = AnomalyFactory.create_batch(2, section="34MC")
    known.description, known.section = "é'\"%s\n", "not among the fields"
    moment = datetime(2024, 1, 2, 3, 4, 5, 6, tzinfo=timezone(timedelta(hours=2)))
    new = ApprovedFactory.build_batch(99, detected_at=moment, reviewed_by=user, availability_score=4.1)
    last = AnomalyFactory.build(description="a draft")
    fields = ("description", "detected_at", "availability_score", "status", "reviewed_by", "updated_at")

    def outcome(store: Callable[[list[Anomaly]], object]) -> tuple[list[object], list[tuple[bool, bool]]]:
        begin = now()
        with transaction.atomic():
            store([copy(anomaly) for anomaly in (known, *new, last)])
            rows = Anomaly.objects.order_by("pk")
            shown = [field.attname for field in Anomaly._meta.concrete_fields if field.attname not in OWN]
            stored = list(rows.values_list(*shown)), list(rows.values_list("created_at", "updated_at"))
            transaction.set_rollback(True)
        return stored[0], [(created >= begin, updated >= begin) for created, updated in stored[1]]

    upserted = outcome(lambda made: Anomaly.objects.upsert(made, update=fields))

    assert upserted == outcome(
        lambda made: Anomaly.objects.bulk_create(
            made, update_conflicts=True, unique_fields=["anomaly_id"], update_fields=fields
        )
    )
    assert upserted[1] == [(False, True), (False, False)] + [(True, True)] * 100


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
