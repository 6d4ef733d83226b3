import pytest
from axes.models import AccessAttempt
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission, User
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries
from rest_framework.authtoken.models import Token

from tests.factories import UserFactory
from tests.training.admin.people import client_of, said, staff, superuser, user_of
from tests.training.roles import ROLES, user_as

pytestmark = pytest.mark.django_db
TOKENS = reverse("admin:authtoken_tokenproxy_changelist")


def test_a_key_is_shown_once_when_it_is_made() -> None:
    user = UserFactory.create()
    client = superuser()
    response = client.post(reverse("admin:authtoken_tokenproxy_add"), {"user": user.pk})
    key = Token.objects.get(user=user).key
    assert response.status_code == 302
    assert key in said(response)[0]
    client.get(reverse("admin:index"))  # shows the message
    html = client.get(TOKENS).content.decode()
    assert f"{key[:6]}…" in html
    assert key not in html


def test_nowhere_else_is_a_key_shown() -> None:
    token = Token.objects.create(user=UserFactory.create())
    client = superuser()
    page = reverse("admin:authtoken_tokenproxy_change", args=[token.user_id])
    delete = reverse("admin:authtoken_tokenproxy_delete", args=[token.user_id])
    for url in (TOKENS, page, delete):
        assert token.key not in client.get(url).content.decode()
    response = client.post(delete, {"post": "yes"})
    assert (response.status_code, Token.objects.count()) == (302, 0)
    assert token.key not in said(response)[0]
    (entry,) = LogEntry.objects.all()
    assert (entry.user, entry.object_repr) == (user_of(client), f"{token.key[:6]}…")


def test_an_administrator_makes_and_revokes_keys_of_who_has_no_more_power() -> None:
    reviewer, owner = user_as("reviewer"), UserFactory.create(is_superuser=True)
    client = client_of(user_as("administrator"))
    add = reverse("admin:authtoken_tokenproxy_add")
    assert client.post(add, {"user": owner.pk}).status_code == 200  # the form again, with its error
    assert client.post(add, {"user": reviewer.pk}).status_code == 302
    assert Token.objects.get().user == reviewer
    theirs = Token.objects.create(user=owner)
    delete = "admin:authtoken_tokenproxy_delete"
    assert (
        client.post(reverse(delete, args=[theirs.user_id]), {"post": "yes"}).status_code == 302
    )  # nothing there
    assert client.post(reverse(delete, args=[reviewer.pk]), {"post": "yes"}).status_code == 302
    assert Token.objects.get() == theirs


def test_no_key_is_guessed_by_a_filter() -> None:
    token = Token.objects.create(user=UserFactory.create())
    client = client_of(user_as("administrator"))
    assert f"{token.key[:6]}…" in client.get(TOKENS).content.decode()
    for lookup in ("key", "key__startswith", "pk__startswith"):
        response = client.get(TOKENS, {lookup: token.key[:1]})
        assert (response.status_code, token.key[:6] in response.content.decode()) != (200, True), lookup


def test_a_list_that_pops_up_shows_none_either() -> None:
    """It would hand the row's primary key to the page it came from, and that is the key."""
    token = Token.objects.create(user=UserFactory.create())
    client = superuser()
    for query in ({"_popup": "1"}, {"_popup": "1", "_to_field": "key"}):
        assert token.key not in client.get(TOKENS, query).content.decode()


def test_a_superuser_s_key_is_not_listed_to_others() -> None:
    token = Token.objects.create(user=UserFactory.create(is_superuser=True))
    client = client_of(user_as("administrator"))
    assert token.key[:6] not in client.get(TOKENS).content.decode()
    page = reverse("admin:authtoken_tokenproxy_change", args=[token.user_id])
    assert client.get(page).status_code == 302
    assert token.key[:6] in superuser().get(TOKENS).content.decode()


def test_a_key_is_not_changed() -> None:
    token = Token.objects.create(user=UserFactory.create())
    page = reverse("admin:authtoken_tokenproxy_change", args=[token.user_id])
    assert superuser().post(page, {"user": UserFactory.create().pk}).status_code == 403


