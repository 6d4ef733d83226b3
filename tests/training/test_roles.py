"""The groups, on a fresh database and on one that exists; and what whoever manages people may hand out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group, Permission
from django.db import connection

from tests.factories import UserFactory, user_with
from tests.training.roles import ROLES, make_roles, migration, permissions_of, run_migrations, user_as
from training import roles

VIEWER = {
    "django_q.view_failure",
    "django_q.view_ormq",
    "django_q.view_schedule",
    "django_q.view_success",
    "predictions.view_prediction",
    "predictions.view_predictionjob",
    "training.view_activation",
    "training.view_anomaly",
    "training.view_backup",
    "training.view_finding",
    "training.view_modelversion",
    "training.view_qualitycheck",
    "training.view_qualityreport",
    "training.view_queuenode",
    "training.view_trainingsession",
}
DOES_SOMETHING = VIEWER | {"predictions.add_predictionjob", "training.add_qualitycheck"}
EXPECTED = {
    "viewer": VIEWER,
    "reviewer": DOES_SOMETHING | {"training.add_anomaly", "training.review_anomaly"},
    "trainer": DOES_SOMETHING
    | {
        "django_q.change_schedule",
        "training.activate_modelversion",
        "training.add_backup",
        "training.cancel_trainingsession",
        "training.restore_backup",
        "training.adjudicate_anomaly",
        "training.train_models",
    },
}
EXPECTED["administrator"] = (
    EXPECTED["reviewer"]
    | EXPECTED["trainer"]
    | {
        "auth.add_group",
        "auth.add_user",
        "auth.change_group",
        "auth.change_user",
        "auth.delete_group",
        "auth.view_group",
        "auth.view_user",
        "authtoken.add_tokenproxy",
        "authtoken.delete_tokenproxy",
        "authtoken.view_tokenproxy",
        "axes.delete_accessattempt",
        "axes.view_accessattempt",
        "training.add_mailsubscription",
        "training.add_webhook",
        "training.change_delivery",
        "training.change_mailsubscription",
        "training.change_webhook",
        "training.delete_backup",
        "training.delete_mailsubscription",
        "training.delete_webhook",
        "training.view_delivery",
        "training.view_mailsubscription",
        "training.view_webhook",
    }
)


@pytest.mark.django_db
class TestCreate:
    @pytest.mark.parametrize("role", ROLES)
    def test_each_role_has_exactly_its_permissions(self, role: str) -> None:
        make_roles()
        assert permissions_of(role) == EXPECTED[role]

    def test_twice_changes_nothing(self) -> None:
        run_migrations()
        before = list(Group.permissions.through.objects.order_by("pk").values_list())
        run_migrations()
        assert list(Group.permissions.through.objects.order_by("pk").values_list()) == before

    def test_what_a_customer_changed_stays(self) -> None:
        make_roles()
        Group.objects.get(name="viewer").permissions.clear()
        migration().create_roles(apps, connection.schema_editor())
        assert permissions_of("viewer") == set()

    def test_a_permission_that_no_model_has_stops_the_migration(self) -> None:
        with pytest.raises(ValueError, match=r"\('training', 'fly_rocket'\)"):
            roles.create({"pilot": ["training.fly_rocket"]}, apps=apps, using="default")

    def test_each_role_is_described(self) -> None:
        assert tuple(roles.ROLES) == ROLES == tuple(migration().ROLES)


@pytest.mark.django_db
def test_what_a_release_brings_is_given_to_the_groups_that_are_left() -> None:
    make_roles()
    Group.objects.get(name="viewer").permissions.clear()
    Group.objects.get(name="trainer").delete()
    new = {"viewer": ["training.view_webhook"], "trainer": ["training.view_webhook"]}
    roles.give(new, apps=apps, using="default")
    assert permissions_of("viewer") == {"training.view_webhook"}
    assert not Group.objects.filter(name="trainer").exists()


SHOW = (
    "import json\nfrom django.contrib.auth.models import Group\n"
    "found = {g.name: sorted(f'{p.content_type.app_label}.{p.codename}' for p in g.permissions.all()) "
    "for g in Group.objects.all()}\nprint(json.dumps(found))"
)


class TestMigrate:
    """`manage.py migrate` on a database of its own: permissions come into being only after the migrations."""

    @pytest.fixture
    def manage(self, tmp_path: Path) -> object:
        environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path / 'fresh.sqlite3'}"}

        def run(*arguments: str) -> str:
            command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        return run

    def test_a_fresh_database_and_one_that_exists(self, manage: object) -> None:
        assert callable(manage)
        before = migration().Migration.dependencies[0][1]
        manage("migrate", "training", before, "--verbosity=0")
        theirs = "from django.contrib.auth.models import Group; Group.objects.create(name='viewer')"
        manage("shell", "--no-imports", "-c", theirs)
        manage("migrate", "--verbosity=0")
        found = json.loads(manage("shell", "--no-imports", "-c", SHOW))
        later = {
            "predictions.view_predictionjob",
            "training.view_finding",
            "training.view_qualitycheck",
            "training.view_queuenode",
        }
        assert found == {
            "viewer": sorted(later),  # their own group gets what releases bring, and no more
            **{role: sorted(EXPECTED[role]) for role in ("reviewer", "trainer", "administrator")},
        }
        assert "No changes detected" in manage("makemigrations", "--check", "--dry-run")


@pytest.mark.django_db
class TestPower:
    def test_a_superuser_manages_everybody_and_grants_everything(self) -> None:
        owner = UserFactory.create(is_superuser=True)
        other = UserFactory.create(is_superuser=True)
        assert set(roles.manageable(owner)) == {owner, other}
        assert roles.grantable(owner).count() == Permission.objects.count()

    def test_an_administrator_manages_those_with_no_more_power(self) -> None:
        administrator, reviewer, nobody = user_as("administrator"), user_as("reviewer"), UserFactory.create()
        UserFactory.create(is_superuser=True)
        UserFactory.create(is_superuser=True, is_active=False)
        assert set(roles.manageable(administrator)) == {administrator, reviewer, nobody}
        assert set(roles.manageable(reviewer)) == {reviewer, nobody}

    def test_one_permission_more_is_out_of_reach_even_of_who_is_switched_off(self) -> None:
        administrator = user_as("administrator")
        with_more = user_with("training.delete_anomaly")
        by_group = UserFactory.create(is_active=False)
        strong = Group.objects.create(name="strong")
        strong.permissions.add(Permission.objects.get(codename="delete_anomaly"))
        by_group.groups.add(strong)
        assert set(roles.manageable(administrator)) == {administrator}
        assert with_more not in roles.manageable(administrator)
        assert set(roles.grantable_groups(administrator)) == set(Group.objects.filter(name__in=ROLES))

    def test_what_can_be_granted_is_what_one_has(self) -> None:
        viewer = user_as("viewer")
        names = roles.grantable(viewer).values_list("content_type__app_label", "codename")
        assert {f"{label}.{codename}" for label, codename in names} == VIEWER
        assert set(roles.grantable_groups(viewer)) == {Group.objects.get(name="viewer")}
