from datetime import timedelta

import pytest
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from predictions.dashboard import figures
from predictions.dashboard.counting import month_starts
from predictions.dashboard.storage import backup_storage, kept_backups
from tests.factories import BackupFactory
from tests.training.admin.people import superuser

pytestmark = pytest.mark.django_db
MEGABYTE = 1024**2


def test_what_was_kept_at_the_end_of_each_month(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    months, now = month_starts(), timezone.now()
    long_ago = months[0] - timedelta(days=40)
    BackupFactory.create(size_bytes=8 * MEGABYTE, created_at=long_ago)
    BackupFactory.create(size_bytes=4 * MEGABYTE, created_at=long_ago, pruned_at=months[2])
    BackupFactory.create(
        size_bytes=99 * MEGABYTE, created_at=long_ago, pruned_at=months[0] - timedelta(days=1)
    )
    BackupFactory.create(size_bytes=2 * MEGABYTE, created_at=months[1])
    BackupFactory.create(size_bytes=MEGABYTE, created_at=now)
    with django_assert_num_queries(1):
        kept = kept_backups()
    assert kept.sizes == [size * MEGABYTE for size in (12, 14, *[10] * 9, 11)]
    assert kept.counts == [2, 3, *[2] * 9, 3]
    assert kept.made == [0, 1, *[0] * 9, 1]
    chart = backup_storage(kept)
    assert list(chart.columns[0].values) == [12, 14, *[10] * 9, 11]
    assert (chart.unit, chart.finding) == ("MB", "11.0\xa0MB in 3 backups; 10.0\xa0MB a month ago.")
    assert superuser().get(chart.columns[2].cells[-1].url).context["cl"].result_count == 1
    (figure,) = figures.of_storage(kept)
    assert (figure.value, figure.detail) == ("11.0\xa0MB", "in 3 backups")


def test_no_backup_yet() -> None:
    chart = backup_storage(kept_backups())
    assert (chart.finding, chart.rows) == ("There is no backup yet.", ())


def test_few_bytes_are_drawn_in_kilobytes() -> None:
    BackupFactory.create(size_bytes=512, created_at=timezone.now())
    chart = backup_storage(kept_backups())
    assert (chart.unit, chart.columns[0].values[-1]) == ("KB", 0.5)