def test_keys_are_for_who_may_see_them() -> None:
    token = Token.objects.create(user=UserFactory.create())
    client = client_of(user_as("trainer"))
    page = reverse("admin:authtoken_tokenproxy_change", args=[token.user_id])
    add = reverse("admin:authtoken_tokenproxy_add")
    delete = reverse("admin:authtoken_tokenproxy_delete", args=[token.user_id])
    assert [client.get(url).status_code for url in (TOKENS, page, add, delete)] == [403] * 4
    assert "API tokens" not in client.get(reverse("admin:index")).content.decode()


class TestEscalation:
    """An administrator hands out no power beyond their own."""

    def page(self, user: User) -> str:
        return reverse("admin:auth_user_change", args=[user.pk])

    def data(self, user: User, **changes: object) -> dict[str, object]:
        known = {"username": user.username, "is_staff": "on", "is_active": "on"}
        return known | {"date_joined_0": "2026-01-01", "date_joined_1": "08:00:00"} | changes

    def test_nobody_makes_themselves_a_superuser(self) -> None:
        administrator = user_as("administrator")
        more = Permission.objects.get(codename="delete_anomaly")
        groups = [Group.objects.get(name="administrator").pk]
        data = self.data(administrator, is_superuser="on", user_permissions=[more.pk], groups=groups)
        assert client_of(administrator).post(self.page(administrator), data).status_code == 302
        fresh = User.objects.get(pk=administrator.pk)
        assert (fresh.is_superuser, fresh.has_perm("training.delete_anomaly")) == (False, False)

    def test_a_superuser_is_out_of_reach(self) -> None:
        owner = UserFactory.create(is_superuser=True)
        client = client_of(user_as("administrator"))
        owner.set_password("vapeur-42-haute")
        owner.save(update_fields=["password"])
        response = client.get(self.page(owner))
        assert response.status_code == 200  # to read
        assert owner.password not in response.content.decode()
        assert client.post(self.page(owner), self.data(owner)).status_code == 403
        password = reverse("admin:auth_user_password_change", args=[owner.pk])
        assert client.get(password).status_code == 403

    def test_a_stronger_group_is_neither_given_nor_made(self) -> None:
        more = Permission.objects.get(codename="delete_anomaly")
        strong = Group.objects.create(name="strong")
        strong.permissions.add(more)
        ines = UserFactory.create()
        client = client_of(user_as("administrator"))
        assert client.post(self.page(ines), self.data(ines, groups=[strong.pk])).status_code == 200
        assert not ines.groups.exists()
        response = client.post(reverse("admin:auth_group_add"), {"name": "own", "permissions": [more.pk]})
        assert response.status_code == 200
        change = reverse("admin:auth_group_change", args=[strong.pk])
        assert client.post(change, {"name": "weak", "permissions": []}).status_code == 403
        delete = reverse("admin:auth_group_delete", args=[strong.pk])
        assert client.post(delete, {"post": "yes"}).status_code == 403
        assert set(Group.objects.exclude(name__in=ROLES)) == {strong}

    def test_a_role_is_given(self) -> None:
        ines = UserFactory.create()
        client = client_of(user_as("administrator"))
        reviewer = Group.objects.get(name="reviewer")
        assert client.post(self.page(ines), self.data(ines, groups=[reviewer.pk])).status_code == 302
        assert User.objects.get(pk=ines.pk).has_perm("training.review_anomaly")

    def test_nobody_is_deleted(self) -> None:
        ines = UserFactory.create()
        delete = reverse("admin:auth_user_delete", args=[ines.pk])
        assert superuser().post(delete, {"post": "yes"}).status_code == 403
        assert User.objects.filter(pk=ines.pk).exists()


