"""What a restore costs the database."""

import time
from typing import Any

import pytest
from django.db import connection
from pytest_django import DjangoAssertNumQueries

from tests.factories import ApprovedFactory
from training import restoring, versions
from training.models import Anomaly, Backup
from training.policy import change_policy

pytestmark = pytest.mark.django_db


def test_the_cost_does_not_grow_with_the_records(
    backup: Backup, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    change_policy(user=None, changes={"keep_backups": 20})  # the row is there
    costs = []
    for others in (1, 3):
        time.sleep(1)  # or a backup waits for a second that no other has in its name, and asks once more
        ApprovedFactory.create_batch(others)
        Anomaly.objects.filter(anomaly_id__startswith="T-00").update(availability_score=4)
        with django_assert_max_num_queries(70) as queries:
            result = restoring.restore_backup(backup=backup)
        costs.append(sum("clock_timestamp" not in query["sql"] for query in queries.captured_queries))
        assert (result.records_to_pending, result.records_changed) == (others, 8)
    assert costs[0] == costs[1]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's cache is the server's")
def test_sqlite_s_cache_is_wide_only_meanwhile(backup: Backup, monkeypatch: pytest.MonkeyPatch) -> None:
    def size() -> int:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA cache_size")
            return int(cursor.fetchone()[0])

    usual, meanwhile, real = size(), [0], versions.set_active

    def set_active(**kwargs: Any) -> None:
        meanwhile[0] = size()
        real(**kwargs)

    monkeypatch.setattr("training.restoring.versions.set_active", set_active)
    restoring.restore_backup(backup=backup)
    assert (meanwhile[0], size()) == (-65_536, usual)
    monkeypatch.setattr("training.restoring.versions.set_active", None)
    with pytest.raises(TypeError):
        restoring.restore_backup(backup=backup)
    assert size() == usual
