"""Which backups are kept, and what a version of another library says."""

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from tests.factories import ApprovedFactory, BackupFactory, VersionFactory
from tests.storing import names_in
from tests.trained import trained_version
from training import artifacts, backups
from training.errors import UnservableVersionError
from training.models import Backup, ModelVersion

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("each_storage")]


def test_the_newest_are_kept(settings: Settings) -> None:
    made = BackupFactory.create_batch(5)
    settings.KEEP_BACKUPS = 3

    assert backups.prune_backups() == [made[1].name, made[0].name]
    assert backups.prune_backups(keep=1) == [made[3].name, made[2].name]
    assert list(Backup.objects.available()) == [made[4]]
    assert Backup.objects.count() == 5


def test_the_newest_that_holds_the_active_version_is_kept() -> None:
    active, other = VersionFactory.create(is_active=True), VersionFactory.create()
    made = [BackupFactory.create(model_version=held) for held in (active, active, other, None, other)]

    assert backups.prune_backups(keep=2) == [made[2].name, made[0].name]
    assert list(Backup.objects.available()) == [made[4], made[3], made[1]]


def test_what_is_quarantined_is_neither_counted_nor_removed() -> None:
    made = BackupFactory.create_batch(2)
    damaged = BackupFactory.create_batch(3, verification_error="damaged")

    assert backups.prune_backups(keep=1) == [made[0].name]
    assert set(Backup.objects.available()) == {made[1], *damaged}


def test_pruning_removes_the_files() -> None:
    older = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)
    ApprovedFactory.create()
    newer = backups.create_backup(kind=Backup.Kind.BEFORE_TRAINING)

    assert backups.prune_backups(keep=1) == [older.name]

    assert names_in("model_backups") == [newer.name]


def test_what_could_be_pruned_costs_one_query(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    for count in (1, 3):
        BackupFactory.create_batch(count, model_version=VersionFactory.create())
        with django_assert_num_queries(1):
            assert len(backups.prunable_backups(keep=1)) in {0, 3}


# --- Loading -----------------------------------------------------------------------------------


def test_a_version_s_twin_is_loaded_where_there_is_one(version: ModelVersion) -> None:
    alone = trained_version("version_2", twin=False)

    assert artifacts.load_twin(version) is not None
    assert artifacts.load_twin(alone) is None


def test_a_version_of_another_library_is_refused_and_not_called_damaged(version: ModelVersion) -> None:
    ModelVersion.objects.update(is_active=False)
    facts = dict(artifacts.verify(version).facts) | {"scikit-learn": "0.1"}
    with artifacts.publish(ModelVersion, "version_2", facts=facts):
        pass
    other = VersionFactory.create(
        name="version_2", digest=artifacts.read_back(ModelVersion, "version_2").digest
    )

    with pytest.raises(UnservableVersionError, match=r"written with scikit-learn 0\.1;"):
        artifacts.load_scorer(other)

    assert ModelVersion.objects.get(pk=other.pk).verification_error == ""