def test_a_person_is_made_with_a_role_in_one_go() -> None:
    client = client_of(user_as("administrator"))
    form = client.get(reverse("admin:auth_user_add")).context["adminform"].form
    assert form["is_staff"].initial is True
    response = client.post(
        reverse("admin:auth_user_add"),
        {
            "username": "ines",
            "usable_password": "true",
            "password1": "vapeur-42-haute",
            "password2": "vapeur-42-haute",
            "first_name": "Inès",
            "email": "ines@plant.example",
            "is_staff": "on",
            "groups": [Group.objects.get(name="reviewer").pk],
        },
    )
    assert response.status_code == 302
    ines = User.objects.get(username="ines")
    assert (ines.is_staff, ines.has_perm("training.review_anomaly")) == (True, True)
    assert (ines.first_name, ines.email) == ("Inès", "ines@plant.example")
    html = client.get(reverse("admin:auth_user_changelist")).content.decode()
    assert "reviewer" in html


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("name", "queries"), [("user", 8), ("group", 7)])
def test_lists_cost_a_fixed_number_of_queries(
    name: str, queries: int, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = superuser()
    client.get(reverse("admin:index"))
    for number in range(count):
        Group.objects.create(name=f"team {number}").user_set.add(UserFactory.create())
    with django_assert_num_queries(queries):
        client.get(reverse(f"admin:auth_{name}_changelist"))


def test_a_user_is_made_with_a_password_and_permissions() -> None:
    client = superuser()
    password = {"usable_password": "true", "password1": "vapeur-42-haute", "password2": "vapeur-42-haute"}
    response = client.post(reverse("admin:auth_user_add"), {"username": "ines", **password})
    assert response.status_code == 302
    user = User.objects.get(username="ines")
    assert user.check_password("vapeur-42-haute")
    review = Permission.objects.get(codename="review_anomaly")
    page = reverse("admin:auth_user_change", args=[user.pk])
    data = {
        "username": "ines",
        "is_staff": "on",
        "is_active": "on",
        "user_permissions": [review.pk],
        "date_joined_0": "2026-01-01",
        "date_joined_1": "08:00:00",
    }
    assert client.post(page, data).status_code == 302
    assert User.objects.get(pk=user.pk).has_perm("training.review_anomaly")


def test_a_failed_login_can_be_forgiven_by_who_may() -> None:
    attempt = AccessAttempt.objects.create(
        username="ines",
        ip_address="127.0.0.1",
        user_agent="x",
        path_info="/admin/login/",
        failures_since_start=5,
    )
    delete = reverse("admin:axes_accessattempt_delete", args=[attempt.pk])
    assert staff("axes.view_accessattempt").post(delete, {"post": "yes"}).status_code == 403
    client = staff("axes.view_accessattempt", "axes.delete_accessattempt")
    assert client.post(delete, {"post": "yes"}).status_code == 302
    assert not AccessAttempt.objects.exists()


def test_a_role_is_called_in_the_reader_s_language_and_keeps_its_name() -> None:
    user = user_as("reviewer", username="ines")
    own = Group.objects.create(name="Équipe de nuit")
    user.groups.add(own)
    client, french = superuser(), {"accept-language": "fr"}
    role = Group.objects.get(name="reviewer")
    pages = {
        "users": reverse("admin:auth_user_changelist"),
        "user": reverse("admin:auth_user_change", args=[user.pk]),
        "add": reverse("admin:auth_user_add"),
        "groups": reverse("admin:auth_group_changelist"),
        "group": reverse("admin:auth_group_change", args=[role.pk]),
    }
    found = {name: client.get(url, headers=french).content.decode() for name, url in pages.items()}
    assert "réviseur, Équipe de nuit" in found["users"]
    for name in ("user", "add"):
        assert f'<option value="{own.pk}"' in found[name]
        assert ">réviseur</option>" in found[name]
        assert ">reviewer</option>" not in found[name]
    assert ">réviseur</a>" in " ".join(found["groups"].split()).replace("> ", ">").replace(" <", "<")
    assert 'value="reviewer"' in found["group"]
    assert "réviseur" in found["group"]
    assert "réviseur" not in client.get(pages["users"], headers={"accept-language": "en"}).content.decode()
    assert client.post(pages["group"], {"name": "reviewer"}, headers=french).status_code == 302
    assert Group.objects.get(pk=role.pk).name == "reviewer"


def test_the_filter_by_role_speaks_french_too() -> None:
    user_as("reviewer")
    role = Group.objects.get(name="reviewer")
    html = superuser().get(
        reverse("admin:auth_user_changelist"),
        {"groups__id__exact": role.pk},
        headers={"accept-language": "fr"},
    )
    assert "réviseur" in html.content.decode()
    assert html.context["cl"].result_count == 1
